"""The one-way arrow of imports (ARCHITECTURE.md), and files short enough to read."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "caliche"
SOURCES = sorted(PACKAGE.rglob("*.py"))
# What each part may import from the package; COMMON serves everybody.
COMMON = {"errors", "variables", "wording", "remarks", "_version", "_lazy", "whole_file", "cards"}
METHODS = {"estimation", "identifiability", "sensitivity", "emulators"}
PROBLEM = {"constants", "physics", "models", "parameters", "data", "observations"}
SEAM = PROBLEM | {"problem", "inverse_problem", "joint_problem"}
BELOW = {
    "errors": set(),
    "variables": {"errors"},
    "wording": set(),
    "remarks": set(),
    "whole_file": set(),
    "_version": set(),
    "_lazy": set(),
    "cards": {"errors"},
    "constants": set(),
    "physics": {"constants"},
    "models": {"constants", "physics"},
    "parameters": {"constants", "models"},
    "data": {"constants"},
    "observations": {"constants", "models"},
    "problem": PROBLEM,
    "inverse_problem": PROBLEM | {"problem"},
    "joint_problem": PROBLEM | {"problem", "inverse_problem"},
    **dict.fromkeys(METHODS, SEAM),
    "experiments": SEAM | METHODS,
    "sites": SEAM | METHODS | {"experiments"},
    "report": SEAM | METHODS | {"experiments"},
}


def imports(source: Path) -> set[str]:
    """Full names of the modules that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the arrow"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def part(source: Path) -> str:
    return source.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(source):
    if part(source) not in BELOW:  # the outermost parts: cli, __main__, the package itself
        return
    used = {name.split(".")[1] for name in imports(source) if name.startswith("caliche.")}
    upward = used - BELOW[part(source)] - COMMON - {part(source)}
    assert not upward, f"{part(source)} must not import {sorted(upward)}"
    if part(source) == "report":
        assert not any(name.split(".")[0] in {"jax", "equinox"} for name in imports(source))


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_is_short_enough_to_read(source):
    assert len(source.read_text().splitlines()) <= 500

"""The rules of the house (ARCHITECTURE.md): imports downwards, no circles, short files."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
PACKAGE = CHECKOUT / "src" / "caliche"
# From the bottom to the top; the parts of a line do not import each other.
FLOORS = (
    ("_version", "_lazy", "constants", "errors", "names", "wording"),
    ("cards", "keys", "variables", "remarks", "runtime", "files"),
    ("physics",),
    ("models",),
    ("parameters", "observations", "data"),
    ("metrics",),
    ("problems",),
    ("estimation",),
    ("posterior", "identifiability", "sensitivity", "assimilation", "learning", "emulators"),
    ("history_matching", "column_networks"),
    ("optimisation",),
    ("experiments",),
    ("evaluation", "executables", "sites"),
    ("runs", "callmip"),
    ("report",),
    ("terminal",),
    ("commands",),
    ("cli",),
    ("__main__", ""),  # the package itself names what it offers
)
FLOOR = {part: number for number, floor in enumerate(FLOORS) for part in floor}
# Pages of a room, and packages, that load no JAX, so that a report is written at once.
WITHOUT_JAX = ("words", "figures", "tables", "page")
PACKAGES_WITHOUT_JAX = ("callmip", "cards", "data", "report", "terminal")
# Over time there is one `lax.scan`, in `models/loop/run.py`; these are over something else.
SCANS = {
    "models/loop/run.py": "time",
    "physics/column_schemes.py": "the stages of one step",
    "posterior/sampling.py": "draws of a chain",
    "learning/training.py": "updates of a network",
    "column_networks/training.py": "updates of a network",
}
# How the name of a knot or of a site's parameter would be made or taken apart: only in `names`. (A
# table of a TOML file has brackets of its own.)
NAMES_APART = re.compile(
    r"""(partition|split|startswith|endswith|find|index)\(f?["'][^"']*[\[@]["']|\}\[\{|\}@\{"""
)
MOST_LINES, MOST_DEFINITIONS = 500, 25


def modules() -> dict[str, Path]:
    """Every module of the package by its name; `caliche` is the package itself."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


def imports(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Modules of the package that a file imports: at its top, in functions, for types only."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides where it leads"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                if whole in known:
                    yield whole
                elif node.module in known:
                    yield str(node.module)


def part(module: str) -> str:
    """The part of the package that a module belongs to."""
    return module.split(".")[1] if "." in module else ""


def room(module: str) -> str:
    """The room of `commands` that a module lies in, or nothing."""
    words = module.split(".")
    return words[2] if words[:2] == ["caliche", "commands"] and len(words) > 3 else ""


def circles(graph: dict[str, set[str]]) -> list[str]:
    """Circles among modules, one for each that is found by taking away what has no import left."""
    left = {module: set(used) - {module} for module, used in graph.items()}
    while done := [module for module, used in left.items() if not used & left.keys()]:
        for module in done:
            del left[module]
    found = []
    while left:
        walk = [min(left)]
        while (after := min(left[walk[-1]] & left.keys())) not in walk:
            walk.append(after)
        circle = walk[walk.index(after) :]
        found.append(" -> ".join((*circle, after)))
        for module in circle:
            del left[module]
        while done := [module for module, used in left.items() if not used & left.keys()]:
            for module in done:
                del left[module]
    return found


def test_imports_lead_downwards_and_never_in_a_circle():
    known = modules()
    graph = {module: set(imports(path, known)) for module, path in known.items()}
    assert circles(graph) == []
    wrong = []
    for module, used in graph.items():
        for other in used:
            above, below = FLOOR[part(module)], FLOOR[part(other)]
            if part(module) != part(other) and above <= below:
                wrong.append(f"{module} imports {other}, which is not below it")
            if room(module) and room(other) and room(module) != room(other):
                wrong.append(f"{module} imports {other} of another command")
            inside = part(other) == "commands" and other != "caliche.commands.registry"
            if module == "caliche.cli" and inside:
                wrong.append(f"{module} imports {other}, not the registry")
    assert wrong == []


def loads(program: str, *without: str) -> str:
    """What a program says in a fresh interpreter in which some packages cannot be imported."""
    refuse = (
        "import sys\n"
        "class Refused:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.split('.')[0] in {without!r}:\n"
        "            raise ImportError(f'{name} is loaded')\n"
        "sys.meta_path.insert(0, Refused())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", refuse + program], capture_output=True, text=True, check=False
    )
    return done.stderr


def test_words_and_pages_load_no_jax_and_help_loads_nothing_heavy():
    light = [
        module
        for module in modules()
        if part(module) in PACKAGES_WITHOUT_JAX
        or (room(module) and module.rpartition(".")[2] in WITHOUT_JAX)
    ]
    program = "import importlib\nfor name in {!r}:\n    importlib.import_module(name)\n"
    assert loads(program.format(light), "jax", "equinox") == ""
    program = "sys.argv = ['caliche', '--help']\nfrom caliche.cli import main\nmain()\n"
    assert loads(program, "jax", "equinox", "pandas", "xarray", "matplotlib", "scipy") == ""


def test_files_are_short_and_say_what_they_hold():
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name, text = path.relative_to(PACKAGE).as_posix(), path.read_text(encoding="utf-8")
        body = ast.parse(text).body
        public = [
            node.name
            for node in body
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
        ]
        if len(text.splitlines()) > MOST_LINES or len(public) > MOST_DEFINITIONS:
            wrong.append(f"{name} is to be split by noun")
        scans = "lax.scan" in text.replace("`lax.scan`", "")
        if scans and name not in SCANS:
            wrong.append(f"{name} has a loop of its own")
        if NAMES_APART.search(text) and name not in ("names.py", "keys/read.py"):
            wrong.append(f"{name} makes or takes apart the name of a knot or of a site's parameter")
        if name != "_version.py" and not ast.get_docstring(ast.parse(text)):
            wrong.append(f"{name} does not say what it holds")
    for folder in ("src", "tests", "scripts", "benchmarks", "examples"):
        for path in sorted((CHECKOUT / folder).rglob("*.py")):
            if "# fmt: " + "skip" in path.read_text(encoding="utf-8"):
                wrong.append(f"{path.relative_to(CHECKOUT)} switches the formatter off")
    assert wrong == []


def test_the_tree_in_architecture_is_that_of_today():
    done = subprocess.run(
        [sys.executable, str(CHECKOUT / "scripts" / "tree.py")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout in (CHECKOUT / "ARCHITECTURE.md").read_text(encoding="utf-8"), (
        "run `python scripts/tree.py --write`"
    )

"""Flags mean the same everywhere, commands stand in panels, and every help can be read."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from caliche._version import __version__
from caliche.commands.registry import BY_NAME, COMMANDS, PANELS
from caliche.terminal.json_file import JsonAnswer

NAMES = tuple(BY_NAME)
# The method that a user would search for, in the first line of each help.
FIRST_LINES = {
    "estimate": "Levenberg-Marquardt",
    "screen": "Sobol'",
    "identify": "Fisher information",
    "emulate": "Gaussian-process emulator",
    "design": "Optimal sensor design",
    "posterior": "MCMC (NUTS)",
    "assimilate": "4D-Var",
    "drive": "CMA-ES",
    "train": "neural network",
}
GO_ON = "The same command with the same --out goes on"


def options(text: str) -> dict[str, str]:
    """Each option of a help, and what it says of it."""
    found: dict[str, str] = {}
    name = ""
    for line in text.partition("\nOptions:\n")[2].splitlines():
        if line.startswith("  -"):
            name = next(w for w in line.replace(",", " ").split() if w.startswith("--"))
            found[name] = ""
        if name:
            found[name] += " " + " ".join(line.split())
    return found


def test_panels_in_the_order_of_the_registry(caliche):
    out = caliche("-h").out
    places = [out.index(f"\n{panel}:\n") for panel in PANELS]
    assert places == sorted(places)
    for command in COMMANDS:
        place = out.index(f"\n  {command.name} ")
        assert max(p for p in places if p < place) == places[PANELS.index(command.panel)]
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("name", NAMES)
def test_every_help(caliche, name):
    outcome = caliche(name, "-h")
    assert (outcome.code, outcome.err) == (0, "")
    assert caliche(name, "--help").out == outcome.out
    first = outcome.out.splitlines()[2].strip()
    assert first.endswith(".")
    assert FIRST_LINES.get(name, "") in first
    given = options(outcome.out)
    assert {"--help", "--verbose", "--quiet"} <= set(given)
    assert "--resume" not in given
    # One meaning each.
    if "--fresh" in given:
        assert "--out" in given
        if name != "posterior":
            assert GO_ON in given["--out"]
    elif "--out" in given:
        assert "must not exist" in given["--out"]
    if "--starts" in given:
        assert "Number of points from which" in given["--starts"]
    if "--seed" in given:
        assert "Seed of all that is drawn at random" in given["--seed"]
    if "--json" in given:
        assert "Write what was found as JSON" in given["--json"]


def test_version_and_flags_before_the_command(caliche, tmp_path, monkeypatch):
    assert caliche("--version").out == f"caliche {__version__}\n"
    assert caliche("-q", "experiments").code == 0


def test_json_alone_on_the_standard_output(caliche):
    outcome = caliche("experiments", "--json", "-")
    assert outcome.code == 0
    assert "twin-one-depth" in json.loads(outcome.out)
    assert "experiment " in outcome.err
    assert caliche("experiments").out.startswith("experiment ")  # put back


def test_what_is_not_finite_is_null(tmp_path):
    path = tmp_path / "found.json"
    JsonAnswer(str(path)).write({"a": [float("nan"), float("inf"), 1.5]})
    assert json.loads(path.read_text("utf-8")) == {"a": [None, None, 1.5]}


def test_json_in_a_file(caliche, tmp_path):
    path = tmp_path / "found.json"
    outcome = caliche("parameters", "combined", "--json", path)
    assert f"Written: {path}" in outcome.out
    assert {"parameter", "unit", "bounds"} <= set(json.loads(path.read_text("utf-8"))[0])
    for bad in (tmp_path, tmp_path / "no" / "file.json"):
        outcome = caliche("parameters", "--json", bad)
        assert outcome.code == 2
        assert outcome.err.startswith("caliche: Expected a file that can be written. Got ")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["estimat"], "'estimate'"),
        (["estimate", "twin-one-depth", "--resume"], "no such option: --resume"),
        (["estimate", "twin-one-depth", "--seeds", "1"], "--seed"),
        (["estimate"], "EXPERIMENT"),
        (["--verson"], "--version"),
    ],
)
def test_wrong_flags_are_one_sentence(caliche, arguments, told):
    outcome = caliche(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert told.lower() in outcome.err.lower()
    assert len(outcome.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("caliche est", "estimate"), ("caliche estimate twin-one", "twin-one-depth")],
)
def test_a_shell_completes_commands_and_experiments(typed, offered):
    environment = {
        **os.environ,
        "_CALICHE_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split()) - 1),
    }
    code = "from caliche.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == [offered], done.stderr

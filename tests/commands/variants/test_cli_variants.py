"""`caliche variants`: what it prints, writes and refuses."""

from __future__ import annotations

import json
import re

import pytest

from caliche.commands.variants import cli
from caliche.commands.variants.page import write_variants_page
from caliche.terminal import tables
from caliche.terminal.progress import Progress
from problems import SMALL

TWIN = ("variants", "twin-two-depths", "--starts", 2)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.drawn
def test_from_the_command_to_the_page(caliche, here):
    outcome = caliche(
        *TWIN,
        *SMALL,
        "--only",
        "albedo, closure-bulk-transfer",
        "--out",
        "run",
        "--variant",
        "rough: parameters.emissivity.value=0.9; model.longwave=kirchhoff",
    )
    assert outcome.code == 0, outcome.err
    assert sorted(p.name for p in (here / "run").iterdir()) == [
        "config.toml",
        "finished",
        "run.json",
        "variants.csv",
        "variants.html",
        "variants.json",
    ]

    # The cost is told before anything is computed, then each variant as it is finished.
    lines = outcome.err.splitlines()
    assert lines[0].startswith("twin-two-depths and 4 variants of it, each from 2 starts")
    assert re.match(r"\[0/4\] base: \d+\.\d s; about \d+ (s|min) for the variants$", lines[1])
    assert [line.partition(":")[0] for line in lines[2:]] == [
        "[1/4] albedo-minus",
        "[2/4] albedo-plus",
        "[3/4] closure-bulk-transfer",
        "[4/4] rough",
    ]
    assert "CANNOT RUN: Expected wind_speed" in lines[4]

    assert max(map(len, outcome.out.splitlines())) <= cli.WIDEST
    assert "Twin experiment, surface and 5 cm: base converged" in outcome.out
    assert "3 variants, and how far the estimates move" in outcome.out
    assert "the albedo fixed at 0.1" in outcome.out
    assert "With the albedo fixed at 0.1" in outcome.out
    assert "closure-bulk-transfer: Expected wind_speed" in outcome.out
    summary = json.loads((here / "run" / "variants.json").read_text("utf-8"))
    assert summary["command"].startswith("caliche variants twin-two-depths --starts 2")
    assert summary["base"]["holdout_rmse"]["value"] < 0.2
    rough = summary["variants"][-1]
    assert (rough["name"], rough["kind"], rough["status"]) == ("rough", "own", "converged")

    page = (here / "run" / "variants.html").read_text("utf-8")
    assert page.count("<figure>") == 5  # one for each parameter
    assert page.count('<th scope="row"><code>rough</code>') >= 2
    assert "at most" in page
    assert "<script" not in page
    assert "http" not in re.sub(r"https?://www\.w3\.org", "", page.partition("<h3>config")[0])
    # The page is a function of the folder.
    (here / "run").rename(here / "moved")
    assert write_variants_page(here / "moved").read_text("utf-8") == page

    # The same again finds everything there, and adds what is new.
    again = caliche(*TWIN, *SMALL, "--only", "albedo", "--out", "moved")
    assert again.code == 0, again.err
    assert again.err.count("done before") == 3


def test_a_base_that_does_not_converge(caliche, here):
    outcome = caliche(
        *TWIN,
        *SMALL,
        "--only",
        "scheme",
        "--out",
        "run",
        "--set",
        "method.options.max_iterations=2",
    )
    assert outcome.code == 3
    assert "the base DID NOT CONVERGE" in outcome.out
    assert "did not converge" in (here / "run" / "variants.html").read_text("utf-8")
    assert json.loads((here / "run" / "variants.json").read_text("utf-8"))["variants"] == []


def test_an_interrupt_keeps_what_is_finished(caliche, here, monkeypatch):
    say = Progress.say

    def interrupt(self, line):
        say(self, line)
        if line.startswith("[0/"):
            raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "say", interrupt)
    outcome = caliche(*TWIN, *SMALL, "--only", "scheme", "--out", "run")
    assert outcome.code == 130
    assert "finished variants are kept in run, and the same command" in outcome.err
    assert "nothing was written" not in outcome.err
    assert (here / "run" / "finished" / "base.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--only", "closures"], "did you mean 'closure'"),
        (["--variant", "deep"], "a variant of the form"),
        (["--variant", "deep: model.depht=2"], "did you mean 'depth'"),
        (["--variant", "deep:"], "something that the variant deep changes"),
        (["--variant", "odd: parameters.thermal_conductivity.value=100"], None),
        (["--starts", 0], "at least one start"),
        (["--set", "model.schema=sdirk2"], "did you mean 'scheme'"),
    ],
)
def test_bad_input(caliche, here, arguments, told):
    only = [] if "--only" in arguments else ["--only", "own"]
    outcome = caliche(*TWIN[:2], *SMALL, *only, *arguments, "--out", "run")
    if told is None:  # a variant that cannot be is told among the others
        assert outcome.code == 0, outcome.err
        assert "CANNOT RUN: Expected " in outcome.err
        return
    assert outcome.code == 2
    assert told in outcome.err
    assert not (here / "run").exists()


def test_a_wide_table_is_broken_into_several(capsys, monkeypatch):
    names = [f"a_rather_long_parameter_name_{k}" for k in "abcdefg"]
    parameters = {
        name: {"estimate": 2.5e6, "sd": 1e4, "unit": "J", "fixed": False} for name in names
    }
    entry = {"as": "x", "estimate": 2.6e6, "sd": 1e4, "fixed": False, "shift": 10.0}
    rmse = {"value": 0.5, "unit": "K", "streams": ["t"]}
    record = {
        "name": "base",
        "what": "a long description of what this variant is about, in words",
        "parameters": parameters,
        "shifts": {name: [entry, entry] for name in names},
        "rmse": rmse,
        "holdout_rmse": rmse,
        "comparable": True,
        "holdout_comparable": False,
        "delta": {"tempered_bic": 3.0},
    }
    monkeypatch.setattr(tables.sys.stdout, "isatty", lambda: True, raising=False)
    for columns in (80, 110):
        monkeypatch.setenv("COLUMNS", str(columns))
        cli.print_tables(record, [{**record, "name": "other"}])
        out = capsys.readouterr().out
        assert max(map(len, out.splitlines())) <= columns
        assert out.count("2.600e6 (+10.0)") == 2 * len(names)
        assert "0.5*" in out

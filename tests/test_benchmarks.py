"""The benchmarks run, and agree with the C kernel; what they measure is not judged here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

pytestmark = pytest.mark.ci

CHECKOUT = Path(__file__).parents[1]
# Quick to compile, and one that may be missing.
SMOKED = ("ensemble", "eager")


def run(folder: Path, *arguments: str) -> tuple[subprocess.CompletedProcess[str], dict]:
    """Run the benchmarks in a process of their own; also gives what they wrote as JSON."""
    file = folder / "benchmarks.json"
    surroundings = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments, "--json", str(file)],
        env=surroundings,
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
    )
    return done, json.loads(file.read_text()) if file.exists() else {}


@pytest.fixture
def benchmarks(monkeypatch):
    """The modules of the benchmarks, which are not part of the package."""
    monkeypatch.syspath_prepend(str(CHECKOUT))
    return lambda name: import_module(f"benchmarks.{name}")


def test_they_run_and_write_their_page(tmp_path):
    page = tmp_path / "page.md"
    done, found = run(tmp_path, "--tiny", "--only", *SMOKED, "--out", str(page))
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(found["cases"]) == set(SMOKED)
    text = page.read_text()
    for case in found["cases"].values():
        assert case["error"] == ""
        assert f"## {case['title']}" in text
        for row in case["rows"]:
            assert row["value"] is not None or "not measured: " in row["note"]
    assert str(tmp_path) not in text
    assert f"--only {' '.join(SMOKED)} --out docs/results/page.md" in text


def test_the_model_is_the_one_in_c(tmp_path):
    """Temperatures to 1e-9 K, the gradient to 1e-6: the cases set these as requirements."""
    done, found = run(tmp_path, "--quick", "--only", "agreement")
    rows = found["cases"]["agreement"]["rows"]
    if any(row["value"] is None for row in rows):
        pytest.skip(rows[0]["note"])
    assert all(row["required"] and row["met"] for row in rows), done.stdout
    assert done.returncode == 0


@pytest.mark.slow
def test_xla_still_has_the_option(tmp_path):
    done, found = run(tmp_path, "--quick", "--only", "option")
    assert done.returncode == 0, found["cases"]["option"]["rows"][-1]["note"]


def test_an_option_that_was_dropped_fails_and_is_explained(benchmarks, monkeypatch):
    package, timing = benchmarks("cases_package"), benchmarks("timing")
    monkeypatch.setattr(package, "run_job", lambda *_, **__: timing.Child({"seconds": 1.0}, 1.0))
    last = package.option(benchmarks("rows").SIZES["tiny"])[-1]
    assert last.failed
    assert last.note.startswith("Expected time loops to run at least 2 times faster")


def test_without_a_yardstick_the_reason_is_given(benchmarks, monkeypatch, tmp_path):
    yardstick = benchmarks("yardstick")
    monkeypatch.setenv("CALICHE_YARDSTICKS", str(tmp_path))
    with pytest.raises(yardstick.Unavailable, match=r"Expected kern\.c and kern\.inc"):
        yardstick.source_folder()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(yardstick.Unavailable, match="Expected gcc"):
        yardstick.compiler()


def test_what_was_not_measured_is_blank_and_misses_no_target(benchmarks):
    rows, page = benchmarks("rows"), benchmarks("page")
    row = rows.blank_row("a thing", "ms", "no compiler", target=1.0)
    assert row.met is None
    assert not row.failed
    cells = page.cells(row)
    assert cells[1] == ""
    assert cells[-1] == "not measured: no compiler"


def test_targets_are_judged_in_the_right_direction(benchmarks):
    Row = benchmarks("rows").Row
    assert Row("time", 1.0, "s", target=2.0).met
    assert not Row("time", 3.0, "s", target=2.0).met
    assert Row("gain", 3.0, "x", target=2.0, at_least=True).met
    assert Row("gain", 1.0, "x", target=2.0, at_least=True, required=True).failed


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (0.0, "0"),
        (0.12345, "0.123"),
        (999.4, "999"),
        (12345.6, "12,300"),
        (4.2e-11, "4.2e-11"),
        (3e8, "3.0e+08"),
    ],
)
def test_numbers(benchmarks, value, text):
    assert benchmarks("page").number(value) == text

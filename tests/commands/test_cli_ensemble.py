"""Methods without gradients from the command line: estimate, compare and drive."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from caliche.terminal.progress import Progress

RUN = ["config.toml", "report.html", "result.nc", "run.json", "summary.json"]


def summary_of(folder) -> dict:
    return json.loads((folder / "summary.json").read_text("utf-8"))


def names(folder) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_an_ensemble_from_file_to_report(caliche, tower, monkeypatch):
    tower.config["method"] = {"name": "etki", "options": {"members": 24, "failures": "redraw"}}
    # Beside a bound an ensemble would say that it is not the posterior.
    tower.config["parameters"] |= {
        "combined_heat_transfer_coefficient": {"prior": "normal", "mean": 60.0, "sd": 5.0},
        "thermal_conductivity": {"prior": "normal", "mean": 0.8, "sd": 0.05},
    }
    tower.write()
    outcome = caliche("estimate", "tower.toml", "--out", "whole", "--seed", 3)
    assert outcome.code == 0, outcome.err
    whole = tower.folder / "whole"
    assert names(whole) == RUN
    assert names(tower.folder) == ["tower.csv", "tower.toml", "whole"]
    assert "A small tower: converged" in outcome.out
    assert "Note: Error bars are the spread of 24 members of method etki." in outcome.out
    summary = summary_of(whole)
    assert summary["error_bars"] == "ensemble"
    assert summary["ensemble"]["members"] == 24
    assert summary["ensemble"]["times"][-1] == 1.0
    assert summary["reason"].startswith("converged: reached the posterior, T = 1, in ")
    page = (whole / "report.html").read_text("utf-8")
    assert "with ensemble transform Kalman inversion (ETKI)" in page
    assert "Error bars are the spread of 24 members" in page

    # The members lie where ArviZ looks for draws, and are those of the error bars.
    with (
        xr.open_dataset(whole / "result.nc", group="posterior", engine="h5netcdf") as drawn,
        xr.open_dataset(whole / "result.nc", engine="h5netcdf") as root,
    ):
        assert dict(drawn.sizes) == {"chain": 1, "draw": 24}
        for k, name in enumerate(root["parameter"].values.tolist()):
            assert float(drawn[name].std(ddof=1)) == pytest.approx(float(root["sd"][k]), rel=1e-9)
    for group in ("unconstrained_posterior", "observed_data"):
        xr.open_dataset(whole / "result.nc", group=group, engine="h5netcdf").close()

    # Stopped in the second step, and gone on with: the same to the last bit.
    update = Progress.update

    def stop(self, text, *numbers, **how):
        if text.startswith("iteration 2 "):
            raise KeyboardInterrupt
        update(self, text, *numbers, **how)

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "update", stop)
        outcome = caliche("estimate", "tower.toml", "--out", "part", "--seed", 3)
    assert outcome.code == 130
    assert "part.state.npz is kept, and the same command goes on from there" in outcome.err
    assert names(tower.folder) == ["part.state.npz", "tower.csv", "tower.toml", "whole"]
    outcome = caliche("estimate", "tower.toml", "--out", "part", "--seed", 4)
    assert outcome.code == 2
    assert "a state of the same problem, method, options and seed" in outcome.err
    outcome = caliche("estimate", "tower.toml", "--out", "part", "--seed", 3, "--fresh")
    assert outcome.code == 2
    assert "leave out --fresh to go on with it" in outcome.err
    assert names(tower.folder) == ["part.state.npz", "tower.csv", "tower.toml", "whole"]
    outcome = caliche("estimate", "tower.toml", "--out", "part", "--seed", 3)
    assert outcome.code == 0, outcome.err
    assert names(tower.folder) == ["part", "tower.csv", "tower.toml", "whole"]
    one, other = summary_of(whole), summary_of(tower.folder / "part")
    assert one["parameters"] == other["parameters"]
    assert one["n_model_runs"] == other["n_model_runs"]

    # What the folder keeps runs again.
    kept = tomllib.loads((whole / "config.toml").read_text("utf-8"))
    assert kept["method"] == {
        "name": "etki",
        "starts": 1,
        "seed": 3,
        "options": {"members": 24, "failures": "redraw"},
    }


def test_arviz_reads_the_members(caliche, tower):
    arviz = pytest.importorskip("arviz")
    tower.write()
    outcome = caliche("estimate", "tower.toml", "--out", "run", "--method", "etki")
    assert outcome.code == 0, outcome.err
    data = arviz.from_netcdf(str(tower.folder / "run" / "result.nc"))
    summary = arviz.summary(data)
    expected = summary_of(tower.folder / "run")["parameters"]["thermal_conductivity"]
    assert summary.loc["thermal_conductivity", "sd"] == pytest.approx(expected["sd"], rel=0.1)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--method", "ekki"], "did you mean 'eki' or 'etki'"),
        (["--method", "eki", "--starts", 4], "one start with method eki"),
        (["--resume"], "no such option: --resume"),
        (
            [
                "--set",
                "method.name='eki'",
                "--set",
                "method.starts=1",
                "--set",
                "method.options.members='many'",
            ],
            "a whole number for members",
        ),
        (
            [
                "--set",
                "method.name='eki'",
                "--set",
                "method.starts=1",
                "--set",
                "method.options.members=1",
            ],
            "members of at least 3",
        ),
        (
            [
                "--set",
                "method.name='uki'",
                "--set",
                "method.starts=1",
                "--set",
                "method.options.failures='redraw'",
            ],
            "failures to be one of drop, stop",
        ),
    ],
)
def test_what_cannot_be_is_refused(caliche, tower, flags, message):
    tower.write()
    outcome = caliche("estimate", "tower.toml", "--out", "run", *flags)
    assert outcome.code == 2
    assert message in outcome.err
    assert names(tower.folder) == ["tower.csv", "tower.toml"]


SMALL = (
    "--set",
    "synthetic.hours=30",
    "--set",
    "synthetic.fit_hours=30",
    "--set",
    "model.nodes=21",
)


@pytest.mark.ci
def test_methods_side_by_side_on_a_twin(caliche, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    methods = "etki:members=12,4denvar:iterated=true;members=12"
    command = ("compare", "twin-one-depth", "--method", methods, "--repeats", 2, *SMALL)
    outcome = caliche(*command, "--out", "cmp")
    assert outcome.code in (0, 3), outcome.err
    told = outcome.err.splitlines()
    assert told[0].startswith("2 methods from 2 seeds: about ")
    assert "model runs (etki:members=12 " in told[0]
    assert names(tmp_path / "cmp") == [
        "compare.csv",
        "compare.json",
        "config.toml",
        "rows",
        "run.json",
    ]
    rows = json.loads((tmp_path / "cmp" / "compare.json").read_text("utf-8"))["rows"]
    assert [(r["method"], r["seed"]) for r in rows] == [
        (m, s) for m in methods.split(",") for s in (0, 1)
    ]
    for row in rows:
        assert row["misfit"] >= min(r["misfit"] for r in rows)
        assert 0.0 <= row["from_best"] <= row["farthest"] < 4.0
        assert 0.0 < row["from_truth"] < 4.0
        assert row["model_runs"] > 12
        assert row["run_seconds"] >= 0.0
        assert outcome.code == 3 or row["converged"]
    with open(tmp_path / "cmp" / "compare.csv", newline="") as file:
        table = list(csv.DictReader(file))
    for line, row in zip(table, rows, strict=True):
        for name, value in row["estimates"].items():
            assert float(line[name]) == value
    lines = outcome.out.splitlines()
    assert " of 4 runs converged, and " in lines[1]
    assert lines[3].split()[:3] == ["method", "seed", "converged"]
    assert "from truth, sd" in outcome.out

    # The same command, killed in the middle, goes on to the same table.
    kept = killed(tmp_path / "part", [*command, "--out", "part"], rows=1)
    assert 1 <= len(kept) < 4
    again = caliche(*command, "--out", "part")
    assert again.code == outcome.code
    assert again.err.count("(done before)") == len(kept)
    assert "Going on in part" in again.err
    for name, text in kept.items():
        assert (tmp_path / "part" / "rows" / name).read_bytes() == text
    others = json.loads((tmp_path / "part" / "compare.json").read_text("utf-8"))["rows"]
    for one, other in zip(rows, others, strict=True):
        for key, value in one.items():
            if isinstance(value, float) and not key.endswith("_seconds"):
                assert other[key] == pytest.approx(value, rel=1e-6, abs=1e-9), key
            elif key in ("method", "seed", "model_runs", "converged", "reason"):
                assert other[key] == value
    # Another problem has no place there.
    outcome = caliche(*command, "--out", "part", "--set", "synthetic.seed=7")
    assert outcome.code == 2
    assert "a run with the same experiment as the one in the folder" in outcome.err


def killed(folder: Path, command: Sequence[object], rows: int) -> dict[str, bytes]:
    """Rows that a comparison has finished when it is killed, after so many."""
    code = "from caliche.cli import main; main()"
    job = subprocess.Popen([sys.executable, "-c", code, *map(str, command)])
    try:
        give_up = time.monotonic() + 120.0
        while len(list(folder.glob("rows/*.json"))) < rows and job.poll() is None:
            assert time.monotonic() < give_up
            time.sleep(0.002)
    finally:
        job.kill()
        job.wait()
    assert job.returncode != 0
    assert not (folder / "compare.json").exists()
    return {p.name: p.read_bytes() for p in folder.glob("rows/*.json")}


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ("lm,lmm", "did you mean 'lm'"),
        ("lm,lm", "each named once"),
        ("", "methods to compare"),
        ("etki:member=3", "did you mean 'members'"),
        ("etki:members", "an override of the form key=value"),
    ],
)
def test_methods_that_cannot_be_compared(caliche, tower, methods, message):
    tower.write()
    outcome = caliche("compare", "tower.toml", "--method", methods, "--out", "cmp")
    assert outcome.code == 2
    assert message in outcome.err
    assert names(tower.folder) == ["tower.csv", "tower.toml"]


def test_drive_from_the_command_line(caliche, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text(
        "import json\n"
        "p = json.load(open('parameters.json'))['parameters']\n"
        "json.dump([p['a'], p['a'] ** 2], open('outputs.json', 'w'))\n"
    )
    (tmp_path / "study.toml").write_text(
        f"""
title = "A square"
[model]
command = ["{sys.executable}", "-I", "-S", "{{here}}/model.py"]
[parameters.a]
lower = 0.0
upper = 4.0
[observations]
values = [2.0, 4.0]
sigma = [0.5, 0.5]
[method]
name = "uki"
"""
    )
    outcome = caliche("drive", "study.toml", "--out", "out", "--workers", 2)
    assert outcome.code == 0, outcome.err
    assert "A square: uki with 3 runs an iteration, 2 at a time" in outcome.err
    assert "How it ended: converged: reached the posterior, T = 1" in outcome.out
    assert "error bars are the spread of the ensemble" in outcome.out
    found = json.loads((tmp_path / "out" / "result.json").read_text("utf-8"))
    assert found["parameters"]["a"]["estimate"] == pytest.approx(2.0, abs=0.1)
    assert found["command"] == "caliche drive study.toml --out out --workers 2"
    assert found["n_failed"] == 0
    for flags, message in (
        (["--out", "out", "--fresh"], "a folder for the run that does not exist yet"),
        (["--out", "out", "--workers", 0], "at least one worker"),
        (["--out", "out"], "a folder that does not exist yet"),
    ):
        outcome = caliche("drive", "study.toml", *flags)
        assert outcome.code == 2
        assert message in outcome.err
    # One that was stopped before its end goes on, if the file is still the same.
    (tmp_path / "out" / "result.json").unlink()
    fresh = caliche("drive", "study.toml", "--out", "out", "--fresh")
    assert (fresh.code, (tmp_path / "out" / "result.json").exists()) == (2, False)
    text = (tmp_path / "study.toml").read_text()
    (tmp_path / "study.toml").write_text(text.replace("0.5", "0.6"))
    assert "changed since" in caliche("drive", "study.toml", "--out", "out").err
    (tmp_path / "study.toml").write_text(text)
    assert caliche("drive", "study.toml", "--out", "out").code == 0
    assert caliche("drive", "none.toml").code == 2
    assert np.isfinite(found["misfit"]).all()

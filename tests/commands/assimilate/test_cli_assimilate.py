"""`caliche assimilate` on a twin: against one estimate of the whole record, stopped and resumed."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import xarray as xr

from caliche.commands.assimilate import folder as assimilate_files
from caliche.commands.assimilate.run import run_assimilation
from caliche.commands.assimilate.summary import AssimilationSummary
from caliche.commands.assimilate.words import remarks_of
from caliche.estimation import estimate
from caliche.experiments import load_experiment
from caliche.files import whole_file
from caliche.keys.records import from_json, read_record, to_json
from caliche.runs import parts

SETTINGS = ("model.nodes=21", "model.depth=0.6")
COMMAND = ("assimilate", "twin-two-depths", *(a for s in SETTINGS for a in ("--set", s)))
WINDOW = ("--window", "1.5")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("windows") / "run"
    return run_assimilation(load_experiment("twin-two-depths", SETTINGS), 1.5, folder)


def test_constant_parameters_are_those_of_the_whole_record(run):
    """The model is curved and remembers for days; 0.02 sd is what linear hand-overs cost."""
    whole = estimate(load_experiment("twin-two-depths", SETTINGS).problem())
    assert [w.observations for w in run.summary.windows] == [74, 72, 56]
    for name in whole.names:
        one, all_at_once = run.summary.parameters[name], whole.parameters[name]
        off = (one.estimate - all_at_once.estimate) / all_at_once.sd_naive
        assert abs(off) < 0.05, name
        assert one.sd_naive == pytest.approx(all_at_once.sd_naive, rel=0.02)
        assert abs(one.estimate - one.truth) < 3.0 * one.sd


def test_the_folder_holds_the_windows(run):
    with xr.open_dataset(run.folder / "result.nc", engine="h5netcdf") as found:
        assert dict(found.sizes)["window"] == 3
        last = found["estimate"].sel(window=3, parameter="albedo").item()
        assert last == run.summary.parameters["albedo"].estimate
        assert (np.diff(found["window_start"]) == np.timedelta64(36, "h")).all()
        forecast, observed = (
            found["surface_temperature_forecast"],
            found["surface_temperature_observed"],
        )
        rmse = np.sqrt(np.mean((forecast - observed).values[37:] ** 2))
        assert rmse == pytest.approx(run.summary.streams["surface_temperature"].forecast_rmse)
    # A known model: forecasts are as good as the noise, and innovations as large as expected.
    for stream in run.summary.streams.values():
        assert stream.forecast_rmse == pytest.approx(0.1, rel=0.3)
        assert 0.7 < stream.chi_square_ratio < 1.5


@pytest.mark.drawn
def test_a_run_that_was_stopped_goes_on_with_the_same_numbers(run, caliche, tmp_path):
    out = tmp_path / "stopped"
    shutil.copytree(run.folder, out)
    (out / "windows" / "00003.npz").unlink()
    (out / "windows" / ".00003.npz.part").write_bytes(b"half a file")
    for name in ("result.nc", "summary.json"):
        (out / name).unlink()
    outcome = caliche(*COMMAND, *WINDOW, "--out", out)
    assert outcome.code == 0
    assert "One window ahead" in outcome.out
    assert "window 3 of 3" in outcome.err
    page = (out / "assimilation.html").read_text("utf-8")
    assert page.count("<svg") == 3
    assert "Thermal conductivity" in page
    again = read_record(AssimilationSummary, out / "summary.json", "")
    assert (again.parameters, again.streams) == (run.summary.parameters, run.summary.streams)
    assert [w.cost for w in again.windows] == [w.cost for w in run.summary.windows]
    assert to_json(again) == json.loads((out / "summary.json").read_text("utf-8"))
    # The same folder is not another run's.
    refused = caliche(*COMMAND, "--window", "2", "--out", out)
    assert refused.code == 2
    assert "begun differently" in refused.err


def test_a_broken_window_is_named(run, caliche, tmp_path):
    out = tmp_path / "broken"
    shutil.copytree(run.folder, out)
    (out / "windows" / "00002.npz").write_bytes(b"half a file")
    outcome = caliche(*COMMAND, *WINDOW, "--out", out)
    assert outcome.code == 2
    assert "00002.npz" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--window", "5"), "a window of 1 to 100 time steps"),
        (("--window", "0"), "one time step (0.0416667 days) or more"),
        (("--window", "nan"), "one time step"),
        (("--window", "1", "--drift", "much"), "--drift SD or --drift NAME=SD"),
        (("--window", "1", "--drift", "0.1", "--drift", "albedo=0.1"), "one --drift for all"),
        (("--window", "1", "--drift", "albeda=0.1"), "albedo"),
        (("--window", "1", "--drift", "-1"), "drift of 0 or more"),
        (("--window", "1", "--forget", "0.5"), "forget of 1 or more"),
        (("--window", "1", "--forget", "2", "--drift", "1"), "either drift or forget"),
        (
            ("--window", "1", "--set", "observations.surface_temperature.estimate_sigma=true"),
            "errors of known size",
        ),
        (
            (
                "--window",
                "1",
                "--set",
                "parameters.albedo.variation.kind='piecewise-linear'",
                "--set",
                "parameters.albedo.variation.every_days=1",
                "--set",
                "parameters.albedo.variation.smoothness=0.1",
            ),
            "constant parameters",
        ),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(caliche, tmp_path, arguments, words):
    outcome = caliche(*COMMAND, *arguments, "--out", tmp_path / "none")
    assert outcome.code == 2
    assert words in outcome.err
    assert not (tmp_path / "none").exists()


def test_what_a_reader_should_know_is_said(run):
    changed = to_json(run.summary)
    first, second, third = changed["windows"]
    second |= {"observations": 0, "converged": True}
    third |= {"converged": False, "reason": "stopped at the limit", "shift": 4.2}
    first["parameters"]["albedo"]["at_bound"] = True
    changed["streams"]["surface_temperature"]["chi_square_ratio"] = 9.0
    changed["streams"]["soil_temperature_0.05m"]["chi_square_ratio"] = 0.1
    said = [remark.sentence for remark in remarks_of(from_json(AssimilationSummary, changed))]
    assert len(said) == 6
    for text, words in zip(
        said,
        (
            "Window 3 did not converge",
            "window 3 by 4.2 standard deviations",
            "Window 2 had no",
            "Albedo ended at a bound in window 1",
            "9 times the variance",
            "sigma is too large",
        ),
        strict=True,
    ):
        assert words in text
    assert not remarks_of(run.summary)


@pytest.mark.parametrize("done", [0, 1])
def test_killed_at_the_very_beginning_goes_on(tmp_path, monkeypatch, done):
    """Of the files that begin a folder, one after another, only so many were written."""
    written = []

    def killed(path, text):
        if len(written) == done:
            raise KeyboardInterrupt
        written.append(whole_file.write_text(path, text))

    for writer in ("write_text_once", "write_text"):
        monkeypatch.setattr(parts, writer, killed)
    folder = assimilate_files.AssimilationFolder(tmp_path / "run", "mark")
    with pytest.raises(KeyboardInterrupt):
        folder.begin("")
    monkeypatch.undo()
    assimilate_files.AssimilationFolder(tmp_path / "run", "mark").begin("")
    assert (tmp_path / "run" / "config.toml").is_file()

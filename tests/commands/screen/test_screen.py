"""`caliche screen` below the command line: what is looked at, what is kept, what is written."""

from __future__ import annotations

import json
import tomllib

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from caliche.commands.screen.outputs import Outputs, StreamOutputs, outputs_of
from caliche.commands.screen.run import deciding, matters, screen_experiment
from caliche.commands.screen.summary import ScreeningSummary
from caliche.errors import InputError
from caliche.experiments import load_experiment
from caliche.keys.records import from_json, to_json
from caliche.runs.folder import state_file
from caliche.sensitivity import run
from caliche.sensitivity.designs import make_groups
from caliche.sensitivity.indices import Indices

TWIN = "twin-two-depths"
SHORT = ("synthetic.hours=60", "synthetic.fit_hours=48")


def hourly(hours: int) -> np.ndarray:
    return np.datetime64("2012-05-01T00:00", "ns") + np.arange(hours) * np.timedelta64(1, "h")


def test_outputs_are_means_and_errors_of_what_is_seen():
    experiment = load_experiment(TWIN, SHORT)
    problem = experiment.scoring_problem(experiment.n_fit)
    outputs = outputs_of(experiment, problem)
    assert outputs.width == "step"
    assert (len(outputs.times), len(outputs.hours), outputs.each) == (48, 24, 74)
    prediction = np.random.default_rng(0).normal(290.0, 3.0, (49, 2))
    y = np.asarray(outputs.function(jnp.asarray(prediction)))
    observed = np.asarray(problem.observations.values)
    for stream in range(2):
        mine, after = y[stream * 74 : (stream + 1) * 74], prediction[1:, stream]
        np.testing.assert_allclose(mine[0], after.mean())
        np.testing.assert_allclose(mine[1:49], after)
        np.testing.assert_allclose(mine[49:73], after.reshape(2, 24).mean(axis=0))
        error = prediction[:, stream] - observed[:, stream]
        np.testing.assert_allclose(mine[73], np.sqrt(np.mean(error**2)))
        columns = outputs.columns(stream, "cycle")
        np.testing.assert_array_equal(columns, stream * 74 + np.arange(49, 73))


@pytest.mark.parametrize(
    ("hours", "width", "number"), [(100, "step", 100), (250, "3 hours", 84), (2000, "day", 84)]
)
def test_bins_are_the_narrowest_of_at_most_a_hundred(hours, width, number):
    experiment = load_experiment(TWIN, [f"synthetic.hours={hours}"])
    outputs = outputs_of(experiment, experiment.scoring_problem())
    assert (outputs.width, len(outputs.times)) == (width, number)
    weights = np.asarray(outputs.function.weights)
    in_bins = weights[1 : 1 + number]
    np.testing.assert_array_equal(in_bins.sum(axis=0), [0.0, *np.ones(hours)])
    np.testing.assert_array_equal(weights[1 + number :].sum(axis=0), [0.0, *np.ones(hours)])


def made_up(total: np.ndarray, keep: float) -> tuple[str, ...]:
    """What is kept of parameters with these totals on the course and error of a fitted stream, and
    on those of one that is not fitted."""
    blank = jnp.zeros((2, 2))
    function = StreamOutputs(blank, blank, blank, blank)
    counts = np.ones((2, 3))
    outputs = Outputs(
        function, ("x", "y"), (True, False), np.ones(2), hourly(1), "step", np.zeros(0), counts
    )
    assert deciding(outputs) == [6, 2]
    groups = make_groups(["a", "b", "c", "d"])
    columns = np.zeros((4, 10))
    columns[:, [6, 2, 8, 5]] = total
    variance = columns.sum(axis=0)
    return matters(
        Indices("sobol", groups, 8, {}, None, columns, variance, variance), outputs, keep
    )


def test_what_any_fitted_output_needs_is_kept():
    course, error, other = [60.0, 38.0, 2.0, 0.0], [1.0, 2.0, 95.0, 2.0], [0.0, 0.0, 0.0, 100.0]
    total = np.array([course, error, other, other]).T
    assert made_up(total, 0.95) == ("c", "a", "b")
    assert made_up(total, 0.5) == ("c", "a")
    assert made_up(total, 1.0) == ("c", "a", "b", "d")
    with pytest.raises(InputError, match="depends on a free parameter"):
        made_up(np.zeros((4, 4)), 0.95)


def test_a_screening_that_was_stopped_ends_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "BLOCK", 64)
    monkeypatch.setattr(run, "KEEP_EVERY", 0.0)
    experiment = load_experiment(TWIN, SHORT)
    together = {"soil": ["thermal_conductivity", "volumetric_heat_capacity"]}
    options = {"method": "sobol", "samples": 30, "together": together, "starts": True}
    plans = []
    whole = screen_experiment(experiment, **options, out=tmp_path / "whole", announce=plans.append)
    assert (plans[0].samples, plans[0].runs, plans[0].steps) == (32, 32 * 6, 48)
    assert "rounded up to 32" in plans[0].note

    def stop(progress) -> None:
        if progress.done > 100:
            raise KeyboardInterrupt

    out = tmp_path / "again"
    with pytest.raises(KeyboardInterrupt):
        screen_experiment(experiment, **options, out=out, callback=stop)
    assert state_file(out).is_file()
    assert not out.exists()
    with pytest.raises(InputError, match="a state of the same problem"):
        screen_experiment(experiment, **options, seed=1, out=out, resume=True)
    again = screen_experiment(experiment, **options, out=out, resume=True)
    assert not state_file(out).exists()
    for name, values in whole.indices.by_name.items():
        for part, other in zip(values, again.indices.by_name[name], strict=True):
            np.testing.assert_array_equal(part, other)
    check_folder(out, whole)


def check_folder(folder, found) -> None:
    summary = json.loads((folder / "summary.json").read_text("utf-8"))
    assert summary["groups"]["soil"] == ["thermal_conductivity", "volumetric_heat_capacity"]
    assert summary["fixed"] == ["soil"]
    assert to_json(from_json(ScreeningSummary, summary)) == summary
    assert "Small beside the others, but not beside the errors" in summary["warnings"][-1]
    with xr.open_dataset(folder / "screening.nc", engine="h5netcdf") as arrays:
        total = arrays.course_ST.sel(stream="surface_temperature", parameter="albedo")
        assert total.dims == ("time",)
        assert arrays.sizes["time"] == 48
        assert arrays.cycle_S1_lower.dims == ("stream", "parameter", "hour")
        stream = found.outputs.streams.index("surface_temperature")
        column = found.outputs.column(stream, "course")
        row = found.indices.groups.names.index("albedo")
        value = float(arrays.course_all_ST.sel(stream="surface_temperature", parameter="albedo"))
        assert value == found.indices.by_name["ST"].estimate[row, column]
        assert summary["streams"]["surface_temperature"]["outputs"]["course"]["parameters"][
            "albedo"
        ]["ST"][0] == pytest.approx(value)
    reduced = tomllib.loads((folder / "reduced.toml").read_text("utf-8"))
    assert reduced["parameters"]["thermal_conductivity"] == {"value": 0.6, "fixed": True}
    fewer = load_experiment(folder / "reduced.toml").problem()
    assert fewer.space.names == (
        "albedo",
        "combined_heat_transfer_coefficient",
        "bottom_temperature",
    )

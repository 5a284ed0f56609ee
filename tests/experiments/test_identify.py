"""Identifiability and sensor design of experiments: the twin's table, the Bowen ratio, towers."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest
from scipy.linalg import solve_banded

from caliche.commands.design.figures import write_design_figure
from caliche.commands.design.run import design_experiment, summarise, table, write_design
from caliche.commands.identify.run import identify_experiment
from caliche.commands.identify.words import gap_sentence, sentences
from caliche.errors import InputError
from caliche.experiments import load_experiment
from caliche.experiments.weather import huang_forcing

SURFACE = "surface_temperature"
SOIL = {z: f"soil_temperature_{z:.2f}m" for z in (0.02, 0.05, 0.15)}
NAMES = (
    "albedo",
    "combined_heat_transfer_coefficient",
    "volumetric_heat_capacity",
    "thermal_conductivity",
    "bottom_temperature",
)

BOWEN = """
title = "Twin with a Bowen ratio"
[synthetic]
hours = 30
seed = 1
[synthetic.truth]
albedo = 0.2
heat_transfer_coefficient = 15.0
bowen_ratio = 1.5
thermal_conductivity = 0.8
volumetric_heat_capacity = 2.2e6
bottom_temperature = 293.0
[window]
time_step = 3600
[model]
name = "soil-heat"
depth = 1.0
nodes = 21
turbulence = "bowen-ratio"
longwave = "unweighted"
[parameters.albedo]
[parameters.heat_transfer_coefficient]
[parameters.bowen_ratio]
[parameters.thermal_conductivity]
[parameters.volumetric_heat_capacity]
[parameters.bottom_temperature]
start = [290.0, 303.0]
[observations.surface_temperature]
sigma = 0.1
[observations."soil_temperature_0.05m"]
sigma = 0.1
[observations.sensible_heat_flux]
sigma = 20.0
fit = false
"""


# -- the twin of Huang et al. -----------------------------------------------------------------

# Sensors: condition number; sd of albedo, H, C and lambda in % of the truth, and of Tb in K, for
# white noise of 0.1 K on 100 hourly values. From an independent model and differences.
TABLE = {
    (SOIL[0.05],): (161, 2.8, 3.0, 23.5, 46, 0.075),
    (SURFACE,): (1200, 0.8, 0.7, 184, 187, 0.18),
    (SOIL[0.02],): (140, 1.7, 1.8, 3.9, 36, 0.11),
    (SURFACE, SOIL[0.05]): (28, 0.5, 0.3, 0.8, 1.1, 0.05),
    (SOIL[0.05], SOIL[0.15]): (14, 0.8, 0.55, 2.2, 3.2, 0.026),
    (SURFACE, SOIL[0.15]): (12, 0.5, 0.3, 0.9, 1.0, 0.025),
}


@pytest.fixture(scope="module")
def twin_design():
    return design_experiment(
        load_experiment("twin-two-depths"), [0.0, 0.02, 0.05, 0.15], [], largest=2
    )


@pytest.mark.parametrize("streams", TABLE, ids=" + ".join)
def test_the_table_of_the_twin(twin_design, streams):
    order = [entry.name for entry in twin_design.entries]
    truth = dict(zip(order, (entry.value for entry in twin_design.entries), strict=True))
    found = twin_design.of(*streams)
    condition, *expected = TABLE[streams]
    # The last digit of a number that was written with two.
    assert found.condition == pytest.approx(condition, rel=0.02)
    for name, number in zip(NAMES, expected, strict=True):
        sd = found.sd[order.index(name)]
        shown = sd if name == "bottom_temperature" else 100.0 * sd / truth[name]
        last = 10.0 ** -len(f"{number:g}".partition(".")[2])
        assert abs(shown - number) <= 0.55 * last


def column(parameters: np.ndarray, hours: int = 100) -> np.ndarray:
    """Backward Euler on 101 nodes to 1 m, 1 h, by banded solves: temperatures (hour, node).

    Written for this test alone; nothing of the package but the forcing.
    """
    albedo, transfer, capacity, conductivity, bottom = parameters
    forcing, dx, dt = huang_forcing(np.arange(hours + 1.0)), 0.01, 3600.0
    r = conductivity * dt / (capacity * dx**2)
    bands = np.zeros((3, 100))
    bands[0, 1:], bands[1], bands[2, :-1] = -r, 1.0 + 2.0 * r, -r
    bands[0, 1] = -2.0 * r
    flux = 2.0 * r * dx / conductivity
    state, found = np.full(101, bottom), [np.full(101, bottom)]
    for k in range(1, hours + 1):
        gained = (1.0 - albedo) * forcing["incoming_shortwave"][k]
        gained += forcing["incoming_longwave"][k] + transfer * forcing["air_temperature"][k]
        new = state.copy()
        for _ in range(8):  # Newton for the emission of the surface
            matrix, right = bands.copy(), state[:-1].copy()
            matrix[1, 0] += flux * (transfer + 4.0 * 0.95 * 5.670374419e-8 * new[0] ** 3)
            right[0] += flux * (gained + 3.0 * 0.95 * 5.670374419e-8 * new[0] ** 4)
            right[-1] += r * bottom
            new[:-1] = solve_banded((1, 1), matrix, right)
        state = new.copy()
        found.append(state)
    return np.array(found)


def test_the_table_against_differences_of_another_model(twin_design):
    truth = np.array([0.2, 25.0, 2.2e6, 0.8, 293.0])
    steps = 1e-4 * np.array([0.2, 25.0, 2.2e6, 0.8, 1.0])
    runs = [column(truth + s) - column(truth - s) for s in np.diag(steps)]
    slopes = np.stack(runs, axis=-1)[1:] / (2.0 * steps)
    order = [[e.name for e in twin_design.entries].index(name) for name in NAMES]
    node = {SURFACE: 0, SOIL[0.02]: 2, SOIL[0.05]: 5, SOIL[0.15]: 15}
    for found in twin_design.sets:
        rows = slopes[:, [node[s] for s in found.streams]].reshape(-1, 5) / 0.1
        sd = np.sqrt(np.diag(np.linalg.inv(rows.T @ rows)))
        assert found.sd[order] == pytest.approx(sd, rel=2e-4)


def test_time_zero_tells_the_initial_temperature(twin_design):
    """The fitted problem sees 101 values, of which the first is T_b itself."""
    found = identify_experiment(load_experiment("twin-one-depth"))
    assert found["at"] == "the truth"
    assert found["n_observations"] == 101
    sd = {name: p["relative_sd"] for name, p in found["parameters"].items()}
    assert sd["thermal_conductivity"] == pytest.approx(0.436, abs=5e-4)
    order = [entry.name for entry in twin_design.entries]
    without = twin_design.of(SOIL[0.05]).sd[order.index("bottom_temperature")]
    first = 1.0 / found["parameters"]["bottom_temperature"]["sd"] ** 2 - 1.0 / without**2
    assert first == pytest.approx(1.0 / 0.1**2, rel=1e-6)
    verdicts = {name: p["verdict"] for name, p in found["parameters"].items()}
    assert verdicts["thermal_conductivity"] == "weakly identified"
    assert verdicts["albedo"] == "identified"
    best = found["suggestions"]["thermal_conductivity"][0]
    assert (best["stream"], best["observed_not_fitted"]) == (SURFACE, True)
    assert best["sd"] == pytest.approx(0.0088, abs=1e-4)
    valley = found["valley"]
    assert set(valley) == set(NAMES) - {"bottom_temperature"}
    # The weakest direction is nearly all there is to the error of each.
    for name, change in valley.items():
        assert 0.9 < abs(change) / found["parameters"][name]["sd"] <= 1.0
    assert valley["thermal_conductivity"] * valley["volumetric_heat_capacity"] > 0.0
    assert valley["thermal_conductivity"] * valley["albedo"] < 0.0
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_two_depths_identify_everything_wherever_one_starts():
    found = identify_experiment(load_experiment("twin-two-depths"), points=4, seed=3)
    assert {p["verdict"] for p in found["parameters"].values()} == {"identified"}
    assert found["unobservable"] == []
    assert found["valley"] is None
    assert found["suggestions"] == {}
    assert found["points"]["failed"] == 0
    for counts in found["points"]["verdicts"].values():
        assert counts == {"identified": 4, "weakly identified": 0, "not identified": 0}
    text = sentences(found)
    assert text[0] == "Every parameter is identified."


# -- sensible and latent heat -------------------------------------------------------------------


@pytest.fixture
def bowen(tmp_path):
    path = tmp_path / "bowen.toml"
    path.write_text(BOWEN)
    return path


def test_temperatures_never_tell_sensible_from_latent_heat(bowen):
    found = identify_experiment(load_experiment(bowen))
    verdicts = {name: p["verdict"] for name, p in found["parameters"].items()}
    assert verdicts.pop("heat_transfer_coefficient") == "not identified"
    assert verdicts.pop("bowen_ratio") == "not identified"
    assert set(verdicts.values()) == {"identified"}
    assert found["parameters"]["bowen_ratio"]["sd"] is None
    assert found["rank"] == 5
    (gap,) = found["unobservable"]
    assert gap["constrained"] == "heat_transfer_coefficient x (1 + 1/bowen_ratio)"
    assert gap["derived"] == ["combined_heat_transfer_coefficient"]
    assert [s["stream"] for s in gap["observe"]] == ["sensible_heat_flux", "latent_heat_flux"]
    assert found["derived"]["combined_heat_transfer_coefficient"]["sd"] < 0.2
    text = gap_sentence(gap, found)
    assert text.startswith("Only heat_transfer_coefficient x (1 + 1/bowen_ratio)")
    assert "fix one or add sensible_heat_flux (observed already) or latent_heat_flux." in text


def test_with_the_sensible_heat_flux_both_are_identified(bowen):
    alone = identify_experiment(load_experiment(bowen))
    found = identify_experiment(
        load_experiment(bowen, ["observations.sensible_heat_flux.fit=true"])
    )
    assert {p["verdict"] for p in found["parameters"].values()} == {"identified"}
    assert found["unobservable"] == []
    # What had been promised is what it came to.
    promised = alone["unobservable"][0]["observe"][0]["sd"]
    for name, sd in promised.items():
        assert found["parameters"][name]["sd"] == pytest.approx(sd, rel=1e-9)


def test_a_tight_prior_on_one_makes_the_other_weak_not_identified(bowen):
    prior = 'parameters.bowen_ratio={prior="normal", mean=1.5, sd=0.05}'
    found = identify_experiment(load_experiment(bowen, [prior]))
    p = found["parameters"]
    assert p["heat_transfer_coefficient"]["verdict"] == "weakly identified"
    assert p["heat_transfer_coefficient"]["relative_sd"] < 0.05
    assert p["heat_transfer_coefficient"]["cramer_rao_sd"] is None
    assert p["bowen_ratio"]["verdict"] == "not identified"
    assert p["bowen_ratio"]["shrinkage"] == pytest.approx(0.0, abs=1e-6)
    assert len(found["unobservable"]) == 1


# -- where to linearise -------------------------------------------------------------------------


def test_at_the_estimate_of_a_run(calibrate):
    run = calibrate("twin-two-depths", starts=1)
    found = identify_experiment(load_experiment("twin-two-depths"), str(run.folder))
    for name, p in found["parameters"].items():
        assert p["value"] == pytest.approx(run.result.parameters[name].estimate, rel=1e-9)
        # The residuals of that run are known: one likelihood for both.
        assert p["sd"] == pytest.approx(run.result.parameters[name].sd, rel=1e-4)
        assert p["sd"] > run.result.parameters[name].sd_naive
    assert found["at"] == "the estimate of run"


@pytest.mark.parametrize("at", ["nowhere", "true"])
def test_a_point_that_does_not_exist(at):
    with pytest.raises(InputError, match="truth, initial or the folder of a run"):
        identify_experiment(load_experiment("twin-two-depths"), at)


def test_a_run_with_other_parameters(tmp_path):
    (tmp_path / "summary.json").write_text('{"parameters": {"albedo": {"estimate": 0.2}}}')
    with pytest.raises(InputError, match="none of combined_heat_transfer_coefficient"):
        identify_experiment(load_experiment("twin-two-depths"), str(tmp_path))


def test_a_truth_outside_the_bounds():
    overrides = [f"parameters.bottom_temperature.{t}" for t in ("lower=294", "start=[295, 303]")]
    experiment = load_experiment("twin-two-depths", overrides)
    with pytest.raises(InputError, match="bottom_temperature = 293"):
        identify_experiment(experiment)


# -- sets of sensors ------------------------------------------------------------------------------


def test_a_set_in_a_design_is_what_identify_says_of_it(twin_design):
    """Without time zero, and whichever of the two counts it."""
    base = ["observations.surface_temperature.fit=false"]
    found = design_experiment(
        load_experiment("twin-two-depths", base), [0.0], [], largest=1, add=True
    )
    both = found.of(SURFACE)
    # Surface beside 5 cm: now with the value of 5 cm at time zero.
    precision = 1.0 / both.sd**2
    without = 1.0 / twin_design.of(SURFACE, SOIL[0.05]).sd ** 2
    assert np.all(precision >= without * (1.0 - 1e-9))
    assert both.sd[:4] == pytest.approx(twin_design.of(SURFACE, SOIL[0.05]).sd[:4], rel=0.06)
    assert found.now.streams == (SOIL[0.05],)
    assert np.all(both.sd < found.now.sd)


def test_more_sensors_never_tell_less(twin_design):
    alone = {s.streams[0]: s.sd for s in twin_design.sets if len(s.streams) == 1}
    for found in twin_design.sets:
        for stream in found.streams:
            assert np.all(found.sd <= alone[stream] * (1.0 + 1e-9))


def test_ranking(twin_design):
    for by in ("a", "d"):
        values = [getattr(s, by) for s in twin_design.best(by)]
        assert values == sorted(values)
    assert twin_design.best("thermal_conductivity", size=1)[0].streams == (SOIL[0.02],)
    with pytest.raises(InputError, match="'thermal_conductivity'"):
        twin_design.best("thermal_conductivty")


def test_errors_that_persist_hide_what_varies_slowly(twin_design):
    experiment = load_experiment("twin-two-depths")
    found = design_experiment(
        experiment, [0.0, 0.05], [], {"soil_temperature": 0.2}, largest=2, autocorrelation=0.9
    )
    sigma = {c.stream: c.sigma for c in found.candidates}
    assert sigma == {SURFACE: 0.1, SOIL[0.05]: 0.2}
    one, red = twin_design.of(SURFACE), found.of(SURFACE)
    assert red.sd[-1] > 1.2 * one.sd[-1]  # of the bottom temperature


def test_the_default_candidates_are_what_the_model_gives(bowen):
    found = design_experiment(load_experiment(bowen), largest=1)
    streams = [c.stream for c in found.candidates]
    assert streams[0] == SURFACE
    assert {
        "outgoing_longwave",
        "sensible_heat_flux",
        "latent_heat_flux",
        "net_radiation",
        "outgoing_shortwave",
        "ground_heat_flux_0.08m",
    } < set(streams)
    assert "turbulent_heat_flux" not in streams  # its parts are
    assert "energy_imbalance" not in streams
    assert {c.sigma for c in found.candidates if c.stream == "sensible_heat_flux"} == {20.0}
    # Albedo: nothing tells more than the reflected radiation itself.
    assert found.best("albedo")[0].streams == ("outgoing_shortwave",)
    # No single thermometer tells sensible from latent heat.
    order = [entry.name for entry in found.entries]
    assert np.isinf(found.of(SURFACE).sd[order.index("bowen_ratio")])
    assert np.isinf(found.of(SURFACE).a)


@pytest.mark.parametrize(
    ("options", "phrase"),
    [
        ({"depths": [0.05, 2.0]}, "within the grid"),
        ({"streams": ["latent_heat_flux"]}, "a stream that the model computes"),
        ({"streams": ["energy_imbalance"]}, "known variable"),
        ({"streams": ["soil_temperature"]}, "a depth in the name"),
        ({"streams": ["incoming_shortwave"]}, "a candidate that can be observed"),
        ({"depths": [], "streams": []}, "at least one candidate"),
        ({"depths": [0.05], "streams": [], "largest": 2}, "sets of 1 to 1"),
        ({"largest": 0}, "sets of 1 to"),
        ({"sigma": {"soil_temperature": 0.0}}, "a positive sigma"),
        ({"sigma": {"soil_temperatur": 0.1}}, "'soil_temperature'"),
        ({"autocorrelation": 1.0}, "autocorrelation"),
        ({"at": "nowhere"}, "the folder of a run"),
    ],
)
def test_designs_that_cannot_be(options, phrase):
    with pytest.raises(InputError) as caught:
        design_experiment(load_experiment("twin-two-depths"), **options)
    assert phrase in str(caught.value)


def test_the_folder_of_a_design(twin_design, tmp_path):
    folder = tmp_path / "design"
    write_design(twin_design, folder)
    figure = write_design_figure(summarise(twin_design), folder)
    assert figure is not None
    assert sorted(p.name for p in folder.iterdir()) == [
        "design.csv",
        "design.json",
        "run.json",
        "sd-against-depths.png",
        "sd-against-depths.svg",
    ]
    summary = json.loads((folder / "design.json").read_text())
    with (folder / "design.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(summary["sets"]) == len(table(twin_design)) - 1 == 10
    by_sensors = {tuple(s["sensors"]): s for s in summary["sets"]}
    for row in rows:
        entry = by_sensors[tuple(row["sensors"].split(" + "))]
        sd = entry["sd"]["thermal_conductivity"]
        assert float(row["sd_thermal_conductivity [W m-1 K-1]"]) == pytest.approx(sd, rel=1e-5)
    svg = figure.read_text()
    assert "Thermal conductivity of the soil" in svg
    assert ">1.1<" in svg  # surface and 5 cm, in % of the value


def test_no_figure_where_there_are_no_pairs(tmp_path):
    found = design_experiment(load_experiment("twin-two-depths"), [0.05], [])
    assert write_design_figure(summarise(found), tmp_path) is None
    assert not list(tmp_path.iterdir())


# -- towers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["west-phoenix", pytest.param("bondville", marks=pytest.mark.slow)]
)
def test_a_tower(name, data_folder, monkeypatch):
    monkeypatch.setenv("CALICHE_DATA", str(data_folder))
    experiment = load_experiment(name)
    found = identify_experiment(experiment)
    assert found["at"] == "the first guess"
    assert found["unobservable"] == []
    free = len(found["parameters"])
    assert found["rank"] == free
    assert 0.85 * free < found["degrees_of_freedom_for_signal"] <= free * (1.0 + 1e-9)
    for p in found["parameters"].values():
        assert p["verdict"] != "not identified"
        assert 0.0 < p["sd"] <= (math.inf if p["sd_prior"] is None else p["sd_prior"])
    with pytest.raises(InputError, match="a twin, whose truth is known"):
        identify_experiment(experiment, "truth")

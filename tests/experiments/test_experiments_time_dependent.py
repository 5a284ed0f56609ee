"""Experiments with parameters in time, nuisances, errors with memory and a spin-up, from TOML."""

from __future__ import annotations

import csv
import re
import tomllib

import jax.numpy as jnp
import numpy as np
import pytest
import tomli_w
import xarray as xr

from caliche.commands.check.run import check_experiment
from caliche.errors import InputError
from caliche.experiments import load_experiment
from caliche.experiments.config.read import read_config

pytestmark = pytest.mark.ci

SMALL = (
    "model.nodes=9",
    "model.depth=0.4",
    'model.scheme="sdirk2"',
    "window.time_step=3600",
    "synthetic.hours=72",
)
ALBEDO_FIXED = "parameters.albedo={value=0.2, fixed=true}"
H = "combined_heat_transfer_coefficient"
DIURNAL = (
    f'parameters.{H}={{value=20.0, variation={{kind="diurnal", harmonics=1}}}}',
    f"synthetic.truth.{H}=[14.0, 30.0, 22.0]",
    "synthetic.seed=1",  # over 20 seeds 95 % of all hours lie in their bands, in one run all or few
)
CLOCK = 'nuisances.clock={kind="clock-offset", streams=["soil_temperature_0.05m"]}'


def load(*overrides):
    return load_experiment("twin-two-depths", [*SMALL, *overrides])


def series(run, name):
    """Value, truth in time and 95 % interval of a parameter, from the run folder alone."""
    with xr.open_dataset(run.folder / "result.nc", engine="h5netcdf") as data:
        return [data[f"parameter_{name}{end}"].values for end in ("", "_lower", "_upper")]


# -- twins -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def diurnal(calibrate):
    return calibrate("twin-two-depths", *SMALL, *DIURNAL, starts=1)


def test_an_exchange_that_changes_with_the_hour_is_recovered(diurnal):
    """At every hour, inside the band; three knots name the harmonic, its smoothness is found."""
    result = diurnal.result
    assert result.converged
    knots = [f"{H}[{clock}]" for clock in ("00:00", "08:00", "16:00")]
    assert [name for name in result.names if name.startswith(H)] == knots
    for name, truth in zip(knots, (14.0, 30.0, 22.0), strict=True):
        p = result.parameters[name]
        assert p.interval[0] < truth < p.interval[1], name
        assert p.sd < 2.0
        assert diurnal.summary["parameters"][name]["truth"] == truth
    value, lower, upper = series(diurnal, H)
    # the truth in time, made here from its definition: harmonics of the coordinate of H
    experiment = load(*DIURNAL)
    prior = next(p.prior for p in experiment.space.free if p.name == H)
    at_knots = np.asarray(prior.to_whitened(jnp.array([14.0, 30.0, 22.0])))
    phase = 2.0 * np.pi * np.arange(3) / 3
    wave = np.linalg.solve(np.column_stack([np.ones(3), np.cos(phase), np.sin(phase)]), at_knots)
    angle = 2.0 * np.pi * np.arange(73) / 24.0
    truth = np.asarray(
        prior.to_physical(jnp.asarray(wave[0] + wave[1] * np.cos(angle) + wave[2] * np.sin(angle)))
    )
    assert ((lower < truth) & (truth < upper)).all()
    np.testing.assert_allclose(value[:24], value[24:48], rtol=1e-12)
    assert np.abs(value - truth).max() < 2.0
    assert np.ptp(value) > 10.0
    found = diurnal.summary["hyperparameters"]
    assert found["smoothness"][H] > 0.1
    assert 1.0 < found["spent"][H] <= 2.0
    for name in ("thermal_conductivity", "volumetric_heat_capacity", "albedo"):
        entry = diurnal.summary["parameters"][name]
        assert entry["interval95"][0] < entry["truth"] < entry["interval95"][1], name


def test_derived_quantities_are_those_of_the_constant_soil(diurnal):
    entry = diurnal.summary["derived"]["thermal_diffusivity"]
    p = {
        n: diurnal.result.parameters[n].estimate
        for n in ("thermal_conductivity", "volumetric_heat_capacity")
    }
    expected = p["thermal_conductivity"] / p["volumetric_heat_capacity"]
    assert entry["value"] == pytest.approx(expected, rel=1e-12)
    assert 0.0 < entry["sd"] < 0.1 * expected


STEP = (
    ALBEDO_FIXED,
    "synthetic.hours=120",
    *(
        f'parameters.{name}={{value={guess}, variation={{kind="piecewise-constant", '
        f"every_days=1.0}}}}"
        for name, guess in (("thermal_conductivity", 0.9), ("volumetric_heat_capacity", 2.4e6))
    ),
    "synthetic.truth.thermal_conductivity=[0.7, 0.7, 0.7, 1.2, 1.2]",
    "synthetic.truth.volumetric_heat_capacity=[2.0e6, 2.0e6, 2.0e6, 2.8e6, 2.8e6]",
    "observations={surface_temperature={sigma=0.05}}",
    'observations."soil_temperature_0.05m"={sigma=0.05}',
    'observations."soil_temperature_0.15m"={sigma=0.05}',
)


@pytest.mark.slow
def test_a_step_of_the_soil_at_a_known_time_is_recovered(calibrate):
    """Rain at the end of the third day: conductivity and capacity day by day, in their bands."""
    run = calibrate("twin-two-depths", *SMALL, *STEP, starts=1)
    result = run.result
    assert result.converged
    inside = []
    for name, before, after in (
        ("thermal_conductivity", 0.7, 1.2),
        ("volumetric_heat_capacity", 2.0e6, 2.8e6),
    ):
        knots = [result.parameters[f"{name}[2000-01-0{day}]"] for day in range(1, 6)]
        truth = [before] * 3 + [after] * 2
        inside += [p.interval[0] < t < p.interval[1] for p, t in zip(knots, truth, strict=True)]
        assert all(abs(p.estimate - t) < 3.5 * p.sd for p, t in zip(knots, truth, strict=True))
        jump = np.mean([p.estimate for p in knots[3:]]) - np.mean([p.estimate for p in knots[:3]])
        assert jump == pytest.approx(after - before, rel=0.35)
        value, lower, upper = series(run, name)
        # each value holds over the steps that follow its knot: until 72 h that of the third day
        assert value[72] == pytest.approx(knots[2].estimate, rel=1e-9)
        assert value[73] == pytest.approx(knots[3].estimate, rel=1e-9)
        assert len(set(np.round(value / before, 9))) == 5
        assert (lower < value).all()
        assert (value < upper).all()
    assert sum(inside) >= 9  # of 10, at 95 %
    assert run.summary["derived"]["thermal_diffusivity"]["sd"] > 0.0


def test_noise_has_the_memory_of_its_stream():
    """The twin's own noise: as large and as persistent as declared, white beside it."""
    memory = 'observations."soil_temperature_0.05m"={sigma=0.1, autocorrelation=0.7}'
    noisy, perfect = (
        load(memory, "synthetic.hours=1500", f"synthetic.noise={noise}").dataset
        for noise in ("true", "false")
    )
    for name, rho in (("soil_temperature_0.05m", 0.7), ("surface_temperature", 0.0)):
        error = (noisy[name] - perfect[name]).values
        assert error.std() == pytest.approx(0.1, rel=0.12)
        assert np.mean(error[1:] * error[:-1]) / np.mean(error**2) == pytest.approx(rho, abs=0.08)
        assert abs(error[:3]).max() < 0.4  # at home from the first value on


def test_errors_and_unknowns_reach_the_problem():
    experiment = load(
        'observations."soil_temperature_0.05m"={sigma=0.2, autocorrelation=0.5, '
        "estimate_sigma=true}",
        "observations.surface_temperature={sigma=0.1, student_degrees_of_freedom=4.0, "
        "estimate_autocorrelation=true}",
        f'parameters.{H}={{variation={{kind="piecewise-linear", every_days=1.0}}}}',
        'parameters.albedo={variation={kind="cubic-spline", every_days=1.5, smoothness=0.3}}',
    )
    problem = experiment.problem()
    names = [s.name for s in problem.operator.streams]
    assert names == ["surface_temperature", "soil_temperature_0.05m"]
    errors = problem.observations
    assert errors.autocorrelation.tolist() == [0.0, 0.5]
    assert errors.freedom == (4.0, np.inf)
    unknown = experiment.unknown
    assert unknown.sigma == ("soil_temperature_0.05m",)
    assert unknown.autocorrelation == ("surface_temperature",)
    assert unknown.smoothness == (H,)
    assert float(problem.space.variations["albedo"].smoothness) == 0.3
    # three days of linear pieces need four knots, as do pieces of a day and a half three
    assert [len(problem.space.variations[n].labels) for n in (H, "albedo")] == [4, 3]
    assert problem.space.variations["albedo"].labels[1] == "2000-01-02"


def test_knots_at_given_times_and_hours_of_the_day():
    """Local times of the site, knots that are closer than a day named with their hour."""
    experiment = load(
        'parameters.albedo={variation={kind="piecewise-constant", '
        "at=[2000-01-01T00:00:00, 2000-01-01T12:00:00, 2000-01-03T00:00:00]}}",
        'parameters.thermal_conductivity={variation={kind="seasonal", harmonics=1}}',
    )
    space = experiment.space
    assert space.variations["albedo"].labels == (
        "2000-01-01T00:00",
        "2000-01-01T12:00",
        "2000-01-03T00:00",
    )
    held = np.asarray(space.variations["albedo"].basis).argmax(axis=1)
    assert held.tolist() == [0] * 13 + [1] * 36 + [2] * 24
    assert space.variations["thermal_conductivity"].labels == ("day 1", "day 123", "day 244")


def test_a_layered_soil_that_varies_is_not_stepped_in_modes(tmp_path):
    """Their shapes would change beneath the state; a varying surface leaves them alone."""
    config = {
        "title": "layers",
        "synthetic": {"hours": 72.0, "truth": {}},
        "window": {"time_step": 3600.0},
        "model": {"nodes": 9, "depth": 0.4, "layer_bottoms": [0.1]},
        "observations": {"surface_temperature": {"sigma": 0.1}},
    }
    solvers = []
    for name in ("albedo", "thermal_conductivity_2", "volumetric_heat_capacity_1"):
        varies = {"parameters": {name: {"variation": {"every_days": 1.0}}}}
        path = tmp_path / f"{name}.toml"
        path.write_text(tomli_w.dumps({**config, **varies}), encoding="utf-8")
        solvers.append(load_experiment(str(path)).model.solver)
    assert solvers == ["modal", "elimination", "elimination"]
    assert load("parameters.thermal_conductivity.variation={every_days=1.0}").model.solver == (
        "modal"
    )


def test_nuisances_are_parameters_of_the_twin():
    """Their truth changes what is observed; defaults and priors are those of their kind."""
    zero = 'nuisances.zero={kind="bias", streams=["surface_temperature"], sd=1.0}'
    quiet = "synthetic.noise=false"
    plain = load(quiet, CLOCK, zero).dataset
    moved = load(quiet, CLOCK, zero, "synthetic.truth.clock=1.0", "synthetic.truth.zero=0.7")
    seen = moved.dataset
    np.testing.assert_allclose(
        seen["surface_temperature"], plain["surface_temperature"] + 0.7, rtol=1e-12
    )
    name = "soil_temperature_0.05m"
    np.testing.assert_allclose(seen[name][2:], plain[name][1:-1], rtol=1e-12)
    space = moved.space
    assert space.names[-2:] == ("clock", "zero")
    assert [p.prior.describe(p.declaration.unit) for p in space.free[-2:]] == [
        "normal, 0 ± 0.5 h, within -3 to 3",
        "normal, 0 ± 1 K, within -1000 to 1000",
    ]
    assert [n.name for n in moved.problem().operator.nuisances] == ["clock", "zero"]


@pytest.mark.slow
def test_check_of_an_experiment_with_all_of_it():
    lines = "\n".join(check_experiment(load(*DIURNAL, CLOCK)))
    assert "Gradients   agree" in lines
    assert re.search(rf"Free +{H}: first guess 20, .*; 3 knots in time", lines)
    assert re.search(r"Free +clock: first guess 0, normal", lines)


# -- spin-up ---------------------------------------------------------------------------------


def test_a_twin_with_a_spin_up():
    """A day more of forcing, unobserved; what was forgotten by the start is not seen."""
    quiet = "synthetic.noise=false"
    with_it, without = load(quiet, "window.spin_up_days=2.0"), load(quiet)
    assert len(with_it.dataset.time) == len(without.dataset.time) + 48
    assert with_it.dataset.time.values[48] == without.dataset.time.values[0]
    assert with_it.dataset["surface_temperature"].isnull().values.sum() == 48
    for name in ("incoming_shortwave", "air_temperature"):
        np.testing.assert_allclose(with_it.dataset[name][48:], without.dataset[name], atol=1e-9)
    assert with_it.problem().n_observations == without.problem().n_observations == 2 * 73
    assert with_it.n_fit == 121
    start = [float(e.dataset["surface_temperature"].values[-73]) for e in (with_it, without)]
    assert start[1] == pytest.approx(293.0)
    assert abs(start[0] - start[1]) > 1.0


def test_a_twin_with_a_periodic_start():
    """The weather of the twin repeats itself: so does everything modelled, from the start on."""
    experiment = load("synthetic.noise=false", "model.spin_up_period_days=1.0")
    problem = experiment.problem()
    assert problem.period == 24
    for name in ("surface_temperature", "soil_temperature_0.05m"):
        values = experiment.dataset[name].values
        np.testing.assert_allclose(values[24:48], values[:24], rtol=0, atol=1e-8)
        np.testing.assert_allclose(values[48:72], values[:24], rtol=0, atol=1e-8)
    assert abs(float(experiment.dataset["surface_temperature"].values[0]) - 293.0) > 1.0


@pytest.mark.slow
def test_a_periodic_start_is_estimated_through(calibrate):
    run = calibrate("twin-two-depths", *SMALL, "model.spin_up_period_days=1.0", starts=1)
    assert run.result.converged
    for name, entry in run.summary["parameters"].items():
        if not entry["fixed"]:
            assert entry["interval95"][0] < entry["truth"] < entry["interval95"][1], name


@pytest.fixture
def tower(tmp_path):
    """Five days of a tower, hourly, local time; a function that writes its experiment."""
    data = load("synthetic.hours=120").dataset
    path = tmp_path / "tower.csv"
    columns = ["incoming_shortwave", "incoming_longwave", "air_temperature", "surface_temperature"]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["time", *columns])
        local = data.time.values + np.timedelta64(2, "h")
        for k in range(len(local)):
            stamp = str(local[k].astype("datetime64[m]")).replace("T", " ")
            writer.writerow([stamp, *(repr(float(data[c].values[k])) for c in columns)])
    config = tomllib.loads("""
        title = "A tower"
        [site]
        utc_offset = 2.0
        [window]
        start = 2000-01-03T02:00:00
        end = 2000-01-05T02:00:00
        time_step = 3600
        spin_up_days = 1.0
        [sources.tower]
        path = "tower.csv"
        format = "table"
        time = { column = "time", stamp = "end", utc_offset = 2.0 }
        [model]
        nodes = 9
        depth = 0.4
        bottom = "zero-flux"
        initial = "observed"
        initial_depths = []
        [parameters.albedo]
        value = 0.2
        variation = { every_days = 1.0, kind = "piecewise-constant" }
        [observations.surface_temperature]
        sigma = 0.5
    """)
    for name in columns:
        unit = "K" if name.endswith("temperature") else "W m-2"
        config["sources"]["tower"].setdefault("columns", {})[name] = {"name": name, "unit": unit}
    config["model"] |= {"initial": "uniform"}
    del config["model"]["initial_depths"]

    def write(**changes):
        for section, values in changes.items():
            config[section] |= values
        file = tmp_path / "tower.toml"
        file.write_text(tomli_w.dumps(config), encoding="utf-8")
        return load_experiment(str(file))

    return write


def test_a_tower_with_a_spin_up(tower):
    """The record begins a day before the window; knots too, in local time."""
    experiment = tower()
    data = experiment.dataset
    assert str(data.time.values[0]) == "2000-01-02T00:00:00.000000000"
    assert str(data.time.values[-1]) == "2000-01-05T00:00:00.000000000"
    seen = np.isfinite(data["surface_temperature"].values)
    assert seen.tolist() == [False] * 24 + [True] * 49
    assert np.isfinite(data["air_temperature"].values).all()
    problem = experiment.problem()
    assert problem.n_observations == 49
    # two in the morning, local time, is where days begin here: named by their date
    assert problem.space.names[-3:] == tuple(f"albedo[2000-01-0{d}]" for d in (2, 3, 4))


def test_a_tower_whose_record_begins_too_late_for_its_spin_up(tower):
    with pytest.raises(InputError, match="2000-01-0"):
        _ = tower(window={"spin_up_days": 5.0}).dataset


# -- what is refused -------------------------------------------------------------------------

VARIED = "parameters.albedo.variation"
SOIL = '["soil_temperature_0.05m"]'
STREAM = 'observations."soil_temperature_0.05m"'


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("parameters.albedo.start=[0.1]", "two numbers for start"),
        ('parameters.albedo.prior="normal"', "mean and sd together with prior"),
        ("parameters.albedo.mean=0.2", "mean and sd together with prior"),
        (
            "parameters.albedo={fixed=true, variation={every_days=1.0}}",
            r"a parameter that is free in .*parameters\.albedo\], as it varies",
        ),
        (f"{VARIED}=3", r"a table for variation"),
        (f"{VARIED}={{every_days=1.0, knots=3}}", "'knots'"),
        (f'{VARIED}={{kind="diurnl"}}', "did you mean 'diurnal'"),
        (f"{VARIED}={{every_days=0.0}}", "a number above 0 for every_days"),
        (f"{VARIED}={{every_days=1.0, smoothness=-0.1}}", "a number above 0 for smoothness"),
        (
            f'{VARIED}={{kind="diurnal", harmonics=0}}',
            "above 0 and up to 100 for harmonics",
        ),
        (f"{VARIED}={{at=[1.0, 2.0]}}", "dates and times for at"),
        (f'{VARIED}={{kind="diurnal", every_days=1.0}}', "harmonics in .*kind = 'diurnal'"),
        (f'{VARIED}={{kind="seasonal", at=[2000-01-01T00:00:00]}}', "leave out every_days and at"),
        (f'{VARIED}={{kind="piecewise-linear"}}', "either every_days or at .* Got neither"),
        (
            f"{VARIED}={{every_days=1.0, at=[2000-01-01T00:00:00]}}",
            "either every_days or at .* Got both",
        ),
        (f'nuisances.a={{kind="bais", streams={SOIL}, sd=1.0}}', "did you mean 'bias'"),
        (f'nuisances.a={{kind="bias", streams={SOIL}}}', "how large the bias may be"),
        ('nuisances.a={kind="bias"}', "streams in .* Got nothing"),
        ('nuisances.a={kind="bias", streams=[]}', "names of streams"),
        ('nuisances.a={kind="bias", streams=[5.0], sd=1.0}', "names of streams"),
        (
            'nuisances.a={kind="bias", streams=["soil_temprature_0.05m"], sd=1.0}',
            "the name of a known variable",
        ),
        (
            f'nuisances.a={{kind="bias", streams={SOIL}, prior="normal", mean=0.0}}',
            "mean and sd together",
        ),
        (
            f'nuisances.a={{kind="bias", streams={SOIL}, sd=1.0, variation={{every_days=1.0}}}}',
            "a known key .* 'variation'",
        ),
        (f"{STREAM}={{fit=true, sigma=0.1, autocorrelation=1.0}}", "from 0 to below 1"),
        (f"{STREAM}={{sigma=0.1, autocorrelation=-0.2}}", "from 0 to below 1"),
        (f"{STREAM}={{sigma=0.1, student_degrees_of_freedom=0.0}}", "a number above 0"),
        ("observations.outgoing_longwave={fit=true}", "sigma of the fitted stream"),
        ("observations.outgoing_longwave={estimate_sigma=true}", "sigma of the fitted stream"),
        ("window.spin_up_days=0.03", "spin_up_days .* whole number of time steps"),
        ("window.spin_up_days=-1.0", "a number above 0 and up to 36525 days for spin_up_days"),
        ("model.spin_up_period_days=4.0", "spin_up_period_days .* within the fitted window"),
    ],
)
def test_what_a_configuration_cannot_say(override, message):
    with pytest.raises(InputError, match=message):
        read_config("twin-two-depths", [*SMALL, override])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["parameters.bottom_temperature.variation={every_days=1.0}"],
            "bottom = 'varying-temperature'",
        ),
        (
            [
                'model.initial="uniform"',
                "parameters.initial_temperature={variation={every_days=1.0}}",
            ],
            "a parameter that holds over time to vary, not initial_temperature",
        ),
        ([f"{VARIED}={{at=[2000-01-01T00:00:00]}}"], "at least two knots .* for albedo"),
        ([f"{VARIED}={{at=[2000-01-02T00:00:00, 2000-01-01T00:00:00]}}"], "that increase"),
        ([f'{VARIED}={{every_days=9.0, kind="piecewise-constant"}}'], "at least two knots"),
        (["parameters.albdo={variation={every_days=1.0}}"], "'albedo'"),
        (
            [f"{VARIED}={{every_days=1.0}}", "synthetic.truth.albedo=[0.2, 0.3]"],
            "one truth of albedo, or one for each of 4 knots. Got 2",
        ),
        (
            [f"{VARIED}={{every_days=1.0}}", "synthetic.truth.albedo=[0.2, 0.3, 0.3, 0.95]"],
            "a truth of albedo, which varies, between its bounds",
        ),
        (["synthetic.truth.albedo=[0.2, 0.3]"], "one truth of albedo. Got 2"),
        ([f"{STREAM}={{sigma_from_data=true}}"], "the error of each value of soil_temperature"),
        (["model.spin_up_period_days=0.03"], "whole number of time steps"),
        (
            [CLOCK, f'nuisances.other={{kind="clock-offset", streams={SOIL}}}'],
            "one nuisance of each kind",
        ),
        (
            [
                'nuisances.a={kind="bias", streams=["surface_temperature", "outgoing_longwave"], '
                "sd=1.0}"
            ],
            "streams of one unit",
        ),
        (
            ['nuisances.a={kind="depth-offset", streams=["surface_temperature"]}'],
            "streams with a depth",
        ),
    ],
)
def test_what_an_experiment_cannot_be(overrides, message):
    with pytest.raises(InputError, match=message):
        load(*overrides).problem()


@pytest.mark.parametrize(
    "override",
    [
        f"{VARIED}={{every_days=1.0}}",
        CLOCK,
        "model.spin_up_period_days=1.0",
        f"{STREAM}.autocorrelation=0.5",
        f"{STREAM}.estimate_sigma=true",
        f"{STREAM}.sigma_from_data=true",
        f"{STREAM}.student_degrees_of_freedom=4.0",
        f"{STREAM}.estimate_autocorrelation=true",
    ],
)
def test_what_many_sites_cannot_have(override):
    """Told from the configuration, before any file is opened or written."""
    with pytest.raises(InputError, match="constant parameters, and independent errors"):
        load(override).blank_problem(2)


def test_many_sites_cannot_have_a_spin_up(tmp_path):
    config = {
        "title": "Many",
        "sites": {},
        "window": {"time_step": 3600, "spin_up_days": 1.0},
        "model": {"nodes": 9},
        "parameters": {"albedo": {"value": 0.2}},
        "observations": {"surface_temperature": {"sigma": 0.5}},
    }
    path = tmp_path / "sites.toml"
    path.write_text(tomli_w.dumps(config), encoding="utf-8")
    with pytest.raises(InputError, match=r"no spin_up_days .* many sites"):
        load_experiment(str(path))

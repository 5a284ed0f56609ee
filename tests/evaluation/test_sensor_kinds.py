"""The screen on streams of every kind: clocks, depths, biases, shares and signs, one model."""

from __future__ import annotations

import dataclasses

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from caliche.evaluation.sensor_screen import Suspicion, screen_first
from caliche.evaluation.signs import WrongSign, correlation, wrong_signs
from caliche.models import SoilHeat
from caliche.models.soil_heat.closures import BOWEN_RATIO
from caliche.observations import Observations, Stream, make_operator
from caliche.parameters import ParameterSpace
from caliche.parameters.space import free_parameter
from caliche.problems.inverse import InverseProblem

STEP, N = 1800.0, 193  # four days
PLATE = "ground_heat_flux_0.06m"
SIGMA = {
    "surface_temperature": 0.2,
    "soil_temperature_0.05m": 0.1,
    "soil_temperature_0.20m": 0.1,
    "sensible_heat_flux": 5.0,
    "latent_heat_flux": 5.0,
    "net_radiation": 5.0,
    PLATE: 2.0,
}
NAMES = list(SIGMA)
TRUTH = {
    "albedo": 0.25,
    "thermal_conductivity": 1.1,
    "heat_transfer_coefficient": 14.0,
    "bowen_ratio": 1.4,
    "bottom_temperature": 292.0,
}


@pytest.fixture(scope="module")
def perfect():
    """The problem without data, and what its sensors would read of the truth."""
    model = SoilHeat((0.0, 0.02, 0.05, 0.08, 0.12, 0.2, 0.4), STEP, turbulence=BOWEN_RATIO)
    hours = 0.5 * np.arange(N)
    day = np.maximum(np.sin(2 * np.pi * (hours - 6) / 24), 0.0)
    forcing = {
        "incoming_shortwave": 700.0 * day * np.repeat((1.0, 0.8, 1.0, 0.6, 1.0), 48)[:N],
        "incoming_longwave": np.full(N, 320.0),
        "air_temperature": 291.0 + 4.0 * np.sin(2 * np.pi * (hours - 9) / 24),
    }
    operator = make_operator(model, [Stream(name) for name in NAMES], (), STEP)
    free = {d.name: free_parameter(d) for d in model.declarations if d.name in TRUTH}
    zeros = {name: np.zeros(N) for name in NAMES}
    problem = InverseProblem(
        model,
        {name: jnp.asarray(v) for name, v in forcing.items()},
        operator,
        Observations.from_series(zeros, SIGMA),
        ParameterSpace.build(model.declarations, free, {}),
    )
    u = problem.space.to_whitened({name: jnp.asarray(value) for name, value in TRUTH.items()})
    return problem, np.asarray(eqx.filter_jit(lambda p, u: p.forward(u))(problem, u))


@pytest.fixture(scope="module")
def seen(perfect):
    """A problem whose observations are the truth with noise, changed by a function of them."""
    problem, truth = perfect

    def observe(change=lambda values: None) -> InverseProblem:
        values = truth.copy()
        change(values)
        sigma = np.array(list(SIGMA.values()))
        values += np.random.default_rng(3).normal(size=values.shape) * sigma
        series = {name: values[:, k] for k, name in enumerate(NAMES)}
        return dataclasses.replace(problem, observations=Observations.from_series(series, SIGMA))

    return observe


def turned(stream):
    def change(values):
        values[:, NAMES.index(stream)] *= -1.0

    return change


def late(stream, hours):
    def change(values):
        k, steps = NAMES.index(stream), round(hours * 2)
        values[:, k] = np.roll(values[:, k], steps)
        values[slice(0, steps + 1) if steps > 0 else slice(steps, None), k] = np.nan

    return change


def test_sound_sensors_of_every_kind_are_not_suspected(seen):
    assert screen_first(seen()) == []


@pytest.mark.parametrize(
    ("stream", "convention"),
    [
        (PLATE, "ground heat flux, positive downwards"),
        ("sensible_heat_flux", "sensible heat flux, positive upwards"),
        ("latent_heat_flux", "latent heat flux, positive upwards"),
        ("net_radiation", "net radiation, positive downwards"),
    ],
)
def test_a_turned_sign_comes_before_all_other_advice(seen, stream, convention):
    found = screen_first(seen(turned(stream)))
    assert found
    assert all(isinstance(f, WrongSign) for f in found)
    mine = next(f for f in found if f.streams == (stream,))
    assert mine.correlation < -0.8
    assert f"has the opposite sign from caliche's convention ({convention})" in mine.sentence
    assert f"the correlation of model and data is {mine.correlation:.3f}" in mine.sentence
    assert "nuisances" not in " ".join(f.sentence for f in found)


@pytest.mark.parametrize(
    ("stream", "hours"),
    [
        (PLATE, -2.0),
        (PLATE, 2.5),
        ("sensible_heat_flux", 1.5),
        ("latent_heat_flux", -1.0),
        ("net_radiation", 1.0),
        ("surface_temperature", 1.0),
        ("soil_temperature_0.20m", -2.0),
    ],
)
def test_a_clock_of_any_stream_is_named(seen, stream, hours):
    found = screen_first(seen(late(stream, hours)))
    clocks = [s for s in found if isinstance(s, Suspicion) and s.kind == "clock-offset"]
    assert clocks
    assert found[0] is clocks[0]
    assert clocks[0].streams == (stream,)
    assert clocks[0].value == pytest.approx(hours, abs=0.25)
    assert clocks[0].gain > 0.3
    assert f'kind = "clock-offset", streams = ["{stream}"]' in clocks[0].sentence


def test_a_clock_beyond_what_can_be_estimated(seen):
    """Six hours: an estimated clock ends at three, and the sentence says so."""
    found = screen_first(seen(late(PLATE, 6.0)))
    assert found[0].kind == "clock-offset"
    assert found[0].value == pytest.approx(6.0, abs=0.25)
    assert "correct the time stamps of that file: an estimated clock ends at 3 h" in (
        found[0].sentence
    )
    assert "[nuisances" not in found[0].sentence


def test_a_share_of_a_plate_and_a_bias_of_a_flux(seen):
    def low(values):
        values[:, NAMES.index(PLATE)] *= 0.8

    found = screen_first(seen(low))
    share = next(s for s in found if s.kind == "flux-fraction" and s.streams == (PLATE,))
    assert share.value == pytest.approx(0.8, abs=0.08)
    assert 'kind = "flux-fraction"' in share.sentence

    def biased(values):
        values[:, NAMES.index("net_radiation")] += 40.0

    found = screen_first(seen(biased))
    bias = next(s for s in found if s.kind == "bias")
    assert bias.streams == ("net_radiation",)
    assert bias.value == pytest.approx(40.0, abs=8.0)
    assert ", sd = 4e+01" in bias.sentence


def test_a_plate_that_lies_deeper(perfect, seen):
    """Two centimetres are more than a millimetre of noise, though not to first order."""
    problem, _ = perfect
    deeper = [Stream(name.replace("0.06m", "0.08m")) for name in NAMES]
    operator = make_operator(problem.model, deeper, (), STEP)
    u = problem.space.to_whitened({name: jnp.asarray(value) for name, value in TRUTH.items()})
    other = dataclasses.replace(problem, operator=operator)
    plate = np.asarray(eqx.filter_jit(lambda p, u: p.forward(u))(other, u))[:, -1]

    def change(values):
        values[:, -1] = plate

    found = screen_first(seen(change))
    depths = [s for s in found if s.kind == "depth-offset" and s.streams == (PLATE,)]
    assert depths
    assert depths[0].value == pytest.approx(0.02, abs=0.008)


def test_a_search_that_ends_says_so():
    suspicion = Suspicion("clock-offset", (PLATE,), 2.0, 0.1, "h", 0.6, "", 0.0, at_limit=True)
    assert "+2 ± 0.1 h (the search ends there: it may be more)" in suspicion.sentence


def test_two_clocks_have_two_tables(seen):
    def change(values):
        late(PLATE, -0.5)(values)
        late("net_radiation", 0.5)(values)

    found = screen_first(seen(change))
    tables = [s.sentence.partition("[nuisances.")[2].partition("]")[0] for s in found]
    assert {"clock", "clock_2"} <= set(tables)
    assert len(set(tables)) == len(tables)


# -- signs -----------------------------------------------------------------------------------


def test_signs_of_the_first_guess_and_of_the_fit(perfect, seen):
    """A wrong sign may leave a fit that hardly moves; a fit that agrees acquits the data."""
    _, truth = perfect
    problem = seen(turned(PLATE))
    flat = truth.copy()
    flat[:, NAMES.index(PLATE)] = np.random.default_rng(2).normal(size=N)
    assert [s.stream for s in wrong_signs(problem, [truth, flat])] == [PLATE]
    right = truth * np.where(np.arange(len(NAMES)) == NAMES.index(PLATE), -1.0, 1.0)
    assert wrong_signs(problem, [truth, right]) == []
    assert [s.stream for s in wrong_signs(problem, [right, truth])] == [PLATE]


def test_temperatures_have_no_sign(perfect, seen):
    _, truth = perfect
    problem = seen(late("surface_temperature", 12.0))
    assert wrong_signs(problem, [truth]) == []  # a first guess may drift the other way
    (found,) = wrong_signs(problem, [truth, truth])
    assert not found.is_flux
    assert "its clock (half a day?)" in found.sentence
    assert "sign" not in found.sentence


def test_a_flux_that_a_clock_explains_better(perfect, seen):
    """Net radiation is high for half of a day and low for the other: half a day is not a sign."""
    _, truth = perfect
    (found,) = wrong_signs(seen(late("net_radiation", 11.0)), [truth])
    assert abs(found.lag) == pytest.approx(11.0, abs=1.0)
    assert "or its clock is about" in found.sentence


def test_no_correlation_of_what_does_not_vary():
    rising = np.arange(20.0)
    assert correlation(rising, np.ones(20)) is None
    assert correlation(np.ones(20), rising) is None
    assert correlation(rising[:5], rising[:5]) is None
    assert correlation(rising, -rising) == pytest.approx(-1.0)

"""What sensors read of a model: depths between nodes, means in time, and what cannot be read."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from caliche.errors import InputError
from caliche.estimation import estimate
from caliche.models import SoilHeat, simulate
from caliche.models.base import ParameterDeclaration, Profile
from caliche.observations import Stream, make_operator
from caliche.observations.error_model import Observations
from caliche.parameters import ParameterSpace
from caliche.parameters.space import free_parameter
from caliche.problems.inverse import InverseProblem
from soil_heat_cases import parameters, run, steady_forcing

MODEL = SoilHeat((0.0, 0.1, 0.3, 0.6), 1800.0)
SEEN = {
    "soil_temperature": jnp.array([300.0, 296.0, 294.0, 293.0]),
    "ground_heat_flux": jnp.array([100.0, 80.0, 40.0, 20.0, 10.0]),  # at 0, 5, 20, 45, 60 cm
    "surface_temperature": jnp.asarray(300.0),
}
DIAGNOSTICS = {
    name: Profile(len(values), values.__getitem__, lambda values=values: values)
    if values.ndim
    else values
    for name, values in SEEN.items()
}


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        ("surface_temperature", 300.0),
        ("soil_temperature_0.00m", 300.0),
        ("soil_temperature_0.10m", 296.0),
        ("soil_temperature_0.60m", 293.0),
        ("soil_temperature_0.05m", 298.0),
        ("soil_temperature_0.35m", 294.0 - 1.0 / 6.0),
        ("ground_heat_flux_0.00m", 100.0),
        ("ground_heat_flux_0.05m", 80.0),
        ("ground_heat_flux_0.08m", 72.0),
        ("ground_heat_flux_0.60m", 10.0),
    ],
)
def test_interpolation_in_depth(stream, expected):
    (value,) = make_operator(MODEL, [Stream(stream)]).select(DIAGNOSTICS)
    on_an_entry = expected in np.concatenate(list(map(np.atleast_1d, SEEN.values())))
    assert float(value) == (expected if on_an_entry else pytest.approx(expected, rel=1e-14))


def test_ground_heat_flux_at_depth_is_that_of_the_temperature_gradient():
    model = SoilHeat(MODEL.node_depths, 1800.0, "backward-euler")
    operator = make_operator(model, [Stream("ground_heat_flux_0.20m")])  # midway between nodes
    args = model, parameters(model), steady_forcing(model, 3)
    _, initial, series = simulate(*args, output=operator.select)
    temperature = run(*args)["soil_temperature"]
    expected = -0.8 * (temperature[:, 2] - temperature[:, 1]) / 0.2
    # two sums over modes, whose rounding a difference of temperatures brings out
    np.testing.assert_allclose(series[0], expected, rtol=1e-11)
    assert bool(jnp.isnan(initial[0]))  # no flux before the first step


def test_means_over_steps():
    """Fluxes: the mean of the steps; temperatures: of the step means, by the trapezoidal rule."""
    streams = [
        Stream("net_radiation"),
        Stream("net_radiation", 2),
        Stream("surface_temperature"),
        Stream("surface_temperature", 2),
    ]
    operator = make_operator(MODEL, streams)
    flux, state = jnp.array([10.0, 20.0, 60.0]), jnp.array([1.0, 2.0, 4.0, 8.0])
    no_flux = jnp.asarray(jnp.nan)
    initial = no_flux, no_flux, state[0], state[0]
    result = operator.finish(initial, (flux, flux, state[1:], state[1:]), {})
    nan = np.nan
    expected = [[nan, 10, 20, 60], [nan, nan, 15, 40], [1, 2, 4, 8], [nan, nan, 2.25, 4.5]]
    np.testing.assert_allclose(result.T, expected, rtol=1e-14)
    assert not operator.pointwise
    assert make_operator(MODEL, streams[::2]).pointwise


def test_a_profile_computes_only_what_is_asked_for():
    """An entry that nobody observes is not even traced."""
    asked = []

    def at(index):
        assert index not in (0, 3), "nobody observes this"
        asked.append(index)
        return SEEN["soil_temperature"][index]

    def stack():
        raise AssertionError("nobody observes all of it")

    diagnostics = {
        **DIAGNOSTICS,
        "soil_temperature": Profile(4, at, stack),
    }
    (value,) = make_operator(MODEL, [Stream("soil_temperature_0.20m")]).select(diagnostics)
    assert (float(value), asked) == (295.0, [1, 2])
    make_operator(MODEL, [Stream("surface_temperature")]).select(diagnostics)
    assert asked == [1, 2]


def test_many_sensors_read_the_whole_profile_at_once():
    """And read what each would by itself."""

    def at(index):
        raise AssertionError("entry by entry this takes longer and longer to compile")

    streams = [Stream(f"soil_temperature_{depth:.2f}m") for depth in np.linspace(0.0, 0.6, 16)]
    alone = [make_operator(MODEL, [stream]).select(DIAGNOSTICS)[0] for stream in streams]
    whole = {**DIAGNOSTICS, "soil_temperature": Profile(4, at, SEEN["soil_temperature"].copy)}
    np.testing.assert_array_equal(make_operator(MODEL, streams).select(whole), alone)


def test_a_profile_is_a_sequence():
    profile = DIAGNOSTICS["soil_temperature"]
    assert len(profile) == 4
    assert float(profile[-1]) == 293.0
    with pytest.raises(IndexError):
        profile[4]
    np.testing.assert_array_equal(profile.stack(), SEEN["soil_temperature"])


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        ("soil_temperature_0.80m", "within the grid"),
        ("soil_temperature", "a depth in the name"),
        ("soil_temprature_0.05m", "did you mean"),
    ],
)
def test_streams_that_cannot_be_read(stream, message):
    with pytest.raises(InputError, match=message):
        make_operator(MODEL, [Stream(stream)])


@pytest.mark.parametrize("stream", ["sensible_heat_flux", "incoming_shortwave"])
def test_streams_the_model_does_not_compute(stream):
    """The combined closure has no separate sensible heat flux; forcing is no diagnostic."""
    with pytest.raises(InputError):
        make_operator(MODEL, [Stream(stream)])


def test_missing_observations_are_masked_not_filled():
    series = {"surface_temperature": np.array([290.0, np.nan, 292.0])}
    observations = Observations.from_series(series, {"surface_temperature": 0.5})
    assert observations.mask[:, 0].tolist() == [True, False, True]
    assert bool(jnp.isfinite(observations.values).all())


@pytest.mark.parametrize(
    ("values", "sigma", "message"),
    [([290.0, 291.0], 0.0, "positive sigma"), ([np.nan, np.nan], 0.5, "observations of")],
)
def test_unusable_observations(values, sigma, message):
    with pytest.raises(InputError, match=message):
        Observations.from_series(
            {"surface_temperature": np.array(values)}, {"surface_temperature": sigma}
        )


# -- observations that no prediction meets ---------------------------------------------------------


class Flux(eqx.Module):
    """y = a (1 - exp(-b x)), seen as a flux or under a name of its own."""

    seen: str = eqx.field(static=True)
    declarations: tuple = eqx.field(static=True)
    forcing_variables: tuple = eqx.field(static=True, default=("x",))
    derived_labels: dict = eqx.field(static=True, default_factory=dict)

    @property
    def depths(self):
        return {}

    @property
    def diagnostics(self):
        return (self.seen,)

    def prepare(self, params):
        return dict(params)

    def init_state(self, prepared, forcing):
        return prepared["a"] * forcing["x"]

    def diagnose(self, prepared, state):
        return {self.seen: state}

    def step(self, prepared, state, forcing):
        value = prepared["a"] * forcing["x"]
        return value, {self.seen: value}

    def derived(self, params):
        return {}


def flux_problem(seen: str, n: int) -> InverseProblem:
    declared = ParameterDeclaration("a", "a", "1", 1.0, 0.0, 10.0, "a test")
    space = ParameterSpace.build([declared], {"a": free_parameter(declared)}, {})
    model, x = Flux(seen, (declared,)), np.arange(1.0, n + 1.0)
    observations = Observations.from_series({seen: 2.0 * x}, {seen: 0.5})
    operator = make_operator(model, [Stream(seen)])
    return InverseProblem(model, {"x": jnp.asarray(x)}, operator, observations, space)


@pytest.mark.parametrize("method", ["lm", "etki"])
def test_an_observation_of_a_flux_at_time_zero_is_not_dropped_in_silence(method):
    sentence = (
        "1 of 6 observations of latent_heat_flux cannot be predicted (a flux has no value at time "
        "zero) and is not used."
    )
    assert sentence in estimate(flux_problem("latent_heat_flux", 6), method).warnings
    state = estimate(flux_problem("surface_temperature", 6), method)
    assert not any("cannot be predicted" in text for text in state.warnings)


def test_of_a_long_record_the_first_value_is_said_by_the_operator_alone():
    problem = flux_problem("latent_heat_flux", 200)
    mask = np.asarray(problem.observations.mask)
    assert problem.operator.unused(mask)[0].startswith("1 of 200 observations of latent_heat_flux")
    assert problem.operator.unused(mask, 0.01) == ()


def test_an_output_under_a_name_of_ones_own_is_refused_with_a_way_out():
    with pytest.raises(
        InputError, match=r"under a name of caliche.variables.*Got 'y'\. Try: name it"
    ):
        flux_problem("y", 6)

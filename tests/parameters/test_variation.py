"""Parameters that vary in time: knots and what lies between, the prior on it, bounds."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.interpolate import CubicSpline
from test_space import ALBEDO, CAPACITY, CONDUCTIVITY, DECLARATIONS

from caliche.errors import InputError
from caliche.evaluation.prediction import varying_parameters
from caliche.parameters import LogNormal, Normal, ParameterSpace, harmonics, random_walk
from caliche.parameters.space import free_parameter

KNOTS = (0.0, 1.0, 2.5, 3.0, 4.5)
DAYS = np.linspace(0.0, 5.0, 41)  # three hours apart; every knot is one of the times
AT_KNOTS = np.searchsorted(DAYS, KNOTS)
BETWEEN = ("step", "linear", "cubic")


def walk(between, smoothness=0.3, days=DAYS, knots=KNOTS):
    return random_walk(days, knots, [f"{k:g}" for k in knots], between, smoothness)


def cycle(order=2, smoothness=0.3, days=DAYS, period=1.0):
    size = 2 * order + 1
    return harmonics(days, period, order, [f"{k}/{size}" for k in range(size)], smoothness)


VARIATIONS = {between: walk(between) for between in BETWEEN} | {"harmonics": cycle()}


@pytest.fixture(params=VARIATIONS)
def variation(request):
    return VARIATIONS[request.param]


def test_rows_of_the_basis_add_up_to_one(variation):
    assert variation.basis.shape == (len(DAYS), variation.size)
    np.testing.assert_allclose(variation.basis.sum(axis=1), 1.0, rtol=1e-14)
    # so that a level, and nothing else, is constant
    u = jnp.zeros(variation.size).at[0].set(0.7)
    np.testing.assert_allclose(variation.basis @ variation.coordinate(u), 0.7, rtol=1e-14)


@pytest.mark.parametrize("between", BETWEEN)
def test_knots_have_their_values(between):
    """A step's value drives the steps after its knot: entry k of a series is of the step before."""
    values = np.array([0.3, -1.2, 2.0, 0.1, 0.8])
    series = np.asarray(walk(between).basis @ values)
    if between == "step":
        np.testing.assert_array_equal(series[AT_KNOTS + 1], values)
        np.testing.assert_array_equal(series[AT_KNOTS[1:]], values[:-1])
        assert set(series) == set(values)
    else:
        np.testing.assert_allclose(series[AT_KNOTS], values, atol=1e-14)
        np.testing.assert_array_equal(series[AT_KNOTS[-1] :], series[AT_KNOTS[-1]])


def test_what_lies_between_knots():
    values = np.array([0.3, -1.2, 2.0, 0.1, 0.8])
    inside = KNOTS[-1] >= DAYS
    np.testing.assert_allclose(
        walk("linear").basis @ values, np.interp(DAYS, KNOTS, values), atol=1e-14
    )
    spline = CubicSpline(KNOTS, values, bc_type="natural")(DAYS)
    np.testing.assert_allclose((walk("cubic").basis @ values)[inside], spline[inside], atol=1e-13)


def test_two_knots_have_a_line_between_them():
    np.testing.assert_array_equal(
        walk("cubic", knots=(0.0, 4.0)).basis, walk("linear", knots=(0.0, 4.0)).basis
    )


def test_constant_before_the_first_knot():
    for between in BETWEEN:
        series = walk(between, knots=(1.0, 2.0, 4.0)).basis @ jnp.array([3.0, 5.0, 7.0])
        np.testing.assert_array_equal(series[DAYS <= 1.0], 3.0)


def test_the_level_is_the_mean_over_time():
    """Of the coordinate, whatever the increments are."""
    for between in BETWEEN:
        variation = walk(between)
        u = jnp.array([0.4, 1.0, -2.0, 0.5, 3.0])
        mean = jnp.mean(variation.basis @ variation.coordinate(u))
        assert float(mean) == pytest.approx(0.4, abs=1e-14)
    whole_days = DAYS[:-1]  # a cycle's mean is that over whole periods
    variation = cycle(days=whole_days)
    u = jnp.array([0.4, 1.0, -2.0, 0.5, 3.0])
    mean = jnp.mean(variation.basis @ variation.coordinate(u))
    assert float(mean) == pytest.approx(0.4, abs=1e-14)


@pytest.mark.parametrize("between", BETWEEN)
def test_differences_between_knots_are_those_of_a_random_walk(between):
    """D C D^T = smoothness^2 diag(days between knots), C the prior covariance of the knots."""
    smoothness = 0.3
    variation = walk(between, smoothness)
    spread = smoothness * np.asarray(variation.increments)
    covariance = spread @ spread.T
    difference = np.diff(np.eye(len(KNOTS)), axis=0)
    expected = smoothness**2 * np.diag(np.diff(KNOTS))
    np.testing.assert_allclose(difference @ covariance @ difference.T, expected, atol=1e-15)
    # and of any two knots: the variance grows with the days between them
    for i, one in enumerate(KNOTS):
        for j, other in enumerate(KNOTS):
            between_them = covariance[i, i] + covariance[j, j] - 2.0 * covariance[i, j]
            assert between_them == pytest.approx(smoothness**2 * abs(one - other), abs=1e-15)


@pytest.mark.parametrize("order", [1, 2, 4])
def test_harmonics_repeat_and_are_those_of_their_knots(order):
    """2 K + 1 values at equal phases give mean and K harmonics, each back where it was."""
    days = np.arange(0.0, 3.0, 0.05)
    variation = cycle(order, days=days)
    k = np.arange(1, order + 1)
    generator = np.random.default_rng(order)
    mean, a, b = 0.4, generator.normal(size=order), generator.normal(size=order)

    def wave(t):
        return (
            mean + np.cos(2 * np.pi * np.outer(t, k)) @ a + np.sin(2 * np.pi * np.outer(t, k)) @ b
        )

    phases = np.arange(variation.size) / variation.size
    series = np.asarray(variation.basis @ wave(phases))
    np.testing.assert_allclose(series, wave(days), atol=1e-12)
    np.testing.assert_allclose(series[:20], series[20:40], atol=1e-12)
    # the whitened increments are the coefficients times k / smoothness, the level the mean
    u = np.asarray(variation.whitened(jnp.asarray(wave(phases))))
    expected = [mean, *(k * a / 0.3), *(k * b / 0.3)]
    np.testing.assert_allclose(u, expected, atol=1e-12)


@given(
    arrays(float, len(KNOTS), elements=st.floats(-3.0, 3.0)),
    st.sampled_from(sorted(VARIATIONS)),
    st.floats(0.01, 10.0),
)
def test_round_trip(u, name, smoothness):
    variation = eqx.tree_at(lambda v: v.smoothness, VARIATIONS[name], jnp.asarray(smoothness))
    coordinate = variation.coordinate(jnp.asarray(u))
    np.testing.assert_allclose(variation.whitened(coordinate), u, atol=1e-10)
    np.testing.assert_allclose(
        variation.coordinate(variation.whitened(jnp.asarray(u))), u, atol=1e-10
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: walk("linear", knots=(0.0,)), "at least two knots"),
        (lambda: walk("step", knots=()), "at least two knots"),
        (lambda: walk("step", knots=(0.0, 2.0, 1.0)), "increase"),
        (lambda: walk("cubic", knots=(0.0, 1.0, 1.0)), "increase"),
        (lambda: walk("linear", 0.0), "a positive smoothness"),
        (lambda: walk("linear", float("nan")), "a positive smoothness"),
        (lambda: cycle(smoothness=-1.0), "a positive smoothness"),
        (lambda: cycle(order=0), "at least one harmonic"),
    ],
)
def test_impossible_variations_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


# -- in a parameter space --------------------------------------------------------------------

FREE = {
    "albedo": free_parameter(ALBEDO),
    "conductivity": free_parameter(CONDUCTIVITY, Normal(0.8, 0.3, 0.05, 5.0), initial=1.1),
    "capacity": free_parameter(CAPACITY, LogNormal(2.2e6, 4e5)),
}
SPACE = ParameterSpace.build(
    DECLARATIONS, FREE, {}, {"albedo": walk("linear", 0.5), "capacity": cycle(1, 0.2)}
)
PHASES = ("0/3", "1/3", "2/3")


def test_entries_have_names_and_priors_of_their_own():
    assert SPACE.names == (
        *(f"albedo[{k:g}]" for k in KNOTS),
        "conductivity",
        *(f"capacity[{k}]" for k in PHASES),
    )
    assert SPACE.size == 9
    # the level has the parameter's own prior (flat for albedo), increments are always N(0, 1)
    assert SPACE.informative.tolist() == [False] + 8 * [True]
    assert [(p.name, s.start, s.stop) for p, s in SPACE.slices()] == [
        ("albedo", 0, 5),
        ("conductivity", 5, 6),
        ("capacity", 6, 9),
    ]
    assert SPACE.entries[6].long_name == "capacity, 0/3"


@given(arrays(float, 9, elements=st.floats(-6.0, 6.0)))
def test_bounds_hold_at_every_time(u):
    values = SPACE.to_physical(jnp.asarray(u))
    assert values["albedo"].shape == values["capacity"].shape == DAYS.shape
    assert values["conductivity"].shape == values["emissivity"].shape == ()
    for d in DECLARATIONS[:2]:
        assert bool(jnp.all((values[d.name] >= d.lower) & (values[d.name] <= d.upper))), d.name
    assert bool(jnp.all(values["capacity"] > 0.0))


@given(arrays(float, 9, elements=st.floats(-3.0, 3.0)))
def test_a_vector_holds_the_values_at_the_knots(u):
    """And its entries give the control vector back."""
    vector = SPACE.vector(jnp.asarray(u))
    series = SPACE.to_physical(jnp.asarray(u))
    np.testing.assert_allclose(series["albedo"][AT_KNOTS], vector[:5], rtol=1e-12)
    np.testing.assert_allclose(series["capacity"][0], vector[6], rtol=1e-12)
    back = SPACE.to_whitened(
        {"albedo": vector[:5], "conductivity": vector[5], "capacity": vector[6:]}
    )
    np.testing.assert_allclose(back, u, atol=1e-7)
    np.testing.assert_allclose(
        SPACE.from_coordinates(SPACE.coordinates(jnp.asarray(u))), vector, rtol=1e-14
    )


def test_the_initial_guess_is_constant():
    u = SPACE.initial()
    values = SPACE.to_physical(u)
    np.testing.assert_allclose(values["albedo"], 0.2, rtol=1e-12)
    np.testing.assert_allclose(values["capacity"], 2.2e6, rtol=1e-12)
    assert float(values["conductivity"]) == pytest.approx(1.1)
    np.testing.assert_allclose(np.asarray(u)[[1, 2, 3, 4, 7, 8]], 0.0, atol=1e-12)
    # one value for all knots is the same as one for each
    again = SPACE.to_whitened(
        {"albedo": jnp.full(5, 0.2), "conductivity": 1.1, "capacity": jnp.full(3, 2.2e6)}
    )
    np.testing.assert_allclose(again, u, atol=1e-12)


def test_a_band_beside_a_bound_ends_there_and_does_not_bend():
    u = np.asarray(SPACE.to_whitened({"albedo": 0.89, "conductivity": 1.1, "capacity": 2.2e6}))
    slope = jax.jacfwd(SPACE.vector)(jnp.asarray(u))[0, 0]
    level = np.zeros((9, 9))
    level[0, 0] = (0.01 / slope) ** 2
    value, low, high = varying_parameters(SPACE, u, level)["albedo"]
    np.testing.assert_allclose(value, 0.89, rtol=1e-12)
    np.testing.assert_allclose(low, 0.89 - 1.96 * 0.01, rtol=1e-4)
    np.testing.assert_allclose(high, 0.9, rtol=1e-12)


def test_tangents_along_other_parameters_are_none():
    jacobian = jax.jacfwd(SPACE.to_physical)(SPACE.initial())
    assert not np.any(jacobian["albedo"][:, 5:])
    assert not np.any(jacobian["capacity"][:, :6])
    assert np.all(np.any(jacobian["albedo"][:, :5], axis=0))


def test_a_shorter_window_keeps_the_knots():
    """Of fixed series as well."""
    series = jnp.linspace(0.8, 0.95, len(DAYS))
    space = eqx.tree_at(lambda s: s.fixed["emissivity"], SPACE, series)
    u = jnp.linspace(-1.0, 1.0, 9)
    whole, part = space.to_physical(u), space.until(7).to_physical(u)
    for name in ("albedo", "capacity", "emissivity"):
        np.testing.assert_array_equal(part[name], whole[name][:7])
    assert float(part["conductivity"]) == float(whole["conductivity"])
    assert space.until(7).names == SPACE.names
    np.testing.assert_array_equal(space.until(7).vector(u), SPACE.vector(u))
    only = ParameterSpace.build(DECLARATIONS, {"albedo": FREE["albedo"]}, {})
    only = eqx.tree_at(lambda s: s.fixed["emissivity"], only, series)
    assert only.until(7).fixed["emissivity"].shape == (7,)


def test_another_smoothness_rescales_the_increments():
    u = jnp.linspace(-1.0, 1.0, 9)
    space = SPACE.rescaled({"albedo": 1.0})
    assert float(space.variations["albedo"].smoothness) == 1.0
    assert float(space.variations["capacity"].smoothness) == 0.2
    halved = u.at[1:5].multiply(0.5)
    np.testing.assert_allclose(space.vector(halved), SPACE.vector(u), rtol=1e-13)
    assert jax.tree.structure(space) == jax.tree.structure(SPACE)  # no new compilation


def test_starts_spread_the_level_alone():
    starts = SPACE.draw_starts(9, seed=1)
    assert starts.shape == (9, 9)
    increments = np.asarray(starts)[:, ~np.isin(np.arange(9), [0, 5, 6])]
    np.testing.assert_allclose(increments, 0.0, atol=1e-12)
    albedo = np.stack([SPACE.vector(u) for u in starts[1:]])[:, 0]
    bins = np.floor((albedo - 0.01) / 0.89 * 8.0)
    assert sorted(bins) == list(range(8))


@pytest.mark.parametrize(
    ("variations", "fixed", "message"),
    [
        ({"albdo": walk("step")}, {}, "'albedo'"),
        ({"emissivity": walk("step")}, {}, "emissivity to be free"),
    ],
)
def test_only_free_parameters_vary(variations, fixed, message):
    with pytest.raises(InputError, match=message):
        ParameterSpace.build(DECLARATIONS, FREE, fixed, variations)


def test_knots_share_the_functions_of_their_prior():
    """Knot by knot a program grew with their number: most of a minute of compiling for a dozen."""
    free = {"conductivity": free_parameter(CONDUCTIVITY, LogNormal(0.8, 0.3, 0.05, 5.0))}
    counts = []
    for variation in (walk("linear"), cycle(6)):
        space = ParameterSpace.build(DECLARATIONS, free, {}, {"conductivity": variation})
        program = str(jax.make_jaxpr(space.vector)(jnp.zeros(space.size)))
        counts.append((program.count("log1p"), program.count("erfc"), len(program.splitlines())))
    assert counts[0] == counts[1]

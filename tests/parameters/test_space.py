"""The parameter space: free and fixed parameters, the control vector, first guesses."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from caliche.errors import InputError
from caliche.models.base import ParameterDeclaration
from caliche.parameters import Flat, LogNormal, Normal, ParameterSpace, Tie
from caliche.parameters.space import free_parameter

DECLARATIONS = [
    ParameterDeclaration("albedo", "albedo", "1", 0.2, 0.01, 0.9, "here"),
    ParameterDeclaration("conductivity", "conductivity", "W m-1 K-1", 0.8, 0.05, 5.0, "here"),
    ParameterDeclaration("capacity", "capacity", "J m-3 K-1", 2.2e6, 0.5e6, 5e6, "here"),
    ParameterDeclaration("emissivity", "emissivity", "1", 0.95, 0.7, 1.0, "here"),
]
ALBEDO, CONDUCTIVITY, CAPACITY, EMISSIVITY = DECLARATIONS
FREE = {
    "capacity": free_parameter(CAPACITY, LogNormal(2.2e6, 4e5)),
    "albedo": free_parameter(ALBEDO),
    "conductivity": free_parameter(CONDUCTIVITY, Normal(0.8, 0.3, 0.05, 5.0), initial=1.1),
}
SPACE = ParameterSpace.build(DECLARATIONS, FREE, {})


def test_order_is_that_of_the_declarations_and_the_rest_is_fixed():
    assert SPACE.names == ("albedo", "conductivity", "capacity")
    assert SPACE.informative.tolist() == [False, True, True]
    assert {name: float(v) for name, v in SPACE.fixed.items()} == {"emissivity": 0.95}


@given(arrays(float, 3, elements=st.floats(-4.0, 4.0)))
def test_round_trip(u):
    params = SPACE.to_physical(jnp.asarray(u))
    assert params.keys() == {d.name for d in DECLARATIONS}
    np.testing.assert_allclose(SPACE.to_whitened(params), u, atol=1e-9)
    np.testing.assert_array_equal(
        SPACE.vector(jnp.asarray(u)), [params[name] for name in SPACE.names]
    )


def test_initial_guess():
    np.testing.assert_allclose(SPACE.vector(SPACE.initial()), [0.2, 1.1, 2.2e6], rtol=1e-12)


def test_starts_cover_their_ranges_and_repeat_with_the_seed():
    free = {
        "albedo": free_parameter(ALBEDO),
        "capacity": free_parameter(CAPACITY, LogNormal(2.2e6, 4e5)),
        "conductivity": free_parameter(CONDUCTIVITY, start=(0.4, 0.9)),
    }
    space = ParameterSpace.build(DECLARATIONS, free, {})
    starts = space.draw_starts(21, seed=3)
    np.testing.assert_allclose(starts[0], space.initial(), rtol=1e-12)
    np.testing.assert_array_equal(starts, space.draw_starts(21, seed=3))
    assert not np.array_equal(starts, space.draw_starts(21, seed=4))
    values = np.stack([space.vector(u) for u in starts[1:]])
    # a Latin hypercube: one start in each twentieth of bounds, start range and prior
    for column, low, high in [(0, 0.01, 0.9), (1, 0.4, 0.9)]:
        bins = np.floor((values[:, column] - low) / (high - low) * 20.0)
        assert sorted(bins) == list(range(20))
    assert np.sum(values[:, 2] < np.exp(LogNormal(2.2e6, 4e5).log_mean)) == 10


def test_starts_need_a_range():
    space = ParameterSpace.build(
        DECLARATIONS, {"albedo": free_parameter(ALBEDO, Flat(scale=0.2))}, {}
    )
    assert space.draw_starts(1, seed=0).shape == (1, 1)
    with pytest.raises(InputError, match="a range from which to draw"):
        space.draw_starts(2, seed=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: free_parameter(ALBEDO, initial=0.95),
            "a first guess of albedo between its bounds",
        ),
        (lambda: free_parameter(ALBEDO, start=(0.5, 0.2)), "start range of albedo"),
        (lambda: free_parameter(ALBEDO, start=(0.5, 1.2)), "a start range of albedo between"),
        (lambda: ParameterSpace.build(DECLARATIONS, {}, {}), "at least one free"),
        (lambda: ParameterSpace.build(DECLARATIONS, FREE, {"emisivity": 0.9}), "'emissivity'"),
        (lambda: ParameterSpace.build(DECLARATIONS, FREE, {"emissivity": 95.0}), "check its unit"),
    ],
)
def test_impossible_spaces_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize("prior", [Normal(0.8, 2.0), LogNormal(0.8, 2.0)])
def test_a_prior_without_bounds_takes_those_that_are_declared(prior):
    p = free_parameter(CONDUCTIVITY, prior)
    assert (p.prior.lower, p.prior.upper) == (0.05, 5.0)
    space = ParameterSpace.build(DECLARATIONS, {"conductivity": p}, {})
    values = np.array([float(space.vector(jnp.array([u]))[0]) for u in (-9.0, -3.0, 3.0, 9.0)])
    assert ((values >= 0.05) & (values <= 5.0)).all()
    assert p.prior.describe("W") == f"{prior.describe('W')}, within 0.05 to 5"
    half = free_parameter(CONDUCTIVITY, type(prior)(0.8, 2.0, upper=3.0)).prior
    assert (half.lower, half.upper) == (0.05, 3.0)


@pytest.mark.parametrize("kind", [Normal, LogNormal])
def test_a_mean_outside_the_declared_bounds_is_refused(kind):
    message = "the mean of a .*normal prior inside its bounds, for parameter albedo.*0.01 to 0.9"
    with pytest.raises(InputError, match=message):
        free_parameter(ALBEDO, kind(1.5, 0.1))


@pytest.mark.parametrize(
    ("prior", "got"),
    [
        (Normal(0.5, 0.2), "-6.9 where a is -6.9"),
        (Flat(0.1), "no bound of a on that side"),
        (LogNormal(0.5, 0.2, 0.1, 2.0), "2 where a is 2"),
    ],
)
def test_a_tied_parameter_stays_within_its_own_bounds_whatever_the_other_does(prior, got):
    a = ParameterDeclaration("a", "a", "1", 0.5, -np.inf, np.inf, "here")
    b = ParameterDeclaration("b", "b", "1", 0.5, 0.0, 1.0, "here")
    free = {"a": free_parameter(a, prior)}
    with pytest.raises(InputError, match=f"b, tied to a, to stay between 0 and 1. Got .*{got}"):
        ParameterSpace.build([a, b], free, {}, ties=[Tie("b", "a")])
    inside = {"a": free_parameter(a, LogNormal(0.5, 0.2, 0.1, 1.0))}
    assert ParameterSpace.build([a, b], inside, {}, ties=[Tie("b", "a")]).ties

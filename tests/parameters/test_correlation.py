"""Correlated priors and ties: the map from u to physical values, and what is refused."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from caliche.errors import InputError
from caliche.models.base import ParameterDeclaration
from caliche.parameters import (
    Flat,
    FreeParameter,
    LogNormal,
    Normal,
    ParameterSpace,
    Tie,
    random_walk,
)

NAMES = ("a", "b", "c", "d")
SD = np.array([0.5, 2.0, 1.0, 3.0])
DECLARATIONS = [ParameterDeclaration(n, n, "1", 1.0, -1e9, 1e9, "here") for n in NAMES]
PRIORS = [Normal(1.0, float(sd)) for sd in SD]


def space(correlations=None, priors=PRIORS, ties=(), variations=None, start=None):
    free = {
        d.name: FreeParameter(d, p, 1.0, start)
        for d, p in zip(DECLARATIONS, priors, strict=True)
        if d.name not in {tie.name for tie in ties}
    }
    return ParameterSpace.build(DECLARATIONS, free, {}, variations, ties, correlations)


def pairs(matrix):
    n = len(matrix)
    return {(NAMES[i], NAMES[j]): float(matrix[i, j]) for i in range(n) for j in range(i)}


@st.composite
def correlation_matrices(draw):
    rows = draw(arrays(float, (4, 6), elements=st.floats(-1.0, 1.0)))
    matrix = rows @ rows.T + 0.05 * np.eye(4)
    scale = np.sqrt(np.diag(matrix))
    return matrix / np.outer(scale, scale)


@given(correlation_matrices(), arrays(float, 4, elements=st.floats(-3.0, 3.0)))
def test_u_maps_to_the_right_covariance_and_back(matrix, u):
    found = space(pairs(matrix))
    slopes = np.stack([found.coordinates(row) for row in jnp.eye(4)], axis=1)
    np.testing.assert_allclose(slopes @ slopes.T, matrix, atol=1e-12)
    values = np.asarray(found.vector(jnp.asarray(u)))
    np.testing.assert_allclose(values, 1.0 + SD * (slopes @ u), rtol=1e-12)
    params = found.to_physical(jnp.asarray(u))
    np.testing.assert_array_equal(values, [params[name] for name in NAMES])
    np.testing.assert_allclose(found.to_whitened(params), u, atol=1e-9)


@given(correlation_matrices(), st.integers(0, 3), arrays(float, 4, elements=st.floats(-3.0, 3.0)))
def test_a_turned_space_is_the_same_space_with_one_entry_by_itself(matrix, k, u):
    found = space(pairs(matrix))
    turned, turn = found.led_by(k)
    np.testing.assert_allclose(turn @ turn.T, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(
        turned.vector(jnp.asarray(turn @ u)), found.vector(jnp.asarray(u)), rtol=1e-9, atol=1e-9
    )
    slope = np.array([turned.coordinates(row)[k] for row in jnp.eye(4)])
    np.testing.assert_allclose(slope, np.eye(4)[k], atol=1e-12)


def test_between_log_normal_priors_logarithms_are_correlated():
    priors = [LogNormal(1.0, 0.5), LogNormal(2.0, 0.2), Normal(1.0, 1.0), Flat()]
    found = space({("a", "b"): 0.6}, priors)
    drawn = np.random.default_rng(0).standard_normal((4000, 4))
    values = np.asarray(jax.vmap(found.vector)(jnp.asarray(drawn)))
    assert np.corrcoef(np.log(values[:, :2]).T)[0, 1] == pytest.approx(0.6, abs=0.03)
    np.testing.assert_allclose(values[:, :2].mean(axis=0), [1.0, 2.0], rtol=0.03)
    assert found.describe_prior("b") == "log-normal, 2 ± 0.2, correlation 0.6 with a"
    assert found.describe_prior("c") == "normal, 1 ± 1"


def test_starts_are_drawn_from_the_correlated_prior():
    starts = space({("a", "b"): -0.9}).draw_starts(401, seed=1)
    values = np.asarray(jax.vmap(space({("a", "b"): -0.9}).vector)(starts[1:]))
    assert np.corrcoef(values.T)[0, 1] == pytest.approx(-0.9, abs=0.05)
    # a start range has the last word
    ranged = space({("a", "b"): -0.9}, start=(0.9, 1.2))
    values = np.asarray(jax.vmap(ranged.vector)(ranged.draw_starts(41, seed=1)))
    assert values.min() >= 0.9 - 1e-9
    assert values.max() <= 1.2 + 1e-9


def test_the_level_of_a_parameter_that_varies_takes_part():
    walk = random_walk(np.linspace(0.0, 2.0, 9), [0.0, 1.0, 2.0], ["0", "1", "2"], "linear", 0.3)
    found = space({("a", "c"): 0.5}, variations={"a": walk})
    slopes = np.stack([found.coordinates(row) for row in jnp.eye(6)], axis=1)
    covariance = slopes @ slopes.T
    level = np.asarray(walk.basis.mean(axis=0)) @ slopes[:3]  # the mean over time
    assert level @ level == pytest.approx(1.0, rel=1e-9)
    assert level @ slopes[4] == pytest.approx(0.5, rel=1e-9)
    assert covariance[4, 4] == pytest.approx(1.0)
    u = jnp.arange(6.0) / 4.0 - 0.7
    params = found.to_physical(u)
    assert params["a"].shape == (9,)
    by_name = dict(zip(found.names, found.vector(u), strict=True))
    np.testing.assert_allclose(found.to_whitened(by_name), u, atol=1e-12)


def test_ties_follow():
    ties = [Tie("b", "a", 2.0), Tie("d", "a")]
    found = space(ties=ties)
    assert found.names == ("a", "c")
    params = found.to_physical(jnp.asarray([0.4, -1.0]))
    assert params["b"] == 2.0 * params["a"]
    assert params["d"] == params["a"]
    assert set(params) == set(NAMES)
    assert [tie.describe() for tie in found.ties] == ["= 2 × a", "= a"]


@pytest.mark.parametrize(
    ("correlations", "priors", "message"),
    [
        ({("a", "x"): 0.5}, PRIORS, "free parameters in prior_correlations"),
        ({("a", "b"): 0.5}, [PRIORS[0], Flat(), *PRIORS[2:]], "a normal or log-normal prior of b"),
        ({("a", "b"): 1.0}, PRIORS, "a prior correlation of a and b between -1 and 1"),
        ({("a", "b"): 0.5, ("b", "a"): 0.4}, PRIORS, "every pair of two parameters once"),
        (
            {("a", "b"): 0.9, ("b", "c"): 0.9, ("a", "c"): -0.9},
            PRIORS,
            r"positive definite matrix\). Got a smallest eigenvalue of -0.8, between a, b, c",
        ),
    ],
)
def test_correlations_that_cannot_be(correlations, priors, message):
    with pytest.raises(InputError, match=message):
        space(correlations, priors)


NARROW = [
    ParameterDeclaration("a", "a", "m", 0.5, 0.0, 1.0, "here"),
    ParameterDeclaration("b", "b", "m", 0.5, 0.0, 1.0, "here"),
    ParameterDeclaration("c", "c", "s", 0.5, 0.0, 1.0, "here"),
]


@pytest.mark.parametrize(
    ("ties", "message"),
    [
        ([Tie("b", "x")], "a parameter of the model in tied_to of b"),
        ([Tie("b", "a"), Tie("c", "b", 1.0)], "c tied to a parameter that is not tied itself"),
        ([Tie("b", "c")], "a factor of b, whose unit m is not that of c"),
        ([Tie("b", "a", 2.0)], "b, tied to a, to stay between 0 and 1. Got 2 where a is 1"),
        ([Tie("b", "a", 0.0)], "a factor of b other than zero"),
    ],
)
def test_ties_that_cannot_be(ties, message):
    free = {"a": FreeParameter(NARROW[0], Flat(0.0, 1.0), 0.5)}
    with pytest.raises(InputError, match=message):
        ParameterSpace.build(NARROW, free, {}, ties=ties)

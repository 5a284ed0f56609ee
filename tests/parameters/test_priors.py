"""Priors: bijections that keep their bounds, and the distributions they stand for."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import integrate, special, stats

from caliche.errors import InputError
from caliche.parameters import Flat, LogNormal, Normal

PRIORS = {
    "flat": Flat(scale=3.0),
    "flat-above": Flat(lower=-2.0, scale=3.0),
    "flat-below": Flat(upper=5.0, scale=3.0),
    "flat-between": Flat(0.05, 5.0),
    "normal": Normal(0.8, 0.3),
    "normal-between": Normal(0.8, 0.3, 0.05, 5.0),
    "normal-above": Normal(0.2, 0.5, lower=0.0),
    "normal-below": Normal(0.9, 0.2, upper=1.0),
    "log-normal": LogNormal(2.2e6, 0.4e6),
    "log-normal-wide": LogNormal(1.0, 3.0),
    "log-normal-between": LogNormal(150.0, 120.0, 10.0, 600.0),
    "log-normal-above": LogNormal(1.0, 0.5, lower=0.5),
    "log-normal-below": LogNormal(0.9, 0.2, upper=1.0),
}
EVERY_PRIOR = pytest.mark.parametrize("prior", PRIORS.values(), ids=PRIORS)


@functools.partial(jax.jit, static_argnums=0)
def to_physical(prior, u):
    return jax.vmap(prior.to_physical)(u)


@functools.partial(jax.jit, static_argnums=0)
def to_whitened(prior, values):
    return jax.vmap(prior.to_whitened)(values)


@EVERY_PRIOR
@given(u=arrays(float, 8, elements=st.floats(-5.0, 5.0)))
def test_round_trip(prior, u):
    np.testing.assert_allclose(to_whitened(prior, to_physical(prior, u)), u, atol=1e-8)


@EVERY_PRIOR
def test_monotone_and_inside_the_bounds(prior):
    values = np.asarray(to_physical(prior, np.linspace(-30.0, 30.0, 241)))
    assert np.isfinite(values).all()
    assert np.all(np.diff(values) >= 0.0)
    assert np.all((values >= prior.lower) & (values <= prior.upper))
    near = np.asarray(to_physical(prior, np.linspace(-5.0, 5.0, 241)))
    assert np.all(np.diff(near) > 0.0)


@EVERY_PRIOR
def test_slope_matches_differences_and_stays_finite(prior):
    u = np.linspace(-5.0, 5.0, 21)
    slope = jax.vmap(jax.grad(prior.to_physical))(u)
    difference = (to_physical(prior, u + 1e-5) - to_physical(prior, u - 1e-5)) / 2e-5
    np.testing.assert_allclose(slope, difference, rtol=2e-5)
    far = jax.vmap(jax.grad(prior.to_physical))(np.array([-30.0, 30.0]))
    assert bool(jnp.isfinite(far).all())


@pytest.mark.parametrize("name", ["normal-between", "normal-above", "normal-below"])
def test_truncated_normal_has_the_quantiles_of_scipy(name):
    prior = PRIORS[name]
    a, b = (prior.lower - prior.mean) / prior.sd, (prior.upper - prior.mean) / prior.sd
    reference = stats.truncnorm(a, b, loc=prior.mean, scale=prior.sd)
    u = np.linspace(-6.0, 6.0, 25)
    from_the_nearer_tail = np.where(
        u < 0, reference.ppf(special.ndtr(u)), reference.isf(special.ndtr(-u))
    )
    np.testing.assert_allclose(to_physical(prior, u), from_the_nearer_tail, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("name", ["log-normal-between", "log-normal-above", "log-normal-below"])
def test_truncated_log_normal_has_the_quantiles_of_scipy(name):
    """Those of scipy's log-normal between its distribution functions at the bounds."""
    prior = PRIORS[name]
    whole = stats.lognorm(s=prior.log_sd, scale=math.exp(prior.log_mean))
    u = np.linspace(-6.0, 6.0, 25)
    low, high = whole.cdf(prior.lower), whole.sf(prior.upper)
    mass = 1.0 - low - high
    from_the_nearer_tail = np.where(
        u < 0, whole.ppf(low + mass * special.ndtr(u)), whole.isf(high + mass * special.ndtr(-u))
    )
    np.testing.assert_allclose(to_physical(prior, u), from_the_nearer_tail, rtol=1e-10)


def test_bounds_far_out_leave_a_log_normal_prior_as_it_is():
    u = np.linspace(-6.0, 6.0, 25)
    np.testing.assert_array_equal(
        to_physical(LogNormal(1.0, 0.2, 0.01, 1e3), u), to_physical(LogNormal(1.0, 0.2), u)
    )


@pytest.mark.parametrize("prior", [LogNormal(1.0, 90.0, lower=0.9), LogNormal(1.0, 0.1, 0.9, 1.1)])
def test_bounds_that_leave_little_of_a_log_normal_prior_keep_its_digits(prior):
    u = np.linspace(-5.0, 5.0, 21)
    np.testing.assert_allclose(to_whitened(prior, to_physical(prior, u)), u, atol=1e-7)


@settings(max_examples=10)
@given(
    mean=st.floats(0.1, 10.0),
    share=st.floats(0.1, 3.0),
    cuts=st.tuples(st.floats(0.01, 0.9), st.floats(1.1, 100.0)),
    u=arrays(float, 8, elements=st.floats(-40.0, 40.0)),
)
def test_no_value_of_a_log_normal_prior_leaves_its_bounds(mean, share, cuts, u):
    prior = LogNormal(mean, share * mean, cuts[0] * mean, cuts[1] * mean)
    values = np.asarray(prior.to_physical(jnp.asarray(u)))
    assert ((prior.lower <= values) & (values <= prior.upper)).all()


def test_normal_without_bounds_is_affine():
    np.testing.assert_allclose(to_physical(Normal(0.8, 0.3), np.array([-2.0, 1.0])), [0.2, 1.1])


@pytest.mark.parametrize("name", ["log-normal", "log-normal-wide"])
def test_log_normal_has_the_physical_mean_and_sd(name):
    """Moments by Gauss-Hermite quadrature over u ~ N(0, 1)."""
    prior = PRIORS[name]
    u, weight = np.polynomial.hermite_e.hermegauss(80)
    values, weight = np.asarray(to_physical(prior, u)), weight / weight.sum()
    mean = weight @ values
    assert mean == pytest.approx(prior.mean, rel=1e-10)
    assert np.sqrt(weight @ (values - mean) ** 2) == pytest.approx(prior.sd, rel=1e-6)


@pytest.mark.parametrize(
    "name", ["normal", "normal-between", "normal-above", "log-normal", "log-normal-between"]
)
def test_density_of_the_physical_value_has_unit_mass(name):
    prior = PRIORS[name]
    density = jax.vmap(lambda x: jax.grad(prior.to_whitened)(x) * stats_pdf(prior.to_whitened(x)))
    low, high = to_physical(prior, np.array([-4.0, 4.0]))
    x = np.linspace(low, high, 4001)[1:-1]
    assert integrate.trapezoid(density(x), x) == pytest.approx(1.0, abs=1e-3)


def stats_pdf(u):
    return jnp.exp(-0.5 * u**2) / math.sqrt(2.0 * math.pi)


def test_only_flat_priors_stay_out_of_the_cost():
    assert [p.informative for p in PRIORS.values()] == [False] * 4 + [True] * 9


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Flat(2.0, 1.0), "lower bound below the upper"),
        (lambda: Normal(1.0, 0.5, 2.0, 0.0), "lower bound below the upper"),
        (lambda: Normal(1.0, -0.5), "positive standard deviation"),
        (lambda: Normal(3.0, 0.5, 0.0, 2.0), "mean of a normal prior inside"),
        (lambda: LogNormal(1.0, 0.0), "positive standard deviation"),
        (lambda: LogNormal(-1.0, 1.0), "positive mean"),
        (lambda: LogNormal(1.0, 1.0, lower=2.0), "mean of a log-normal prior inside"),
        (lambda: LogNormal(1.0, 1.0, upper=-2.0), "lower bound below the upper"),
    ],
)
def test_impossible_priors_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize(
    ("prior", "text"),
    [
        (Flat(), "flat"),
        (Flat(0.05, 5.0), "flat between 0.05 and 5 K"),
        (Normal(293.0, 2.0), "normal, 293 ± 2 K"),
        (LogNormal(2.0, 0.5), "log-normal, 2 ± 0.5 K"),
        (LogNormal(150.0, 120.0, 10.0, 600.0), "log-normal, 150 ± 120 K, within 10 to 600"),
        (LogNormal(2.0, 0.5, 0.1, 1e4), "log-normal, 2 ± 0.5 K"),  # bounds that cut off nothing
    ],
)
def test_description(prior, text):
    assert prior.describe("K") == text


def test_quantile_is_smooth_in_the_middle():
    """Both tails meet at u = 0, where the quantile changes from one to the other."""
    prior = Normal(0.95, 0.05, 0.7, 1.0)
    slope = jax.grad(prior.to_physical)
    below, middle, above = (float(slope(jnp.asarray(u))) for u in (-1e-7, 0.0, 1e-7))
    assert below == pytest.approx(middle, rel=1e-6)
    assert above == pytest.approx(middle, rel=1e-6)
    assert middle > 0.0

"""Monin-Obukhov transfer: published shapes, known numbers, and exact derivatives."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from caliche.physics import stability
from caliche.physics.heat_transfer import POLYNOMIAL_ERROR, HeatTransfer

RATIOS = st.tuples(st.floats(3.0, 11.0), st.floats(0.0, 6.0))
GRASS = float(np.log(10.0 / 0.07)), float(np.log(10.0 / 0.07)) + 2.0
parameter = jax.jit(stability.stability_parameter)
coefficients = jax.jit(stability.transfer_coefficients)
unlimited = jax.jit(stability.unlimited_coefficients)
as_in_code = jax.jit(stability.transfer_coefficients_with_jump)


def scalars(*values: float):
    return tuple(jnp.asarray(value) for value in values)


def gradient_function(zeta: float) -> tuple[float, float]:
    if zeta < 0.0:
        return (1.0 - 16.0 * zeta) ** -0.25, (1.0 - 16.0 * zeta) ** -0.5
    return (1.0 + zeta * (5.0 + 0.5 * zeta) / (1.0 + zeta),) * 2


@pytest.mark.parametrize("zeta", [-30.0, -1.0, -0.01, 0.01, 0.5, 4.0, 200.0])
def test_profiles_are_integrals_of_the_gradients(zeta):
    logs = 5.0, 7.5
    f = stability.similarity(*scalars(zeta, *logs))
    for k, (value, slope, log) in enumerate(
        [(f.momentum, f.momentum_slope, logs[0]), (f.heat, f.heat_slope, logs[1])]
    ):
        low = zeta * np.exp(-log)
        # in the logarithm of zeta, which is the measure of d zeta / zeta
        integral = quad(lambda y, k=k: gradient_function(zeta * np.exp(-y))[k], 0.0, log)[0]
        assert value == pytest.approx(integral, rel=1e-10)
        difference = gradient_function(zeta)[k] - gradient_function(low)[k]
        assert slope == pytest.approx(difference / zeta, rel=1e-10)


# From an independent replica of GFDL's formulas: virtual potential temperatures of air and
# surface (K), wind (m s-1), C_M, C_H and zeta; z = 10 m, z0m = 0.07 m, z0h = z0m exp(-2).
@pytest.mark.parametrize(
    ("air", "surface", "wind", "momentum", "heat", "zeta"),
    [
        (300.0, 303.0, 3.0, 8.557597e-3, 6.366959e-3, -0.34683),
        (300.0, 310.0, 1.0, 2.026332e-2, 1.641724e-2, -7.1964),
        (300.0, 298.0, 3.0, 3.750408e-3, 2.867522e-3, 0.36496),
        (300.0, 290.0, 1.0, 1e-5, 1e-5, None),
    ],
)
def test_known_numbers(air, surface, wind, momentum, heat, zeta):
    richardson = 9.8 * 10.0 * (air - surface) / (surface * (wind**2 + 1e-4))
    args = scalars(richardson, *GRASS)
    np.testing.assert_allclose(as_in_code(*args), [momentum, heat], rtol=4e-7)
    # the smooth floor is far away, or reached without a jump
    np.testing.assert_allclose(coefficients(*args), [momentum, heat], rtol=2e-5 if zeta else 0.03)
    if zeta is not None:
        assert parameter(*args) == pytest.approx(zeta, rel=2e-5)
    ours = stability.bulk_richardson_number(10.0, *scalars(air, surface, wind))
    assert ours == pytest.approx(richardson, rel=1e-3)  # another g


@given(RATIOS)
def test_neutral_air(ratios):
    logs = scalars(ratios[0], sum(ratios))
    neutral = stability.neutral_transfer_coefficients(*logs)
    assert neutral.heat == pytest.approx(0.16 / (ratios[0] * sum(ratios)), rel=1e-14)
    for richardson in (-1e-9, 0.0, 1e-9):  # the same from either side
        c = unlimited(jnp.asarray(richardson), *logs)
        np.testing.assert_allclose(c, neutral, rtol=1e-6)


@given(st.one_of(st.floats(-200.0, 1.9), st.floats(-1e-6, 1e-6)), RATIOS)
def test_zeta_gives_back_the_richardson_number(richardson, ratios):
    args = scalars(richardson, ratios[0], sum(ratios))
    zeta = parameter(*args)
    f = stability.similarity(zeta, *args[1:])
    back = zeta * f.heat / f.momentum**2
    limited = min(richardson, float(stability.greatest_richardson_number(*args[1:])))
    assert back == pytest.approx(limited, rel=1e-10, abs=1e-300)
    assert zeta <= stability.MOST_STABLE * (1.0 + 1e-9)


def test_arrays_are_as_scalars():
    """`jnp.arctan` of an array is not, with wide vectors in jaxlib 0.10.2."""
    richardson = jnp.linspace(-50.0, 1.5, 64)
    logs = scalars(*GRASS)
    together = jax.jit(jax.vmap(lambda r: stability.transfer_coefficients(r, *logs).heat))
    alone = [coefficients(r, *logs).heat for r in richardson]
    np.testing.assert_allclose(together(richardson), alone, rtol=1e-13)


def test_transfer_falls_with_stability_down_to_its_floor():
    richardson = jnp.concatenate([-jnp.logspace(2, -4, 60), jnp.logspace(-4, 2, 60)])
    values = jnp.stack([jnp.stack(coefficients(r, *scalars(*GRASS))) for r in richardson])
    assert bool(jnp.all(jnp.diff(values, axis=0) <= 0.0))
    assert bool(jnp.all(values > stability.LEAST_TRANSFER))
    np.testing.assert_allclose(values[-1], stability.LEAST_TRANSFER, rtol=0.03)


def by_differences(function, args, step):
    """Derivatives by every argument, central with Richardson's extrapolation."""
    result = []
    for k in range(len(args)):
        once, twice = (
            (
                function(*(a + h * (j == k) for j, a in enumerate(args)))
                - function(*(a - h * (j == k) for j, a in enumerate(args)))
            )
            / (2.0 * h)
            for h in (step, 2.0 * step)
        )
        result.append((4.0 * once - twice) / 3.0)
    return result


def heat(*args):
    return stability.transfer_coefficients(*args).heat


@pytest.fixture(scope="module", params=[stability.stability_parameter, heat], ids=["zeta", "C_H"])
def compiled(request):
    """A function, and its derivatives in both modes."""
    every = (0, 1, 2)
    return tuple(
        jax.jit(f)
        for f in (request.param, jax.grad(request.param, every), jax.jacfwd(request.param, every))
    )


@pytest.mark.parametrize("richardson", [-60.0, -1.0, -0.01, 0.01, 0.3, 1.0, 1.8])
@pytest.mark.parametrize("ratios", [(3.0, 6.0), (5.0, 2.0), (10.0, 0.0), (1.33, 2.0)])
def test_derivatives(compiled, richardson, ratios):
    function, backward, forward = compiled
    args = scalars(richardson, ratios[0], sum(ratios))
    reverse = backward(*args)
    np.testing.assert_allclose(forward(*args), reverse, rtol=1e-11)
    differences = by_differences(function, args, 2e-4 * abs(richardson))
    np.testing.assert_allclose(reverse, differences, rtol=1e-6)


@pytest.mark.parametrize("richardson", [0.0, -0.0, 1e-300, 1.9, 5.0, 1e6, -1e3])
def test_derivatives_are_finite_everywhere(compiled, richardson):
    function, backward, _ = compiled
    args = scalars(richardson, *GRASS)
    assert bool(jnp.isfinite(jnp.stack([function(*args), *backward(*args)])).all())


# -- the polynomial -----------------------------------------------------------------------------

build = jax.jit(lambda *logs: HeatTransfer.build(*logs, lowest=-100.0))
several = jax.jit(lambda curve: jax.vmap(curve.at)(SEVERAL))
exactly = jax.jit(lambda *logs: jax.vmap(lambda r: heat(r, *logs))(SEVERAL))
SEVERAL = jnp.concatenate([-jnp.logspace(2, -4, 80), jnp.zeros(1), jnp.logspace(-4, 1, 80)])


@given(RATIOS)
def test_polynomial_follows_the_exact_coefficient(ratios):
    logs = scalars(ratios[0], sum(ratios))
    curve = build(*logs)
    fast, exact = several(curve), exactly(*logs)
    scale = jnp.where(SEVERAL < 0.0, exact, curve.neutral)
    assert float(jnp.abs((fast - exact) / scale).max()) < POLYNOMIAL_ERROR
    assert float(fast[80]) == pytest.approx(float(curve.neutral), rel=POLYNOMIAL_ERROR)
    assert bool(jnp.all(fast > 0.0))


def test_polynomial_is_continuous_and_has_its_own_exact_derivatives():
    def curve(*args):
        return HeatTransfer.build(*args[1:], lowest=-100.0).at(args[0])

    step = jnp.asarray(1e-10)
    below, above = (curve(s * step, *scalars(*GRASS)) for s in (-1.0, 1.0))
    assert float(below) == pytest.approx(float(above), rel=1e-8)
    function, backward, ahead = (
        jax.jit(f) for f in (curve, jax.grad(curve, (0, 1, 2)), jax.jacfwd(curve, (0, 1, 2)))
    )
    for richardson in (-40.0, -0.5, 0.2, 1.2):
        args = scalars(richardson, *GRASS)
        reverse = backward(*args)
        np.testing.assert_allclose(ahead(*args), reverse, rtol=1e-9)
        differences = by_differences(function, args, 1e-3 * abs(richardson))
        np.testing.assert_allclose(reverse, differences, rtol=1e-5)
    for richardson in (0.0, 2.0, 1e6, -1e6):
        slopes = backward(*scalars(richardson, *GRASS))
        assert bool(jnp.isfinite(jnp.stack(slopes)).all())

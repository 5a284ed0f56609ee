"""Transfer coefficients: independent numbers, integrals of phi, continuity, derivatives."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

from caliche.physics import drag

HEIGHT, ROUGHNESS = 10.0, 0.07
LOG_M = jnp.asarray(np.log(HEIGHT / ROUGHNESS))
LOG_H = LOG_M + 2.0
ROUGH = jnp.asarray(np.log(10.0 / 2.65)), jnp.asarray(np.log(10.0 / 2.65) + 2.0)


def richardson(surface: float, air: float, wind: float) -> jax.Array:
    return drag.bulk_richardson(
        HEIGHT, jnp.asarray(surface), jnp.asarray(air), jnp.asarray(wind), gravity=9.8
    )


@pytest.mark.parametrize(
    ("air", "surface", "wind", "momentum", "heat"),
    [
        (300.0, 303.0, 3.0, 8.557597e-3, 6.366959e-3),
        (300.0, 310.0, 1.0, 2.026332e-2, 1.641724e-2),
        (300.0, 298.0, 3.0, 3.750408e-3, 2.867522e-3),
    ],
)
def test_known_coefficients(air, surface, wind, momentum, heat):
    for sharp in (False, True):
        got = drag.monin_obukhov(richardson(surface, air, wind), LOG_M, LOG_H, sharp)
        np.testing.assert_allclose(got, [momentum, heat], rtol=4e-7)


def test_very_stable_air_hardly_exchanges():
    stuck = richardson(290.0, 300.0, 1.0)
    assert float(stuck) > 1.9
    np.testing.assert_array_equal(drag.monin_obukhov(stuck, LOG_M, LOG_H, sharp=True), [1e-5, 1e-5])
    smooth = drag.monin_obukhov(stuck, LOG_M, LOG_H)
    assert all(1e-5 <= float(c) < 2e-5 for c in smooth)


def test_neutral():
    resistance = 1.0 / (3.0 * drag.neutral(LOG_M, LOG_H)[1])
    np.testing.assert_allclose(resistance, 71.96583, rtol=1e-7)
    for side in (-1e-9, 0.0, 1e-9):
        got = drag.monin_obukhov(jnp.asarray(side), LOG_M, LOG_H)
        np.testing.assert_allclose(got, drag.neutral(LOG_M, LOG_H), rtol=1e-6)


@pytest.mark.parametrize("ri", [-20.0, -1.0, -0.05, 0.02, 0.3, 1.2])
def test_profile_integrals_give_back_the_richardson_number(ri):
    """zeta from the drag, phi integrated by quadrature: Ri = zeta f_h / f_m^2."""

    def phi_m(z):
        return (1 - 16 * z) ** -0.25 if z < 0 else 1 + z * (5 + 0.5 * z) / (1 + z)

    def phi_h(z):
        return (1 - 16 * z) ** -0.5 if z < 0 else 1 + z * (5 + 0.5 * z) / (1 + z)

    c_m, c_h = (float(c) for c in drag.monin_obukhov(jnp.asarray(ri), LOG_M, LOG_H))
    f_m, f_h = 0.4 / np.sqrt(c_m), 0.4 * np.sqrt(c_m) / c_h
    zeta = ri * f_m**2 / f_h
    for phi, log, f in ((phi_m, float(LOG_M), f_m), (phi_h, float(LOG_H), f_h)):
        integral, _ = quad(lambda x: phi(zeta * np.exp(x)), -log, 0.0, epsabs=1e-12)  # noqa: B023
        np.testing.assert_allclose(f, integral, rtol=1e-9)


@pytest.mark.parametrize("logs", [(LOG_M, LOG_H), ROUGH], ids=["grass", "forest"])
def test_derivatives_in_vectors(logs):
    """As many numbers at once as a block of sites has; derivatives by all three arguments."""
    ri = np.linspace(-20.0, 2.5, 2000)
    args = (jnp.asarray(ri), *(jnp.full(len(ri), log) for log in logs))
    heat = jax.jit(jax.vmap(lambda *a: drag.monin_obukhov(*a)[1]))
    gradients = jax.jit(jax.vmap(jax.grad(lambda *a: drag.monin_obukhov(*a)[1], (0, 1, 2))))(*args)
    one_by_one = [drag.monin_obukhov(*(a[k] for a in args))[1] for k in range(0, 2000, 250)]
    np.testing.assert_allclose(heat(*args)[::250], one_by_one, rtol=1e-12)
    for k, gradient in enumerate(gradients):
        step = 1e-6
        moved = [[a + s * step if i == k else a for i, a in enumerate(args)] for s in (1, -1)]
        difference = (heat(*moved[0]) - heat(*moved[1])) / (2.0 * step)
        scale = float(jnp.abs(gradient).max())
        np.testing.assert_allclose(difference, gradient, rtol=1e-5, atol=1e-6 * scale)
    assert (np.diff(np.asarray(heat(*args))) <= 1e-12).all()  # less exchange the more stable

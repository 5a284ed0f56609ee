"""The surface temperature that balances the energy of a column: one scalar equation.

After the soil column is eliminated, its surface temperature is an affine function of the ground
heat flux, Ts = intercept + response * G. The atmosphere gives G as a nonlinear, falling function
of Ts. Newton's method solves the two together, and the implicit function theorem differentiates
the solution: no derivative ever goes through the iterations.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
from jaxtyping import Array, Float

# From 20 K away the error falls as 1e-1, 1e-5, 1e-14 K (quartic emission, Magnus humidity); the
# fourth step makes the result independent of the first guess to round-off.
NEWTON_ITERATIONS = 4


def solve_surface_temperature(
    ground_heat_flux: Callable[[Float[Array, ""]], Float[Array, ""]],
    intercept: Float[Array, ""],
    response: Float[Array, ""],
    guess: Float[Array, ""],
) -> Float[Array, ""]:
    """Surface temperature Ts (K) with Ts = intercept + response * ground_heat_flux(Ts).

    Parameters
    ----------
    ground_heat_flux : flux into the ground (W m-2) at a surface temperature (K). May close over
        parameters and forcing: derivatives reach them by the implicit function theorem, exact in
        forward and reverse mode.
    intercept : surface temperature the column would reach with no flux (K).
    response : change of surface temperature per unit flux (K m2 W-1), positive.
    guess : first guess (K), such as the temperature of the step before.
    """

    def imbalance(temperature: Float[Array, ""]) -> Float[Array, ""]:
        return temperature - intercept - response * ground_heat_flux(temperature)

    def newton(function: Callable, start: Float[Array, ""]) -> Float[Array, ""]:
        temperature = start
        for _ in range(NEWTON_ITERATIONS):
            value, slope = jax.jvp(function, (temperature,), (jax.numpy.ones_like(temperature),))
            temperature = temperature - value / slope
        return temperature

    def tangent_solve(function: Callable, right_hand_side: Float[Array, ""]) -> Float[Array, ""]:
        return right_hand_side / function(jax.numpy.ones_like(right_hand_side))

    return jax.lax.custom_root(imbalance, guess, newton, tangent_solve)

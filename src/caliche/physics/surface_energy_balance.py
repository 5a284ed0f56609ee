"""The surface temperature that balances the energy of a column: one scalar equation.

After the soil column is eliminated, its surface temperature is an affine function of the ground
heat flux, Ts = intercept + response * G. The atmosphere gives G as a nonlinear, falling function
of Ts. Newton's method solves the two together, and the implicit function theorem differentiates
the solution: no derivative ever goes through the iterations.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

# The error of Newton's method squares itself at each step: once a step is below this (K), what is
# left is round-off. Three or four steps do; the limit serves a start without a solution (NaN).
LAST_STEP = 1e-7
MOST_ITERATIONS = 50


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
        def unfinished(carry: tuple[Array, Array, Array]) -> Array:
            _, step, iteration = carry
            return (jnp.abs(step) > LAST_STEP) & (iteration < MOST_ITERATIONS)

        def iterate(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            temperature, _, iteration = carry
            value, slope = jax.jvp(function, (temperature,), (jnp.ones_like(temperature),))
            step = value / slope
            return temperature - step, step, iteration + 1

        first = (start, jnp.full_like(start, jnp.inf), jnp.asarray(0))
        temperature, _, _ = jax.lax.while_loop(unfinished, iterate, first)
        return temperature

    def tangent_solve(function: Callable, right_hand_side: Float[Array, ""]) -> Float[Array, ""]:
        return right_hand_side / function(jnp.ones_like(right_hand_side))

    return jax.lax.custom_root(imbalance, guess, newton, tangent_solve)

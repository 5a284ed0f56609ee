"""The surface temperature that balances the energy of a column: one scalar equation.

After the soil column is eliminated, its surface temperature is an affine function of the ground
heat flux, Ts = intercept + response * G. The atmosphere gives G as a nonlinear, falling function
of Ts. Newton's method solves the two together, and the implicit function theorem differentiates
the solution: no derivative ever goes through the iterations.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from caliche.physics.tangents import add, known, or_zeros, times

Scalar = Float[Array, ""]

# The error of Newton's method squares itself at each step: after a step below this (K), what is
# left is below 1e-11 K. Three steps do; the limit serves a start without a solution (NaN).
LAST_STEP = 1e-5
MOST_ITERATIONS = 50
# How far (K) from the guess the first steps may end, times their number: on a flux that curves
# strongly they can overshoot to where formulae of the atmosphere no longer hold.
REACH = 50.0


def solve_surface_temperature(
    ground_heat_flux: Callable[[Scalar], Scalar],
    intercept: Scalar,
    response: Scalar,
    guess: Scalar,
) -> tuple[Scalar, Scalar]:
    """Surface temperature Ts and ground heat flux G with Ts = intercept + response * G(Ts).

    Parameters
    ----------
    ground_heat_flux : flux into the ground (W m-2) at a surface temperature (K). May close over
        parameters and forcing: derivatives reach them by the implicit function theorem, exact in
        forward and reverse mode.
    intercept : surface temperature the column would reach with no flux (K).
    response : change of surface temperature per unit flux (K m2 W-1), positive.
    guess : first guess (K), such as the temperature of the step before.

    Returns
    -------
    Ts (K) and G (W m-2). Ts = intercept + response * G holds to round-off, G = G(Ts) to the
    tolerance of the iteration. Temperatures may be counted from any zero, the same for all.
    """
    flux, captured = jax.closure_convert(ground_heat_flux, guess)
    return _solve(flux, tuple(captured), intercept, response, jax.lax.stop_gradient(guess))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _solve(
    flux: Callable, captured: tuple, intercept: Scalar, response: Scalar, guess: Scalar
) -> tuple[Scalar, Scalar]:
    def iterate(temperature: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        value, slope = _value_and_slope(flux, captured, temperature)
        step = (temperature - intercept - response * value) / (1.0 - response * slope)
        return temperature - step, value - slope * step, step

    def unfinished(carry: tuple) -> Array:
        return (jnp.abs(carry[0][2]) > LAST_STEP) & (carry[1] < MOST_ITERATIONS)

    def again(carry: tuple) -> tuple:
        (temperature, _, _), count = carry
        reach = REACH * count.astype(temperature.dtype)
        return iterate(jax.lax.clamp(guess - reach, temperature, guess + reach)), count + 1

    # Two steps are always needed: outside the loop they can be compiled without a branch.
    first = iterate(iterate(guess)[0]), jnp.asarray(2)
    (temperature, heat_flux, _), _ = jax.lax.while_loop(unfinished, again, first)
    return temperature, heat_flux


@functools.partial(_solve.defjvp, symbolic_zeros=True)
def _solve_jvp(flux: Callable, primals: tuple, tangents: tuple) -> tuple[tuple, tuple]:
    captured, _, response, _ = primals
    captured_dot, intercept_dot, response_dot, _ = tangents
    temperature, heat_flux = _solve(flux, *primals)
    slope, flux_dot = flux_derivatives(flux, captured, captured_dot, temperature)
    moved = add(
        known(intercept_dot), times(heat_flux, known(response_dot)), times(response, flux_dot)
    )
    temperature_dot = times(1.0 / (1.0 - response * slope), moved)
    return (temperature, heat_flux), (
        or_zeros(temperature_dot, temperature),
        or_zeros(add(flux_dot, times(slope, temperature_dot)), heat_flux),
    )


def flux_derivatives(
    flux: Callable, captured: tuple, captured_dot: tuple, temperature: Scalar
) -> tuple[Scalar, Scalar | None]:
    """Derivative of a flux by temperature, and along a tangent of all else that it depends on.

    `captured_dot` may hold symbolic zeros; if there is nothing else, the second result is None.
    """
    _, slope = _value_and_slope(flux, captured, temperature)
    moving = [known(dot) is not None for dot in captured_dot]
    if not any(moving):
        return slope, None

    def of_moving(*values: Array) -> Scalar:
        values_left = iter(values)
        every = [next(values_left) if m else c for m, c in zip(moving, captured, strict=True)]
        return flux(temperature, *every)

    at = tuple(c for m, c in zip(moving, captured, strict=True) if m)
    along = tuple(dot for m, dot in zip(moving, captured_dot, strict=True) if m)
    return slope, jax.jvp(of_moving, at, along)[1]


def _value_and_slope(flux: Callable, captured: tuple, temperature: Scalar) -> tuple[Any, Scalar]:
    return jax.jvp(lambda t: flux(t, *captured), (temperature,), (jnp.ones_like(temperature),))

"""The surface temperature that balances the energy of a column: one scalar equation.

After the soil column is eliminated, its surface temperature is an affine function of the ground
heat flux, Ts = intercept + response * G. The atmosphere gives G as a nonlinear function of Ts.
Newton's method solves the two together, held between bounds that close in on the solution, so that
it ends at one wherever there is one. The implicit function theorem differentiates the solution: no
derivative ever goes through the iterations.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from caliche.physics.tangents import add, kept_for_reverse, known, or_zeros, times

Scalar = Float[Array, ""]
Between = tuple[Scalar | float, Scalar | float]

# The error of Newton's method squares itself at each step: after a step below this (K), what is
# left is below 1e-11 K. Three steps do nearly always.
LAST_STEP = 1e-5
# Far beyond any surface on land (K): bounds to search between where temperatures are absolute.
COLDEST, HOTTEST = 100.0, 500.0
ANYWHERE: Between = (-jnp.inf, jnp.inf)
# Where a step is refused, the search moves by no more than this (K), doubled in each iteration: it
# starts from the guess, so as not to jump from one solution over others to a far one.
REACH = 4.0
# There is no solution if so many were not enough; bisection needs a third of that.
MOST_ITERATIONS = 100


def solve_surface_temperature(
    ground_heat_flux: Callable[[Scalar], Scalar],
    intercept: Scalar,
    response: Scalar,
    guess: Scalar,
    between: Between = ANYWHERE,
) -> tuple[Scalar, Scalar]:
    """Surface temperature Ts and ground heat flux G with Ts = intercept + response * G(Ts).

    Where G falls with Ts there is one solution. In very stable air it may rise, and there may be
    three: one of them is found, near the guess in most cases.

    Parameters
    ----------
    ground_heat_flux : flux into the ground (W m-2) at a surface temperature (K). May close over
        parameters and forcing: derivatives reach them by the implicit function theorem, exact in
        forward and reverse mode.
    intercept : surface temperature the column would reach with no flux (K).
    response : change of surface temperature per unit flux (K m2 W-1), positive.
    guess : first guess (K), such as the temperature of the step before.
    between : lowest and highest temperature (K) to look at.

    Returns
    -------
    Ts (K) and G (W m-2). Ts = intercept + response * G holds to round-off, G = G(Ts) to the
    tolerance of the iteration. Both are NaN where no solution lies between the bounds, and where
    something is not finite. Temperatures may be counted from any zero, the same for all.
    """
    flux, captured = jax.closure_convert(ground_heat_flux, guess)
    return _solve(flux, tuple(captured), intercept, response, start(guess, between))


def start(guess: Scalar, between: Between) -> tuple[Scalar, Scalar, Scalar]:
    """Where a search starts and between what, none of which has a derivative."""
    lowest, highest = (jnp.asarray(end, guess.dtype) for end in between)
    return jax.lax.stop_gradient((guess, lowest, highest))


class _Search(NamedTuple):
    """Where a search stands. If a solution lies between the bounds, one lies from `low` to `high`.

    proposed : where a step of Newton's method leads.  flux : on its tangent, there.
    step : that step, downwards.  moved : length of the move before it.
    reach : how far the next move may go if the step is refused.
    """

    proposed: Scalar
    flux: Scalar
    step: Scalar
    moved: Scalar
    low: Scalar
    high: Scalar
    reach: Scalar


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _solve(
    flux: Callable,
    captured: tuple,
    intercept: Scalar,
    response: Scalar,
    begin: tuple[Scalar, Scalar, Scalar],
) -> tuple[Scalar, Scalar]:
    guess, lowest, highest = begin

    def newton(temperature: Scalar) -> tuple[Scalar, tuple[Scalar, Scalar, Scalar]]:
        """Excess of the temperature over what its flux gives, and the step that follows."""
        value, slope = _value_and_slope(flux, captured, temperature)
        excess = temperature - intercept - response * value
        step = excess / (1.0 - response * slope)
        return excess, (temperature - step, value - slope * step, step)

    def solved(now: _Search) -> Array:
        between = (now.proposed >= lowest) & (now.proposed <= highest)
        return (jnp.abs(now.step) <= LAST_STEP) & between

    def unfinished(now: _Search) -> Array:
        return ~solved(now) & (now.reach < REACH * 2.0**MOST_ITERATIONS)

    def again(now: _Search) -> _Search:
        # A step is taken if it stays between the bounds and is much shorter than the last move.
        inside = (now.proposed > now.low) & (now.proposed < now.high)
        taken = inside & (jnp.abs(now.step) < 0.5 * now.moved)
        refuge = jnp.minimum(0.5 * (now.high - now.low), now.reach)
        instead = jnp.where(now.high <= guess, now.high - refuge, now.low + refuge)
        temperature = jnp.where(taken, now.proposed, instead)
        excess, stepped = newton(temperature)
        low, high = _closer(now.low, now.high, temperature, excess)
        moved = jnp.where(taken, jnp.abs(now.step), refuge)
        return _Search(*stepped, moved, low, high, 2.0 * now.reach)

    # Three steps are nearly always needed: outside the loop they are compiled without a branch.
    excess, (temperature, _, _) = newton(guess)
    low, high = _closer(lowest, highest, guess, excess)
    _, (temperature, _, moved) = newton(temperature)
    _, stepped = newton(temperature)
    # Without a number to search from, there is nothing to search.
    reach = jnp.where(jnp.isfinite(intercept), REACH, jnp.inf)
    now = _Search(*stepped, jnp.abs(moved), low, high, reach)
    now = jax.lax.while_loop(unfinished, again, now)
    found, nan = solved(now), jnp.full_like(guess, jnp.nan)
    return jnp.where(found, now.proposed, nan), jnp.where(found, now.flux, nan)


def _closer(low: Scalar, high: Scalar, at: Scalar, excess: Scalar) -> tuple[Scalar, Scalar]:
    """Bounds of the solution once it is known on which side of a temperature it lies."""
    above = excess > 0.0
    return jnp.where(above, low, at), jnp.where(above, at, high)


@functools.partial(_solve.defjvp, symbolic_zeros=True)
def _solve_jvp(flux: Callable, primals: tuple, tangents: tuple) -> tuple[tuple, tuple]:
    captured, _, response, _ = primals
    captured_dot, intercept_dot, response_dot, _ = tangents
    temperature, heat_flux = kept_for_reverse(_solve(flux, *primals))
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

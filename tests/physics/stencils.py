"""Heat conduction on a uniform grid, as convolutions with frozen kernels.

The "Neural Physics" form of `heat_conduction`: a finite difference is a convolution whose kernel
is known, not trained, and an implicit step is a number of Jacobi sweeps, each one such layer.
Chen, Heaney and Pain (2024), arXiv:2402.17913; for soil heat Huang, Heaney and van Reeuwijk
(2026), arXiv:2505.02979.

Ghost nodes stand beyond both ends of the column. Central differences of the flux through an end
give their temperature, T_{-1} = T_1 + 2 dz G / lambda at the surface (G the ground heat flux,
positive downwards) and T_N = T_{N-2} at an insulated bottom.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

SECOND_DIFFERENCE = np.array([1.0, -2.0, 1.0])
NEIGHBOUR_SUM = np.array([1.0, 0.0, 1.0])


def convolve(
    values: Float[Array, " padded"], kernel: Float[np.ndarray, " width"]
) -> Float[Array, " valid"]:
    """Convolution with a symmetric kernel, without padding: one channel, one column."""
    layer = jnp.asarray(kernel, values.dtype)[None, None]
    # Highest precision: accelerators round the products of a convolution by default.
    result = jax.lax.conv_general_dilated(
        values[None, None], layer, (1,), "VALID", precision=jax.lax.Precision.HIGHEST
    )
    return result[0, 0]


def with_ghost_nodes(
    temperature: Float[Array, " node"], surface_rise: Float[Array, ""]
) -> Float[Array, " node+2"]:
    """Temperature (K) with a ghost node at either end.

    `surface_rise` = 2 dz G / lambda (K) is the ghost's excess over node 1.
    """
    above = temperature[1] + surface_rise
    return jnp.concatenate([above[None], temperature, temperature[-2:-1]])


def conductive_heating_stencil(
    temperature: Float[Array, " node"],
    thermal_conductivity: Float[Array, ""],
    spacing: float,
    ground_heat_flux: Float[Array, ""],
) -> Float[Array, " node"]:
    """Heating of each control volume (W m-2), (lambda / dz) (T_{i-1} - 2 T_i + T_{i+1}).

    The control volumes at both ends are half cells: half of the second difference. Equals
    `heat_conduction.conductive_heating` of a uniform column, with the ground heat flux (W m-2)
    added to the first.

    Parameters
    ----------
    temperature : K.  thermal_conductivity : W m-1 K-1.  spacing : m.
    """
    conductance = thermal_conductivity / spacing
    padded = with_ghost_nodes(temperature, 2.0 * ground_heat_flux / conductance)
    heating = conductance * convolve(padded, SECOND_DIFFERENCE)
    return heating.at[jnp.array([0, -1])].multiply(0.5)


class StencilStep(eqx.Module):
    """One backward-Euler step of a uniform column, as a Jacobi sweep needs it.

    Attributes
    ----------
    start : temperature at the start of the step, K.
    diffusion_number : r = lambda dt / (C dz^2).
    surface_rise : 2 dz G / lambda, K.
    bottom_temperature : K, given at the last node; None where the bottom is insulated.
    """

    start: Float[Array, " node"]
    diffusion_number: Float[Array, ""]
    surface_rise: Float[Array, ""]
    bottom_temperature: Float[Array, ""] | None = None


def jacobi_sweep(step: StencilStep, guess: Float[Array, " node"]) -> Float[Array, " node"]:
    """One Jacobi sweep, T_i <- (T_i^n + r (T_{i-1} + T_{i+1})) / (1 + 2 r)."""
    r = step.diffusion_number
    neighbours = convolve(with_ghost_nodes(guess, step.surface_rise), NEIGHBOUR_SUM)
    temperature = (step.start + r * neighbours) / (1.0 + 2.0 * r)
    if step.bottom_temperature is None:
        return temperature
    return temperature.at[-1].set(step.bottom_temperature)


def jacobi(step: StencilStep, sweeps: int) -> Float[Array, " node"]:
    """Temperature (K) after a fixed number of sweeps from the start of the step.

    Differentiable in both modes; reverse mode keeps every sweep.
    """
    return jax.lax.fori_loop(0, sweeps, lambda _, guess: jacobi_sweep(step, guess), step.start)


def jacobi_to_tolerance(step: StencilStep, tolerance: float) -> tuple[Float[Array, " node"], Array]:
    """Temperature (K) once a sweep changes no node by more than `tolerance` (K), and the sweeps.

    For comparison with the direct solve only. Not reverse-differentiable (`lax.while_loop`), and
    the error may be 2 r times the tolerance: a sweep keeps up to 2 r / (1 + 2 r) of an error.
    """

    def unconverged(carry: tuple) -> Array:
        _, change, _ = carry
        return change > tolerance

    def sweep(carry: tuple) -> tuple:
        guess, _, number = carry
        temperature = jacobi_sweep(step, guess)
        return temperature, jnp.max(jnp.abs(temperature - guess)), number + 1

    first = (step.start, jnp.full((), jnp.inf, step.start.dtype), jnp.asarray(0))
    temperature, _, sweeps = jax.lax.while_loop(unconverged, sweep, first)
    return temperature, sweeps

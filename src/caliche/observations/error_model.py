"""Observed values, and what is known of their errors: size, memory, tails.

Errors of a stream are independent and normal unless said otherwise. With an autocorrelation they
are an AR(1) process, whitened in a number of operations that grows with the number of observations;
with degrees of freedom they have the heavy tails of Student's t, in the form of a residual whose
half square is the negative log density, so that methods for least squares serve unchanged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.errors import InputError
from caliche.variables import variable


class Observations(eqx.Module):
    """Observed values and their uncertainty on the model's time axis.

    Attributes
    ----------
    values : (time + 1, stream), SI; any finite number where nothing was observed.
    mask : (time + 1, stream), True where a value was observed and is to be fitted.
    sigma : (stream,) or (time + 1, stream) standard deviation of observation plus representation
        error.
    autocorrelation : (stream,) of errors one time step apart; None if errors are independent.
    freedom : degrees of freedom of Student's t of each stream, infinite for normal errors; empty if
        all are normal.
    information : (stream,) power to which each stream's likelihood is raised, at most 1: how many
        independent values of the declared sigma its observations are worth, over their number
        (`caliche.estimation.information`). None takes errors at their word.
    """

    values: Float[Array, "time stream"]
    mask: Array
    sigma: Float[Array, " stream"] | Float[Array, "time stream"]
    autocorrelation: Float[Array, " stream"] | None = None
    freedom: tuple[float, ...] = eqx.field(static=True, default=())
    information: Float[Array, " stream"] | None = None

    @property
    def root(self) -> Float[Array, "one stream"]:
        """Square root of `information`, with a time axis of length one."""
        known = self.information
        return jnp.ones((1, self.values.shape[1])) if known is None else jnp.sqrt(known)[None, :]

    @property
    def independent(self) -> bool:
        """Whether errors are independent and normal: the misfit is then a sum over times."""
        return self.autocorrelation is None and not self.freedom

    @property
    def scale(self) -> Float[Array, "time stream"]:
        """`sigma` with a time axis, of length one where it does not change."""
        return self.sigma if self.sigma.ndim == 2 else self.sigma[None, :]

    def residual(
        self, misfit: Float[Array, "time stream"], mask: Array
    ) -> Float[Array, "time stream"]:
        """Independent residuals of standardised misfits, zero where `mask` is False.

        The sum of their half squares is the negative log likelihood, up to a constant, of errors
        taken at their word: `information` is not in it.
        """
        if self.autocorrelation is not None:
            misfit = jax.vmap(whiten, (1, 1, 0), 1)(misfit, mask, self.autocorrelation)
        return self.without_tails(misfit)

    def without_tails(self, misfit: Float[Array, "time stream"]) -> Float[Array, "time stream"]:
        """Residuals of standardised misfits without memory, see `student_residual`; a row at a
        time, so that any part of the record will do."""
        if not self.freedom:
            return misfit
        columns = [student_residual(misfit[:, k], nu) for k, nu in enumerate(self.freedom)]
        return jnp.stack(columns, axis=1)

    def log_normaliser(self, mask: Array) -> Float[Array, ""]:
        """Log of the constant that divides exp(-sum(residual^2) / 2) in the density of the fitted
        values (those in `mask`), each stream's to the power of its `information`."""
        n = jnp.sum(mask, axis=0, dtype=jnp.float64)
        total = jnp.sum(jnp.where(mask, jnp.log(self.scale), 0.0), axis=0)
        if self.autocorrelation is not None:
            kept = jax.vmap(lambda m, rho: _innovation(m, rho)[1], (1, 0), 1)
            total = total + jnp.sum(jnp.log(kept(mask, self.autocorrelation)), axis=0)
        for k, nu in enumerate(self.freedom or (math.inf,) * mask.shape[1]):
            constant = 0.5 * math.log(2.0 * math.pi)
            if math.isfinite(nu):
                constant = math.lgamma(nu / 2) - math.lgamma((nu + 1) / 2)
                constant += 0.5 * math.log(nu * math.pi)
            total = total.at[k].add(n[k] * constant)
        return jnp.sum(total if self.information is None else total * self.information)

    @staticmethod
    def from_series(
        series: Mapping[str, np.ndarray], sigma: Mapping[str, float | np.ndarray]
    ) -> Observations:
        """From one array (time + 1,) per stream, NaN where missing: masked, never filled.

        `sigma` is one number a stream, or an array (time + 1,); an observation whose sigma is
        missing (NaN) is masked too.

        Raises
        ------
        InputError : a standard deviation that is not positive, or a stream without observations.
        """
        for name, values in series.items():
            given = np.asarray(sigma[name], float)
            if not (given[np.isfinite(given)] > 0.0).all() or not np.isfinite(given).any():
                raise InputError(
                    f"a positive sigma of {name}",
                    f"{np.min(given):g}",
                    f"give the error of one observation in {variable(name).unit}",
                )
            if not np.isfinite(values + given).any():
                raise InputError(
                    f"observations of {name} in the window",
                    "none",
                    "move the window, relax the quality control or leave the stream out",
                )
        stacked = np.stack([np.asarray(v, float) for v in series.values()], axis=1)
        errors = [np.broadcast_to(np.asarray(sigma[name], float), len(stacked)) for name in series]
        spread = np.stack(errors, axis=1)
        mask = np.isfinite(stacked) & np.isfinite(spread)
        constant = all(np.ndim(sigma[name]) == 0 for name in series)
        return Observations(
            jnp.asarray(np.where(mask, stacked, 0.0)),
            jnp.asarray(mask),
            jnp.asarray(spread[0] if constant else np.where(np.isfinite(spread), spread, 1.0)),
        )


def _innovation(mask: Array, autocorrelation: Float[Array, ""]) -> tuple[Array, Array, Array]:
    """Of each observed time: how much of the error before it is left, the standard deviation of
    what is new, and which time (index) was observed before."""
    n_time = mask.shape[0]
    index = jnp.arange(n_time)
    last = jax.lax.cummax(jnp.where(mask, index, -1))
    before = jnp.concatenate([jnp.full(1, -1, last.dtype), last[:-1]])
    gap = jnp.where(before >= 0, index - before, 0)
    left = jnp.where(mask & (before >= 0), autocorrelation ** gap.astype(jnp.float64), 0.0)
    return left, jnp.sqrt(1.0 - left**2), jnp.maximum(before, 0)


def whiten(
    misfit: Float[Array, " time"], mask: Array, autocorrelation: Float[Array, ""]
) -> Float[Array, " time"]:
    """Independent residuals of AR(1) errors with unit variance, across gaps of any length.

    `autocorrelation` is that of errors one step apart; zero where `mask` is False. O(time).
    """
    left, new, before = _innovation(mask, autocorrelation)
    return jnp.where(mask, (misfit - left * misfit[before]) / new, 0.0)


def student_residual(misfit: Float[Array, "..."], freedom: float) -> Float[Array, "..."]:
    """Residual z with z^2 / 2 = (nu + 1) / 2 log(1 + r^2 / nu), and the sign of the misfit r."""
    if math.isinf(freedom):
        return misfit
    # r sqrt(log(1 + x) / x) is smooth at r = 0, where the square root alone is not.
    x = misfit**2 / freedom
    small = x < 1e-6
    ratio = jnp.where(small, 1.0 - 0.5 * x, jnp.log1p(x) / jnp.where(small, 1.0, x))
    return misfit * jnp.sqrt((freedom + 1.0) / freedom * ratio)

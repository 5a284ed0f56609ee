"""What the prior can produce, before any fit: draws of the parameters, run in one batch.

An observation is compared with the draws of itself, observation errors included: at each time it
lies outside the envelope where it ranks among the outer 5 %. How much of a whole record may lie
outside is not 5 %, because a draw that is too warm at one time is too warm at the next; so every
draw is held against the envelope of the draws as well, and a record is in conflict with the prior
where more of it lies outside than of 95 % of the draws (a prior predictive p-value: Box 1980,
doi:10.2307/2982063).
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.errors import InputError
from caliche.estimation.ensemble.core import normals, survived
from caliche.estimation.ensemble.prior import normal_prior
from caliche.problems.inverse import InverseProblem

# With 2.5 % of (members + 1) a whole number the envelope holds 95 % exactly.
MEMBERS = 79
FEWEST = 39
ENVELOPE = 0.95
# A record is in conflict where more of it is outside than of so many of the draws.
CONFLICT = 0.95
_PARAMETERS, _ERRORS = 0, 1  # purposes of the random numbers


@dataclass(frozen=True)
class PriorPredictive:
    """Draws of the prior beside the observations.

    Attributes
    ----------
    u : (member, P) control vectors of the draws that ran.
    predictions : (member, time + 1, stream) of the model.
    lower, upper : (time + 1, stream) envelope of predicted observations, errors included; NaN where
        nothing was observed.
    below, above : (time + 1, stream) whether an observation lies outside of it.
    outside : (stream,) share of the observations outside.
    usual : (stream,) share that 95 % of the draws do not exceed.
    failed : draws that gave no usable numbers.
    """

    u: np.ndarray
    predictions: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    below: np.ndarray
    above: np.ndarray
    outside: np.ndarray
    usual: np.ndarray
    failed: int

    @property
    def conflict(self) -> np.ndarray:
        """(stream,) whether the prior is in conflict with the record."""
        return self.outside > self.usual


def prior_predictive(
    problem: InverseProblem, members: int = MEMBERS, seed: int = 0
) -> PriorPredictive:
    """Draw the prior, run every draw and hold the observations against them.

    A flat prior between bounds is uniform there.

    Raises
    ------
    InputError : too few members; a flat prior without bounds or a start range; hardly any run.
    """
    if members < FEWEST:
        raise InputError(
            f"at least {FEWEST} draws of the prior, for an envelope of 95 %",
            f"{members}",
            f"use {MEMBERS}, or 0 to leave it out",
        )
    prior = normal_prior(problem.space, "the prior predictive check")
    u = prior.to_u(normals(seed, 0, _PARAMETERS, (members, problem.space.size)))
    predictions = np.asarray(_run(problem, jnp.asarray(u)))
    mask, values = np.asarray(problem.mask), np.asarray(problem.observations.values)
    sigma = np.broadcast_to(np.asarray(problem.observations.scale), mask.shape)
    misfit = np.where(mask, (predictions - values) / sigma, 0.0)
    ok = survived(misfit.reshape(members, -1), compare=True)
    if ok.sum() < FEWEST:
        raise InputError(
            f"at least {FEWEST} draws of the prior that the model can run",
            f"{ok.sum()}",
            "narrow the priors or bounds",
        )
    drawn = predictions[ok] + sigma * _errors(problem, int(ok.sum()), seed)
    return _compare(u[ok], predictions[ok], drawn, values, mask, members - int(ok.sum()))


@jax.jit
def _run(
    problem: InverseProblem, u: Float[Array, "member p"]
) -> Float[Array, "member time stream"]:
    return jax.vmap(problem.forward)(u)


def _errors(problem: InverseProblem, members: int, seed: int) -> np.ndarray:
    """Standardised errors (member, time + 1, stream) with the tails and memory declared."""
    observed = problem.observations
    n_time, n_stream = observed.mask.shape
    noise = np.array(normals(seed, 0, _ERRORS, (members, n_time, n_stream)))
    if observed.autocorrelation is not None:
        rho = np.asarray(observed.autocorrelation)
        noise[:, 1:] *= np.sqrt(1.0 - rho**2)
        for k in range(1, n_time):
            noise[:, k] += rho * noise[:, k - 1]
    for k, freedom in enumerate(observed.freedom):
        if np.isfinite(freedom):
            chi2 = np.random.default_rng(seed).chisquare(freedom, (members, n_time))
            noise[:, :, k] *= np.sqrt(freedom / chi2)
    return noise


def _compare(
    u: np.ndarray,
    predictions: np.ndarray,
    drawn: np.ndarray,
    values: np.ndarray,
    mask: np.ndarray,
    failed: int,
) -> PriorPredictive:
    n = len(drawn)
    outer = round(0.5 * (1.0 - ENVELOPE) * (n + 1))  # ranks from either end that are outside
    ranked = np.sort(drawn, axis=0)
    lower, upper = ranked[outer - 1], ranked[n - outer]
    below, above = mask & (values < lower), mask & (values > upper)
    seen = np.maximum(mask.sum(axis=0), 1)
    # A draw is one of those that make the envelope; left out, it would rank one further out.
    inner_low, inner_high = ranked[outer], ranked[n - outer - 1]
    out = mask & ((drawn < inner_low) | (drawn > inner_high))
    shares = out.sum(axis=1) / seen
    return PriorPredictive(
        u,
        predictions,
        np.where(mask, lower, np.nan),
        np.where(mask, upper, np.nan),
        below,
        above,
        (below | above).sum(axis=0) / seen,
        np.quantile(shares, CONFLICT, axis=0),
        failed,
    )

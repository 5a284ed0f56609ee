"""Cycles of analyses of Lorenz's systems: forecast, analysis, forecast, with the package's methods.

The settings are those with which DAPPER (Raanes et al., doi:10.21105/joss.05150) lists the errors
that the literature finds; each score is the mean over time of the root-mean-square error of the
analysis. Only what is a cycle is here: the analyses are those of `caliche.estimation`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from caliche.estimation.descent.levenberg_marquardt import LevenbergMarquardt
from caliche.estimation.ensemble.core import scaled_anomalies
from caliche.estimation.ensemble.kalman import KalmanState
from caliche.estimation.ensemble.variational import FourDEnVar, VariationalState
from caliche.estimation.method import CONVERGED, run_method
from caliche.parameters import FreeParameter, Normal, ParameterSpace
from oracle_models import (
    CELLS,
    declare,
    lorenz_run,
    mean_error,
    on_the_attractor,
    runge_kutta,
    state_problem,
    with_cycle,
)

Run = Callable[[np.ndarray, int], np.ndarray]  # states (steps + 1, ..., n) from x on
BURN_IN = 0.2  # of the cycles


@functools.cache
def no_space() -> ParameterSpace:
    """A space for methods that are handed states instead of parameters, and do not look at it."""
    prior, declaration = Normal(0.0, 1.0), declare("x", 0.0, -np.inf, np.inf)
    return ParameterSpace.build([declaration], {"x": FreeParameter(declaration, prior, 0.0)}, {})


def lorenz_63(x: np.ndarray, steps: int) -> np.ndarray:
    """Lorenz (1963) with his parameters, in steps of 0.01; states (steps + 1, ..., 3)."""

    def slope(x: np.ndarray) -> np.ndarray:
        a, b, c = x[..., 0], x[..., 1], x[..., 2]
        return np.stack([10.0 * (b - a), a * (28.0 - c) - b, a * b - 8.0 / 3.0 * c], axis=-1)

    states = [x]
    for _ in range(steps):
        states.append(runge_kutta(slope, states[-1], 0.01))
    return np.stack(states)


def rotated(members: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Members mixed by a random rotation that keeps their mean and covariance.

    Against the clustering of members that deterministic filters suffer from (Sakov and Oke 2008,
    doi:10.1175/2007MWR2021.1).
    """
    n = len(members)
    first = np.concatenate([np.ones((n, 1)), generator.standard_normal((n, n - 1))], axis=1)
    basis = np.linalg.qr(first)[0][:, 1:]
    turn = np.linalg.qr(generator.standard_normal((n - 1, n - 1)))[0]
    mean = members.mean(axis=0)
    return mean + basis @ turn @ basis.T @ (members - mean)


def ensemble_filter(
    method: Any,
    members: int,
    cycles: int,
    every: int = 1,
    run: Run = lorenz_run,
    start: np.ndarray | None = None,
    error: float = 1.0,
    rotate: bool = True,
    seed: int = 0,
) -> float:
    """Score of one step of eki or etki (`steps=1`) a cycle; all of the state is seen.

    every : model steps between observations.  error : standard deviation of the observations.
    """
    generator = np.random.default_rng(seed)
    start = on_the_attractor(3) if start is None else start
    truth = run(start, every * cycles)[every::every]
    seen = truth + error * generator.standard_normal(truth.shape)
    ensemble = truth[0] + error * generator.standard_normal((members, len(start)))
    analyses = []
    for k in range(cycles):
        if k:
            ensemble = run(ensemble, every)[-1]
        state = KalmanState(ensemble, 0.0, np.zeros(1), k, seed, 0.0, ensemble.mean(axis=0))
        ensemble = method.update(no_space(), state, ensemble, (ensemble - seen[k]) / error).members
        analyses.append(ensemble.mean(axis=0))
        if rotate:
            ensemble = rotated(ensemble, generator)
    after = round(BURN_IN * cycles)
    return mean_error(analyses[after:], truth[after:])


def ensemble_smoother(
    lag: int, members: int, inflation: float, cycles: int, every: int = 4, seed: int = 0
) -> tuple[float, int]:
    """Score, and analyses that did not converge, of iterated 4denvar over a window of `lag` cycles.

    Of each window only the observations at its end are new; the ensemble at its start is estimated
    and moves on by one cycle (an iterative ensemble Kalman smoother).
    """
    generator = np.random.default_rng(seed)
    method = FourDEnVar(members=members, iterated=True)
    truth = lorenz_run(on_the_attractor(3), every * (cycles + lag))[::every]
    seen = truth + generator.standard_normal(truth.shape)
    ensemble = truth[0] + 0.3 * generator.standard_normal((members, CELLS))
    analyses, unfinished = [], 0
    for k in range(cycles):
        mean, anomalies = scaled_anomalies(ensemble)
        zero = np.zeros(members)
        state = VariationalState(
            anomalies, zero, np.eye(members), zero, np.inf, zero, 0, np.inf, False, 0, seed
        )
        while method.verdict(state) is None:
            v = method.proposal(state)
            ends = lorenz_run(mean + v, every * lag)[-1]
            state = method.update(no_space(), state, v, ends - seen[k + lag])
        verdict, posterior = method.verdict(state), method.posterior(state)
        assert verdict is not None
        assert posterior is not None
        unfinished += not verdict.converged
        analyses.append(lorenz_run(mean + method.estimate(state), every * lag)[-1])
        spread = rotated(posterior, generator)
        centre = spread.mean(axis=0)
        ensemble = lorenz_run(mean + centre + inflation * (spread - centre), every)[-1]
    after = round(BURN_IN * cycles)
    return mean_error(analyses[after:], truth[lag + after : lag + cycles]), unfinished


def variational(
    lag: int, covariance: np.ndarray, cycles: int, every: int = 4, seed: int = 5
) -> tuple[float, int]:
    """Score, and analyses that did not converge, of 4D-Var by `lm` over a window of `lag` cycles.

    The background covariance (40, 40) at the window's start never changes. Of each window only the
    observations at its end are new. A lag of 0 is 3D-Var.
    """
    generator = np.random.default_rng(seed)
    truth = lorenz_run(on_the_attractor(3), every * (cycles + lag))[::every]
    seen = truth + generator.standard_normal(truth.shape)
    problem, method = state_problem(every * lag, covariance), LevenbergMarquardt(tolerance=1e-3)
    background = truth[0] + 0.3 * generator.standard_normal(CELLS)
    analyses, unfinished = [], 0
    for k in range(cycles):
        now = with_cycle(problem, background, seen[k + lag])
        final = run_method(method, now, jnp.zeros((1, CELLS))).final
        unfinished += int(final.status[0] != CONVERGED)
        params = now.space.to_physical(jnp.asarray(final.u[0]))
        first = {name: values[0] for name, values in now.forcing.items()}
        states = lorenz_run(np.asarray(now.model.init_state(params, first)), every * max(lag, 1))
        analyses.append(states[every * lag])
        background = states[every]
    after = round(BURN_IN * cycles)
    return mean_error(analyses[after:], truth[lag + after : lag + cycles]), unfinished


@functools.cache
def climate() -> tuple[np.ndarray, np.ndarray]:
    """Mean (40,) and covariance (40, 40) of Lorenz-96, from 20 runs of 150 units of time."""
    start = 8.0 + np.random.default_rng(0).standard_normal((20, CELLS))
    states = lorenz_run(start, 3000)[200:].reshape(-1, CELLS)
    return states.mean(axis=0), np.cov(states.T)


def optimal_interpolation(cycles: int, seed: int = 5) -> float:
    """Score of one analysis each from the climate, without any forecast."""
    mean, covariance = climate()
    generator = np.random.default_rng(seed)
    truth = lorenz_run(on_the_attractor(3), 4 * cycles)[4::4]
    seen = truth + generator.standard_normal(truth.shape)
    gain = covariance @ np.linalg.inv(covariance + np.eye(CELLS))
    return mean_error(mean + (seen - mean) @ gain.T, truth)

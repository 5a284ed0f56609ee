"""A reservoir: linear in its parameters, with memory, and its posteriors in closed form."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from caliche.models.base import ParameterDeclaration
from caliche.observations import Observations, Stream, make_operator
from caliche.parameters import FreeParameter, Normal, ParameterSpace
from caliche.problems.inverse import InverseProblem
from problems import SEEN

N, STEPS = 60, 17  # the last window has 9 steps
KEEP = 0.95  # of what is stored, in a step: windows remember each other


class Reservoir(eqx.Module):
    """x' = keep x + w1 f1 + w2 f2, x(0) = w0: linear in its parameters, with memory."""

    declarations: tuple[ParameterDeclaration, ...] = eqx.field(static=True)
    forcing_variables: tuple[str, ...] = eqx.field(static=True, default=("f1", "f2", "keep"))
    diagnostics: tuple[str, ...] = eqx.field(static=True, default=(SEEN,))

    @property
    def depths(self):
        return {}

    @property
    def derived_labels(self):
        return {}

    def derived(self, params):
        return {}

    def prepare(self, params):
        return dict(params)

    def init_state(self, prepared, forcing):
        return prepared["w0"]

    def diagnose(self, prepared, state):
        return {SEEN: state}

    def step(self, prepared, state, forcing):
        inflow = prepared["w1"] * forcing["f1"] + prepared["w2"] * forcing["f2"]
        state = forcing["keep"] * state + inflow
        return state, {SEEN: state}


SCALE = np.array([2.0, 1.0, 0.5])  # sd of the priors, whose mean is MEAN
MEAN = np.array([0.5, 0.0, 1.0])
SIGMA = 0.3


def reservoir(observed: np.ndarray, forcing: np.ndarray, keep: float = KEEP, **more):
    """The inverse problem; `more` are streams and nuisances of the operator."""
    model = Reservoir(
        tuple(
            ParameterDeclaration(n, f"number {n}", "1", m, -np.inf, np.inf, "a test")
            for n, m in zip(("w0", "w1", "w2"), MEAN.tolist(), strict=True)
        )
    )
    free = {
        d.name: FreeParameter(d, Normal(m, s), m)
        for d, m, s in zip(model.declarations, MEAN.tolist(), SCALE.tolist(), strict=True)
    }
    operator = make_operator(model, **{"streams": [Stream(SEEN)], "time_step": 3600.0} | more)
    declared = (*model.declarations, *operator.declarations)
    fixed = {d.name: 0.5 for d in operator.declarations}
    return InverseProblem(
        model,
        {
            "f1": jnp.asarray(forcing[:, 0]),
            "f2": jnp.asarray(forcing[:, 1]),
            "keep": jnp.full(len(forcing), keep),
        },
        operator,
        Observations.from_series({SEEN: observed}, {SEEN: SIGMA}),
        ParameterSpace.build(declared, free, fixed),
    )


def draws(keep: float = KEEP, jump: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Observed values (time + 1,), a third of them missing, and forcing (time + 1, 2).

    w1 rises by `jump` between the second and the third window.
    """
    draw = np.random.default_rng(1)
    forcing = draw.normal(size=(N + 1, 2))
    x = [2.0]
    for t, f in enumerate(forcing[1:], start=1):
        x.append(keep * x[-1] + (0.7 + jump * (t > 2 * STEPS)) * f[0] + 0.4 * f[1])
    values = np.array(x) + SIGMA * draw.normal(size=N + 1)
    values[draw.random(N + 1) < 0.3] = np.nan
    return values, forcing


def rows(forcing: np.ndarray, keep: float) -> np.ndarray:
    """dx / d(w0, w1, w2) (time + 1, 3), with what each window's w1 and w2 add kept apart:
    (time + 1, window, 3), w0 with the first."""
    windows = -(-N // STEPS)
    x = np.zeros((N + 1, windows, 3))
    x[0, 0, 0] = 1.0
    for t in range(1, N + 1):
        x[t] = keep * x[t - 1]
        x[t, (t - 1) // STEPS, 1:] += forcing[t]
    return x * SCALE


def posterior_of(jacobian: np.ndarray, innovation: np.ndarray, prior: np.ndarray):
    """Mean and covariance of a linear Gaussian problem with unit errors."""
    covariance = np.linalg.inv(jacobian.T @ jacobian + np.linalg.inv(prior))
    return covariance @ jacobian.T @ innovation, covariance


def standardised(values: np.ndarray, forcing: np.ndarray, keep: float):
    """J (n, window, 3) and y - h(0) (n,) of what was observed, over sigma; times (n,)."""
    seen = np.isfinite(values)
    jacobian = rows(forcing, keep)
    guess = (jacobian / SCALE).sum(axis=1) @ MEAN
    return jacobian[seen] / SIGMA, (values - guess)[seen] / SIGMA, np.flatnonzero(seen)

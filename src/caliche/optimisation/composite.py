"""A value composed of many smooth numbers: those are emulated, never the value itself.

A score has kinks, a mean square of errors has none. The logarithms of the ingredients of all runs
are taken apart into principal components, each with a process of its own; the value's mean and
standard deviation are those over a fixed set of draws of the components (composite Bayesian
optimisation: Astudillo and Frazier 2019, arXiv:1906.01537).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.emulators.basis import CONSTANT
from caliche.emulators.covariance import MATERN
from caliche.emulators.process import Process, joint_at, process_of
from caliche.emulators.runs import Runs
from caliche.emulators.search import search
from caliche.optimisation.surrogate import LEAST_VARIANCE, filled_rows, nugget_of

# Share of the variance that components keep, and how many there are at most.
_KEPT, _MOST = 0.999, 8
_PAIRS = 16  # of draws, each with its opposite
_LEAST = 1e-12


@runtime_checkable
class Objective(Protocol):
    """A value to be minimised that is composed of ingredients.

    formula : a pytree that gives the value of positive ingredients (K,) when it is called.
    """

    @property
    def formula(self) -> Any: ...

    def ingredients(self, prediction: np.ndarray) -> np.ndarray:
        """Positive ingredients (K,) of predictions (time + 1, stream); NaN where a run failed."""
        ...


class Composite(eqx.Module):
    """Processes of the components, and the way from them to the value.

    Attributes
    ----------
    processes : with a leading axis (q,).  mean : (K,) of the logarithms.
    directions : (q, K) what one unit of each component is.  draws : (s, q) standard normal.
    formula : ingredients (K,) -> value.  centre, scale : value = centre + scale * surrogate's.
    """

    processes: Process
    mean: Float[Array, " k"]
    directions: Float[Array, "q k"]
    draws: Float[Array, "s q"]
    formula: Any
    centre: Float[Array, ""]
    scale: Float[Array, ""]

    def moments(self, x: Float[Array, " p"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Mean and standard deviation of the value at a point, over the draws."""

        def one(process: Process) -> tuple[Array, Array]:
            mean, variance = process.moments(x)
            return mean, jnp.maximum(variance - nugget_of(process), LEAST_VARIANCE)

        mean, variance = jax.vmap(one)(self.processes)
        values = jax.vmap(self.value)(mean[None] + jnp.sqrt(variance)[None] * self.draws)
        return jnp.mean(values), jnp.sqrt(jnp.var(values) + LEAST_VARIANCE)

    def value(self, components: Float[Array, " q"]) -> Float[Array, ""]:
        """The value of components, in units of its spread over the runs."""
        parts = jnp.exp(self.mean + components @ self.directions)
        return (self.formula(parts) - self.centre) / self.scale


@jax.jit
def _values(surrogate: Composite, components: Float[Array, "m q"]) -> Float[Array, " m"]:
    return jax.vmap(surrogate.value)(components)


@jax.jit
def _means(surrogate: Composite, x: Float[Array, "m p"]) -> tuple[Array, Array]:
    """Means of the value (m,) and of the components (m, q)."""

    def one(x: Array) -> tuple[Array, Array]:
        mean, _ = surrogate.moments(x)
        return mean, jax.vmap(lambda process: process.mean(x))(surrogate.processes)

    return jax.vmap(one)(x)


@dataclass(frozen=True)
class LearnedParts:
    """A composite surrogate, and what goes with it; see `caliche.optimisation.surrogate.Learned`.

    runs : components (n, q) of all runs.
    """

    surrogate: Composite
    log_theta: np.ndarray
    best: float
    runs: Runs

    @property
    def scales(self) -> np.ndarray:
        """(P,) shortest length-scales of any component."""
        return np.exp(self.log_theta[:, :-2]).min(axis=0)

    def believing(self, x: np.ndarray) -> LearnedParts:
        """The same with a run at x (P,) that gave the means."""
        at = self.surrogate.processes.points[0].at[0].set(jnp.asarray(x))
        components = np.asarray(_means(self.surrogate, at)[1][0])
        more = self.runs.joined(Runs(x[None], components[None]))
        return _ready(more, self.log_theta, self.surrogate)

    def draws(self, points: np.ndarray, number: int, random: np.random.Generator) -> np.ndarray:
        """So many joint draws (number, m) of the value at points (m, P)."""
        surrogate, parts = self.surrogate, []
        for k in range(len(surrogate.directions)):
            process = jax.tree.map(lambda leaf, k=k: leaf[k], surrogate.processes)
            mean, covariance = map(np.asarray, joint_at(process, jnp.asarray(points)))
            own = covariance - float(nugget_of(process)) * np.eye(len(points))
            values, vectors = np.linalg.eigh(own)
            root = vectors * np.sqrt(np.maximum(values, 0.0))
            parts.append(mean + random.standard_normal((number, len(points))) @ root.T)
        flat = np.stack(parts, axis=-1).reshape(number * len(points), -1)
        found = np.asarray(_values(surrogate, jnp.asarray(flat))).reshape(number, -1)
        return float(surrogate.centre) + float(surrogate.scale) * found


def learn_parts(
    x: np.ndarray,
    ingredients: np.ndarray,
    values: np.ndarray,
    formula: Any,
    log_theta: np.ndarray,
    anew: bool = True,
) -> LearnedParts:
    """A surrogate of runs at x (n, P) in the unit box, by their ingredients (n, K).

    Parameters
    ----------
    values : (n,) composed, infinite where a run failed: it counts as one as bad as the worst.
    log_theta : (q, P + 2) of the surrogate before, empty at first.  anew : whether hyperparameters
        are sought again.
    """
    good = np.isfinite(values)
    worst = int(np.argmax(np.where(good, values, -np.inf)))
    rows = np.where(good[:, None], ingredients, ingredients[worst])
    logs = np.log(np.maximum(rows, _LEAST))
    mean = logs.mean(axis=0)
    u, size, directions = np.linalg.svd(logs - mean, full_matrices=False)
    share = np.cumsum(size**2) / max(float(np.sum(size**2)), 1e-300)
    q = int(np.clip(np.searchsorted(share, _KEPT) + 1, 1, max(1, min(_MOST, len(x) - 2))))
    spread = np.maximum(size[:q] / np.sqrt(len(x)), 1e-300)
    components = u[:, :q] * np.sqrt(len(x))
    runs = Runs(x, components)
    if anew or log_theta.shape[:1] != (q,):
        table = filled_rows(runs, np.zeros(q), np.ones(q))
        same = log_theta.shape[:1] == (q,)
        log_theta = np.array(
            [
                search(
                    MATERN, CONSTANT, table, np.asarray(y), start=log_theta[k] if same else None
                ).log_theta[0]
                for k, y in enumerate(table.y)
            ]
        )
    half = np.random.default_rng(0).standard_normal((_PAIRS, q))
    composed = values[good]
    scale = float(composed.std())
    empty = Composite(
        None,  # pyright: ignore[reportArgumentType]
        jnp.asarray(mean),
        jnp.asarray(spread[:, None] * directions[:q]),
        jnp.asarray(np.concatenate([half, -half])),
        formula,
        jnp.asarray(float(composed.mean())),
        jnp.asarray(scale if scale > 0.0 else 1.0),
    )
    return _ready(runs, log_theta, empty)


def _ready(runs: Runs, log_theta: np.ndarray, template: Composite) -> LearnedParts:
    q = runs.values.shape[1]
    rows = filled_rows(runs, np.zeros(q), np.ones(q))
    each = [
        process_of(
            MATERN,
            CONSTANT,
            rows,
            rows.y[k],
            jnp.asarray(log_theta[k][None]),
            jnp.ones(1),
            jnp.asarray(1.0),
        )
        for k in range(q)
    ]
    processes = jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)
    surrogate = Composite(
        processes,
        template.mean,
        template.directions,
        template.draws,
        template.formula,
        template.centre,
        template.scale,
    )
    best = float(np.asarray(_means(surrogate, rows.points)[0])[: len(runs)].min())
    return LearnedParts(surrogate, log_theta, best, runs)

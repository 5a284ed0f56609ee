"""What runs say of the value to be minimised: a Gaussian process of it, values and slopes together.

The value is bent first: y = ln(1 + (f - lowest) / s), with s three times the median of what the
first runs lie above the lowest. It is straight near the lowest and tame far above it, where a
misfit may be a million and nobody looks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.emulators.basis import CONSTANT
from caliche.emulators.box import Box
from caliche.emulators.covariance import MATERN
from caliche.emulators.emulator import centre_and_scale
from caliche.emulators.process import Process, joint_at, moments_at, process_of
from caliche.emulators.rows import NEAREST, Rows, rows_of
from caliche.emulators.runs import Runs
from caliche.emulators.search import search

# Rows of a covariance that are factorised within a fraction of a second.
MOST_ROWS = 1024
LEAST_VARIANCE = 1e-18
_FEWEST, _FEW = 16, 32
# How far the bend is straight, over the median of the first runs above the lowest.
_STRAIGHT = 3.0


@runtime_checkable
class Surrogate(Protocol):
    """What tells proposals where a run is worth its cost."""

    def moments(self, x: Float[Array, " p"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Mean and standard deviation of the value at a point of the unit box [-1, 1]."""
        ...


class Scalar(eqx.Module):
    """A process of one value, in units of its spread over the runs."""

    process: Process

    def moments(self, x: Float[Array, " p"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Mean and standard deviation at a point, without the nugget: another run there would say
        the same."""
        mean, variance = self.process.moments(x)
        return mean, jnp.sqrt(jnp.maximum(variance - self.nugget, LEAST_VARIANCE))

    @property
    def nugget(self) -> Float[Array, ""]:
        """The part of the variances that is noise to the process."""
        return nugget_of(self.process)


def nugget_of(process: Process) -> Float[Array, ""]:
    """The part of the variances of `Process.moments` and `joint` that is noise to the process."""
    own = jnp.sum(process.weight * process.variance * process.nugget)
    return process.inflation * process.t_factor * own


@dataclass(frozen=True)
class Bend:
    """y = ln(1 + (f - lowest) / size), and back."""

    lowest: float
    size: float

    @staticmethod
    def of(values: np.ndarray, first: int) -> Bend:
        """From values (n,) of which the first so many are of the design; some are infinite."""
        good = values[np.isfinite(values)]
        lowest = float(good.min())
        design = values[:first]
        middle = float(np.median(design[np.isfinite(design)] - lowest)) if first else 0.0
        if not (np.isfinite(middle) and middle > 0.0):
            middle = float(np.median(good - lowest))
        return Bend(lowest, _STRAIGHT * middle if middle > 0.0 else 1.0)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return np.log1p((values - self.lowest) / self.size)

    def slope(self, values: np.ndarray) -> np.ndarray:
        """dy / df."""
        return 1.0 / (self.size + values - self.lowest)

    def back(self, y: np.ndarray) -> np.ndarray:
        """f of y."""
        return self.lowest + self.size * np.expm1(y)


@dataclass(frozen=True)
class Learned:
    """A surrogate, and what goes with it.

    Attributes
    ----------
    log_theta : (P + 2,) of the hyperparameters.  scales : (P,) length-scales on [-1, 1].
    best : the lowest mean at any run.  centre, scale : bent value = centre + scale * surrogate's.
    runs, bend : to learn more by, and to go back to the value.
    """

    surrogate: Scalar
    log_theta: np.ndarray
    best: float
    centre: float
    scale: float
    runs: Runs
    bend: Bend

    @property
    def scales(self) -> np.ndarray:
        return np.exp(self.log_theta[:-2])

    def draws(self, points: np.ndarray, number: int, random: np.random.Generator) -> np.ndarray:
        """So many joint draws (number, m) of the value at points (m, P)."""
        mean, covariance = map(np.asarray, joint_at(self.surrogate.process, jnp.asarray(points)))
        own = covariance - float(self.surrogate.nugget) * np.eye(len(points))
        values, vectors = np.linalg.eigh(own)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        y = mean + random.standard_normal((number, len(points))) @ root.T
        return self.bend.back(self.centre + self.scale * y)

    def believing(self, x: np.ndarray) -> Learned:
        """The same with a run at x (P,) that gave the mean: what others of a batch take for
        granted ("kriging believer", Ginsbourger et al. 2010,
        doi:10.1007/978-3-642-10701-6_6)."""
        process = self.surrogate.process
        at = process.points.at[0].set(jnp.asarray(x))  # as many as are compiled for
        mean = float(moments_at(process, at)[0][0])
        y = np.array([[self.centre + self.scale * mean]])
        more = self.runs.joined(Runs(x[None], y))
        return _ready(more, self.log_theta, self.bend, (self.centre, self.scale))


def unit_box(size: int) -> Box:
    """The box [-1, 1]^P."""
    return Box(-np.ones(size), np.ones(size))


def learn(
    x: np.ndarray,
    values: np.ndarray,
    slopes: np.ndarray,
    first: int,
    log_theta: np.ndarray,
    anew: bool = True,
) -> Learned:
    """A surrogate of runs at x (n, P) in the unit box.

    Parameters
    ----------
    values : (n,), infinite where a run failed: it counts as one as bad as the worst.
    slopes : (n, P) of the values by x, NaN where they are not known.
    first : runs of the design.
    log_theta : (P + 2,) of the surrogate before, empty at first.
    anew : whether hyperparameters are sought again, from those.
    """
    bend = Bend.of(values, first)
    good = np.isfinite(values)
    filled = np.where(good, values, values[good].max())
    y = bend(filled)
    by_x = slopes * bend.slope(filled)[:, None]
    by_x[~good | ~np.isfinite(by_x).all(axis=1)] = np.nan
    scales = np.exp(log_theta[:-2]) if len(log_theta) else np.ones(x.shape[1])
    by_x[~_teaching(x, filled, scales)] = np.nan
    known = np.isfinite(by_x).any()
    runs = Runs(x, y[:, None], by_x[:, None, :] if known else None)
    centre, scale = centre_and_scale(y[:, None])
    rows = filled_rows(runs, centre, scale)
    if not len(log_theta) or anew:
        # Few runs may fit in several ways: from two starts then, else from what was found before.
        start = log_theta if len(log_theta) and len(x) > _FEW else None
        log_theta = search(MATERN, CONSTANT, rows, np.asarray(rows.y[0]), start=start).log_theta[0]
    return _ready(runs, log_theta, bend, (float(centre[0]), float(scale[0])))


def _teaching(x: np.ndarray, values: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Which runs (n,) teach their slopes: the lowest first, none nearer to another of them than
    0.02 length-scales, and only as many as can be factorised in no time."""
    most = max(1, (MOST_ROWS - len(x)) // x.shape[1])
    kept: list[int] = []
    for run in np.argsort(values, kind="stable"):
        if len(kept) == most:
            break
        if not kept or nearest(x[run], x[kept], scales) >= NEAREST:
            kept.append(int(run))
    return np.isin(np.arange(len(x)), kept)


def nearest(x: np.ndarray, others: np.ndarray, scales: np.ndarray) -> float:
    """Distance of x (P,) from the nearest of others (n, P), in length-scales."""
    if not len(others):
        return np.inf
    return float(np.linalg.norm((others - x) / scales, axis=1).min())


def filled_rows(runs: Runs, centre: np.ndarray, scale: np.ndarray) -> Rows:
    """The rows of runs, filled up to a power of two: nothing is compiled for one run more."""
    fewest = max(_FEWEST, 1 << (len(runs) - 1).bit_length())
    box = unit_box(runs.u.shape[1])
    return rows_of(runs, box, centre, scale, runs.slopes is not None, fewest)


def _ready(runs: Runs, log_theta: np.ndarray, bend: Bend, moments: tuple[float, float]) -> Learned:
    centre, scale = np.array([moments[0]]), np.array([moments[1]])
    rows = filled_rows(runs, centre, scale)
    process = process_of(
        MATERN,
        CONSTANT,
        rows,
        rows.y[0],
        jnp.asarray(log_theta[None]),
        jnp.ones(1),
        jnp.asarray(1.0),
    )
    means = np.asarray(moments_at(process, rows.points)[0])[: len(runs)]
    best = float(means.min())
    return Learned(Scalar(process), log_theta, best, *moments, runs, bend)

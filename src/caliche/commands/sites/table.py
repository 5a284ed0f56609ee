"""Results of many sites as arrays: one batch in memory, in physical units, with its attributes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from caliche._version import __version__
from caliche.commands.sites.ready import MEANINGS, Batch
from caliche.constants import NORMAL_QUANTILE
from caliche.estimation.bounded import Quadratic, bounded_intervals, near_bounds
from caliche.estimation.method import STATUS
from caliche.parameters.space import ParameterSpace
from caliche.problems.inverse import InverseProblem
from caliche.sites.blocks import SiteEstimates
from caliche.variables import variable

# Most parameters for which the correlation matrix of every site is kept.
MOST_CORRELATED = 16


@dataclass(frozen=True)
class Column:
    """One variable of the result: its dimensions, the kind of its numbers, and its attributes."""

    dims: tuple[str, ...]
    kind: Any
    attributes: Mapping[str, Any] = field(default_factory=dict)


def columns(problem: InverseProblem) -> dict[str, Column]:
    """The variables of a result, in order."""
    space = problem.space
    units = ", ".join(f"{p.name}: {p.declaration.unit}" for p in space.free)
    streams = ", ".join(f"{s.name}: {variable(s.name).unit}" for s in problem.operator.streams)
    by_parameter, real, whole = ("site", "parameter"), np.float64, np.int32

    def of(text: str, **more: Any) -> Column:
        return Column(by_parameter, real, {"long_name": text, "comment": f"units {units}", **more})

    found = {
        "estimate": of("estimate"),
        "sd": of("standard deviation; infinite if the observations do not constrain it"),
        "sd_naive": of("standard deviation if residuals were independent and as large as declared"),
        "interval95_lower": of("lower end, 95 %"),
        "interval95_upper": of("upper end, 95 %"),
        "at_bound": Column(
            by_parameter, np.int8, {"long_name": "1 where held by a bound", "units": "1"}
        ),
    }
    if space.size <= MOST_CORRELATED:
        found["correlation"] = Column(
            ("site", "parameter", "parameter_other"),
            real,
            {"long_name": "posterior correlation", "units": "1"},
        )
    cost = "cost J, half the sum of squared standardised residuals"
    remaining = "Gauss-Newton step still to go, in standard deviations"
    flags = {
        "long_name": "how the calibration of the site ended",
        "flag_values": np.array(list(MEANINGS), np.int8),
        "flag_meanings": " ".join(MEANINGS.values()),
    }
    rms = {"long_name": "root mean square of the residuals", "comment": f"units {streams}"}
    efficiency = {"long_name": "Nash-Sutcliffe efficiency of the fitted values", "units": "1"}
    return found | {
        "misfit": Column(("site",), real, {"long_name": cost, "units": "1"}),
        "remaining_step": Column(("site",), real, {"long_name": remaining, "units": "1"}),
        "status": Column(("site",), np.int8, flags),
        "reason": Column(("site",), str, {"long_name": "the status in words"}),
        "iterations": Column(("site",), whole, {"long_name": "iterations", "units": "1"}),
        "n_observations": Column(
            ("site", "stream"), whole, {"long_name": "fitted observations", "units": "1"}
        ),
        "rms_residual": Column(("site", "stream"), real, rms),
        "nse": Column(("site", "stream"), real, efficiency),
    }


def coordinates(problem: InverseProblem) -> dict[str, list[str]]:
    """The coordinates that all sites share."""
    names = list(problem.space.names)
    found = {"parameter": names, "stream": [s.name for s in problem.operator.streams]}
    return found | ({"parameter_other": names} if len(names) <= MOST_CORRELATED else {})


def attributes(title: str, experiment: str) -> dict[str, str]:
    """The attributes of a result as a whole."""
    return {
        "Conventions": "CF-1.11",
        "title": title,
        "source": f"caliche {__version__}",
        "experiment": experiment,
    }


class Table:
    """The results of one batch, filled in as its sites finish."""

    def __init__(self, problem: InverseProblem, batch: Batch, size: int) -> None:
        self.problem, self.number, self.size = problem, batch.number, size
        self._names = batch.names
        n, space, n_stream = len(batch.names), problem.space, len(problem.operator.streams)
        p = space.size
        self._first = batch.number * size
        self._open = n - len(batch.problems)
        self._u = np.full((n, p), np.nan)
        self._sd = np.full((2, n, p), np.nan)
        self._hessian, self._gradient = np.full((n, p, p), np.nan), np.full((n, p), np.nan)
        self._values = {
            "at_bound": np.zeros((n, p), np.int8),
            "correlation": np.full((n, p, p), np.nan),
            "misfit": np.full(n, np.nan),
            "remaining_step": np.full(n, np.nan),
            "status": np.zeros(n, np.int8),
            "iterations": np.zeros(n, np.int32),
            "n_observations": np.zeros((n, n_stream), np.int32),
            "rms_residual": np.full((n, n_stream), np.nan),
            "nse": np.full((n, n_stream), np.nan),
        }
        self._variance = np.full((n, n_stream), np.nan)
        self._variance[batch.data.sites - self._first] = _variance(batch)
        self._reason = [""] * n
        for site, (status, text) in batch.problems.items():
            self._values["status"][site], self._reason[site] = status, text

    @property
    def complete(self) -> bool:
        """Whether every site is accounted for."""
        return self._open == 0

    def fill(self, found: SiteEstimates) -> None:
        """Take in those of the results that belong to this batch."""
        mine = np.flatnonzero(found.sites // self.size == self.number)
        rows = found.sites[mine] - self._first
        values, sums, errors = self._values, found.sums, found.errors
        sigma = np.asarray(self.problem.observations.sigma)
        self._u[rows] = found.u[mine]
        self._sd[:, rows] = errors.sd()[mine], errors.sd(naive=True)[mine]
        self._hessian[rows], self._gradient[rows] = errors.hessian[mine], errors.gradient[mine]
        failed = np.any(np.isnan(found.u[mine]), axis=1, keepdims=True)
        values["at_bound"][rows] = errors.held[mine] & ~failed
        values["correlation"][rows] = _correlation(errors.covariance[mine])
        values["misfit"][rows] = found.cost[mine]
        values["remaining_step"][rows] = np.where(failed[:, 0], np.nan, errors.remaining[mine])
        values["status"][rows] = found.status[mine]
        values["iterations"][rows] = found.iterations[mine]
        n = sums.n[mine]
        values["n_observations"][rows] = n
        rms = np.sqrt(sums.square[mine] / np.maximum(n, 1.0)) * sigma
        values["rms_residual"][rows] = np.where((n > 0) & ~failed, rms, np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            nse = 1.0 - values["rms_residual"][rows] ** 2 / self._variance[rows]
        values["nse"][rows] = np.where(np.isfinite(nse), nse, np.nan)
        for row, status in zip(rows, found.status[mine], strict=True):
            self._reason[row] = STATUS[int(status)]
        self._open -= len(rows)

    @property
    def failed(self) -> int:
        """How many sites did not converge, of those accounted for."""
        return int(sum(text not in ("", STATUS[1]) for text in self._reason))

    def dataset(self) -> xr.Dataset:
        """The finished batch."""
        failed = np.isnan(self._u).any(axis=1, keepdims=True)
        space = self.problem.space
        reach = NORMAL_QUANTILE * np.where(np.isfinite(self._sd[0]), self._sd[0], 0.0)
        u = np.where(failed, 0.0, self._u)
        ends = np.stack([u - reach, u + reach])
        (value, low, high), slopes = self._physical(u, ends)
        bounded = np.isfinite(self._sd[0])
        lower = np.where(bounded, low, [p.prior.lower for p in space.free])
        upper = np.where(bounded, high, [p.prior.upper for p in space.free])
        inside, near = self._beside_bounds(u, value, slopes)
        if near.any():
            which = near.any(axis=1, keepdims=True) & ~near & bounded
            (_, low, high), _ = self._physical(u, np.where(which, inside, ends))
            lower = np.where(near, inside[0], np.where(which, low, lower))
            upper = np.where(near, inside[1], np.where(which, high, upper))
        with np.errstate(invalid="ignore"):  # 0 times infinity: nothing is known
            sd, naive = np.abs(slopes) * self._sd
        values: dict[str, Any] = self._values | {
            "estimate": value,
            "sd": sd,
            "sd_naive": naive,
            "interval95_lower": lower,
            "interval95_upper": upper,
            "reason": np.array(self._reason, dtype=object),
        }
        for name in ("estimate", "sd", "sd_naive", "interval95_lower", "interval95_upper"):
            values[name] = np.where(failed, np.nan, values[name])
        return xr.Dataset(
            {
                name: (c.dims, values[name], c.attributes)
                for name, c in columns(self.problem).items()
            },
            coords={"site": self._names.astype(object), **coordinates(self.problem)},
        )

    def _physical(self, u: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Physical values (3, site, P) of control vectors (site, P) and of both ends of their
        intervals (2, site, P), and the slopes (site, P) at the first."""
        padding = np.zeros((self.size - len(u), u.shape[1]))  # one shape, one program
        padded = [np.concatenate([v, padding]) for v in (u, *ends)]
        found, slopes = jax.device_get(_physical(self.problem.space, jnp.asarray(np.stack(padded))))
        return found[:, : len(u)], slopes[0, : len(u)]

    def _beside_bounds(
        self, u: np.ndarray, value: np.ndarray, slopes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Ends (2, site, P) of intervals by profile within the bounds, physical where a parameter
        is beside one (site, P), else in u; of sites without such a parameter they are not known."""
        space, inside = self.problem.space, np.zeros((2, *u.shape))
        near = np.zeros(u.shape, bool)
        for site in np.flatnonzero(np.isfinite(self._hessian).all(axis=(1, 2))):
            held = self._values["at_bound"][site].astype(bool)
            at = Quadratic(
                u[site],
                value[site],
                slopes[site],
                self._gradient[site],
                self._hessian[site],
                self._sd[0, site],
                held,
            )
            near[site] = near_bounds(space, at)
            if near[site].any():
                inside[:, site] = bounded_intervals(space, at, near[site])
        return inside, near


def _variance(batch: Batch) -> np.ndarray:
    """Variance (site, stream) of the fitted values of each site that can be calibrated."""
    values, mask = batch.data.values, batch.data.mask
    n = np.maximum(mask.sum(axis=0), 1)
    mean = (values * mask).sum(axis=0) / n
    return (((values - mean) * mask) ** 2).sum(axis=0).T / n.T


@jax.jit
def _physical(space: ParameterSpace, u: Float[Array, "k n p"]) -> tuple[Array, Array]:
    """Physical values of control vectors, and the slope of each parameter by its own entry."""

    def one(u: Float[Array, " p"]) -> tuple[Array, Array]:
        return jax.jvp(space.vector, (u,), (jnp.ones_like(u),))

    return jax.vmap(jax.vmap(one))(u)


def _correlation(covariance: np.ndarray) -> np.ndarray:
    """Correlation matrices (site, P, P); zero beside a parameter without variance."""
    sd = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    scale = np.where(sd > 0.0, sd, 1.0)
    correlation = covariance / (scale[:, :, None] * scale[:, None, :])
    diagonal = np.eye(covariance.shape[1], dtype=bool)
    return np.clip(np.where(diagonal, 1.0, correlation), -1.0, 1.0)

"""One output fitted and judged: from a first try down the ladder of remedies to a refusal."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from caliche.emulators.basis import BASES, LINEAR, QUADRATIC, number_of_terms, richest
from caliche.emulators.checks import Check, check
from caliche.emulators.covariance import KERNELS, MATERN, SQUARED
from caliche.emulators.leave_out import LeftOut, leave_out
from caliche.emulators.process import Process, joint_at, process_of
from caliche.emulators.rows import Rows
from caliche.emulators.search import search
from caliche.errors import InputError, nearest

# Variances are multiplied by no more than this before an output is refused.
MOST_INFLATION = 9.0
# A nugget of slopes above this share of their variance: they mislead, and values alone serve.
MISLEADING = 0.1
AVERAGED = 8
# Rows for each hyperparameter from which on one set of them does.
_MANY_ROWS = 20


@dataclass(frozen=True)
class Options:
    """How outputs are emulated.

    Attributes
    ----------
    kernel : `matern52`, whose bands hold, or `squared-exponential`, for smooth optima.
    basis : the mean, `constant`, `linear` or `quadratic`; less where runs do not determine it.
    slopes : whether the slopes of runs are used that have them.
    draws : of hyperparameters that predictions are averaged over, beside the best; None for 8
        where there are few runs, and none where there are many.
    remedies : whether an output that fails goes down the ladder before it is refused.
    seed : of the draws.
    """

    kernel: str = MATERN
    basis: str = LINEAR
    slopes: bool = True
    draws: int | None = None
    remedies: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for what, word, known in (("kernel", self.kernel, KERNELS), ("mean", self.basis, BASES)):
            if word not in known:
                raise InputError(f"a {what} of an emulator", repr(word), nearest(word, known))


@dataclass(frozen=True)
class Fit:
    """One output.

    log_theta, weight : (D, P + 2) and (D,) of the hyperparameters, see `search`.
    slopes : whether slopes are used.  process : in the unit box, of the scaled output.
    left_out : the runs left out one by one, of the scaled output.
    """

    kernel: str
    basis: str
    slopes: bool
    log_theta: np.ndarray
    weight: np.ndarray
    inflation: float
    process: Process
    left_out: LeftOut
    check: Check

    @property
    def scales(self) -> np.ndarray:
        """(P,) length-scales on [-1, 1]."""
        return np.exp(self.log_theta[0, :-2])

    @property
    def slope_nugget(self) -> float:
        """Nugget of slopes over their variance."""
        return float(np.exp(self.log_theta[0, -1]))


@dataclass(frozen=True)
class Material:
    """What one output is fitted to and judged by, in the unit box and scaled units.

    plain, full : rows of all outputs, without and with slopes (None without any).
    number : of runs.  column : the output.  held_x, held_y : (m, P), (m,) held out.
    spread : standard deviation of the scaled output.
    """

    name: str
    plain: Rows
    full: Rows | None
    number: int
    column: int
    held_x: np.ndarray
    held_y: np.ndarray
    spread: float

    def rows(self, slopes: bool) -> Rows:
        """The rows with or without slopes."""
        return self.full if slopes and self.full is not None else self.plain


def fit_output(material: Material, options: Options) -> Fit:
    """Fit an output and judge it; where it fails, try the next remedy, and refuse it at the end."""
    steps: list[str] = []
    slopes = options.slopes and material.full is not None
    best = _try(material, options.kernel, options.basis, slopes, options, steps)
    if slopes and best.slope_nugget > MISLEADING:
        steps.append(
            f"slopes left out, as {100 * best.slope_nugget:.0f} % of their variance is noise to "
            "the values: the model has switches"
        )
        best = _try(material, options.kernel, options.basis, False, options, steps)
    if best.check.passed or not options.remedies:
        return best
    if best.kernel == SQUARED:
        steps.append("Matérn 5/2 instead of squared exponential")
        best = _try(material, MATERN, best.basis, best.slopes, options, steps)
    p = material.plain.points.shape[1]
    many = float(material.rows(best.slopes).count) > 3 * number_of_terms(QUADRATIC, p)
    if not best.check.passed and best.basis != QUADRATIC and many:
        again = _try(
            material, best.kernel, QUADRATIC, best.slopes, options, [*steps, "a quadratic mean"]
        )
        if again.basis == QUADRATIC and again.check.distance < best.check.distance:
            steps.append("a quadratic mean")
            best = again
    ratio = best.check.ratio
    if not best.check.passed and 1.0 < ratio <= MOST_INFLATION:
        steps.append(f"variance times {ratio:.2g}, by the held-out runs")
        rows = material.rows(best.slopes)
        best = _judged(
            material,
            best.kernel,
            best.basis,
            best.slopes,
            best.log_theta,
            best.weight,
            ratio,
            rows,
            steps,
        )
    return best


def _try(
    material: Material,
    kernel: str,
    wanted: str,
    slopes: bool,
    options: Options,
    steps: list[str],
) -> Fit:
    rows = material.rows(slopes)
    n = material.number
    at = np.asarray(rows.slopes_at)[np.asarray(rows.slopes_of) >= 0]
    basis = richest(wanted, np.asarray(rows.points)[:n], at)
    y = np.asarray(rows.y[material.column])
    draws = options.draws
    if draws is None:
        few = float(rows.count) < _MANY_ROWS * (rows.points.shape[1] + 2)
        draws = AVERAGED if few else 0
    found = search(kernel, basis, rows, y, draws, options.seed + material.column)
    return _judged(material, kernel, basis, slopes, found.log_theta, found.weight, 1.0, rows, steps)


def _judged(
    material: Material,
    kernel: str,
    basis: str,
    slopes: bool,
    log_theta: np.ndarray,
    weight: np.ndarray,
    inflation: float,
    rows: Rows,
    steps: list[str],
) -> Fit:
    process = ready(kernel, basis, rows, material.column, log_theta, weight, inflation)
    y = np.asarray(rows.y[material.column])
    left = leave_out(kernel, basis, rows, y, log_theta[0], material.number)
    freedom = float(process.freedom)
    if len(material.held_y):
        mean, covariance = map(np.asarray, joint_at(process, jnp.asarray(material.held_x)))
        error = material.held_y - mean
    else:
        error = left.residual
        covariance = np.diag(left.sd**2) * inflation * freedom / (freedom - 2.0)
    said = check(
        material.name,
        error,
        covariance,
        freedom,
        material.spread,
        left,
        tuple(steps),
        rough=not len(material.held_y),
    )
    return Fit(kernel, basis, slopes, log_theta, weight, inflation, process, left, said)


def ready(
    kernel: str,
    basis: str,
    rows: Rows,
    column: int,
    log_theta: np.ndarray,
    weight: np.ndarray,
    inflation: float,
) -> Process:
    """The process of an output of some rows, ready to predict."""
    return process_of(
        kernel,
        basis,
        rows,
        rows.y[column],
        jnp.asarray(log_theta),
        jnp.asarray(weight),
        jnp.asarray(float(inflation)),
    )

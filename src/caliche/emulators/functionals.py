"""What is emulated: weighted sums of a model's predictions, never a score.

Either metrics of each stream (mean, course of the record, daily cycle), which are its regression on
1, time, and cosine and sine of the day at the observed times; or the scores of the first principal
components of all predictions over their errors. Both are linear in the predictions, so that they
are as smooth as the model. A root-mean-square error has a kink at its minimum: no emulator of it
is any good near where it matters.
"""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.signal import lfilter

from caliche.errors import InputError, nearest
from caliche.problems.inverse import InverseProblem
from caliche.variables import variable
from caliche.wording import number_of

METRICS, COMPONENTS = "metrics", "pcs"
KINDS = (METRICS, COMPONENTS)
DAY = 86400.0
# Share of the variance that components keep, how many there are at most, and how many more are
# counted as error; the rest is below what anybody could see.
KEPT, MOST_COMPONENTS, MOST_DROPPED = 0.999, 12, 24
# Standard deviation of what is dropped, over the errors of the observations, that is small.
SMALL = 0.1


class Functionals(eqx.Module):
    """K weighted sums of predictions.

    Attributes
    ----------
    kind : `metrics` or `pcs`.  names, units : of the K outputs.
    weights : (K, time + 1, stream) of each prediction; zero where nothing was observed.
    seen : (time + 1, stream) predictions that count.
    base : (time + 1, stream) of `pcs`: the mean of the runs, over sigma.
    basis : (K, time + 1, stream) of `pcs`: what one unit of each score is, over sigma.
    dropped : (d, time + 1, stream) components that are not emulated, times their standard
        deviation.
    kept : share of the variance that is emulated.  lost : root mean square of what is dropped, over
        sigma.  unseen : of the observations less the mean of the runs, the share of the variance
        that no component, emulated or dropped, can show.
    """

    kind: str = eqx.field(static=True)
    names: tuple[str, ...] = eqx.field(static=True)
    units: tuple[str, ...] = eqx.field(static=True)
    weights: Float[Array, "k time stream"]
    seen: Array
    base: Float[Array, "time stream"]
    basis: Float[Array, "k time stream"]
    dropped: Float[Array, "d time stream"]
    kept: float = eqx.field(static=True, default=1.0)
    lost: float = eqx.field(static=True, default=0.0)
    unseen: float = eqx.field(static=True, default=0.0)

    def __call__(self, prediction: Float[Array, "time stream"]) -> Float[Array, " k"]:
        """The outputs (K,) of predictions."""
        clean = jnp.where(self.seen, prediction, 0.0)
        return jnp.tensordot(self.weights, clean, 2)

    def of_fields(self, fields: np.ndarray) -> np.ndarray:
        """The outputs (n, K) of predictions (n, time + 1, stream); NaN where they are."""
        seen = np.asarray(self.seen)
        wide = fields[:, seen]
        return wide @ np.asarray(self.weights)[:, seen].T


def metrics_of(problem: InverseProblem) -> Functionals:
    """Metrics of each fitted stream, in its unit.

    Mean; change over the record; cosine and sine of the daily cycle, where steps are shorter than a
    quarter of a day and there are two days. All of a stream at once by least squares at the times
    with observations.
    """
    mask = np.asarray(problem.mask)
    step = float(problem.operator.time_step)
    n_time = len(mask)
    when = np.arange(n_time) * step
    names, units, weights = [], [], []
    for k, stream in enumerate(problem.stream_names):
        at = np.flatnonzero(mask[:, k])
        if not len(at):
            continue
        terms, said = [np.ones(len(at))], ["mean"]
        if len(at) > 2:
            terms.append((when[at] - when[at].mean()) / max(np.ptp(when[at]), step))
            said.append("change over the record")
        angle = 2.0 * np.pi * when[at] / DAY
        phases = len(np.unique(np.round(np.mod(when[at], DAY) / step)))
        if step < DAY / 4 and phases >= 5 and np.ptp(when[at]) >= 2 * DAY:
            terms += [np.cos(angle), np.sin(angle)]
            said += ["cosine of the daily cycle", "sine of the daily cycle"]
        rows = np.linalg.pinv(np.stack(terms, axis=1))
        for row, word in zip(rows, said, strict=True):
            weight = np.zeros(mask.shape)
            weight[at, k] = row
            weights.append(weight)
            names.append(f"{stream}: {word}")
            units.append(variable(stream).unit)
    shape = (0, *mask.shape)
    nothing = jnp.zeros(shape)
    return Functionals(
        METRICS,
        tuple(names),
        tuple(units),
        jnp.asarray(np.array(weights)),
        jnp.asarray(mask),
        jnp.zeros(mask.shape),
        nothing,
        nothing,
    )


def components_of(problem: InverseProblem, fields: np.ndarray) -> Functionals:
    """Principal components of predictions (n, time + 1, stream) over sigma.

    As many as keep 99.9 % of the variance and leave less than a tenth of the errors, at most n / 3
    (or P + 1) and 12. The next 24 count as error of the emulator.

    Raises
    ------
    InputError : predictions that do not vary.
    """
    mask = np.asarray(problem.mask)
    sigma = np.broadcast_to(np.asarray(problem.observations.scale), mask.shape)
    wide = fields[:, mask] / sigma[mask]
    mean = wide.mean(axis=0)
    apart = wide - mean
    _, values, rows = np.linalg.svd(apart, full_matrices=False)
    variance = values**2
    if not variance.sum() > 0.0:
        raise InputError(
            "predictions that depend on a free parameter",
            "none that changes in any run",
            "check the parameters with caliche check",
        )
    after = 1.0 - np.cumsum(variance) / variance.sum()
    left = np.sqrt(np.maximum(after, 0.0) * variance.sum() / apart.size)
    enough = np.flatnonzero((after <= 1.0 - KEPT) & (left <= SMALL))
    # Fewer components than parameters would leave a direction of them unseen.
    most = max(len(fields) // 3, problem.space.size + 1)
    most = max(1, min(most, MOST_COMPONENTS, len(fields) - 2))
    q = min(int(enough[0]) + 1 if len(enough) else most, most)
    d = min(len(values), q + MOST_DROPPED)
    deviation = values / np.sqrt(max(len(fields) - 1, 1))
    target = (np.asarray(problem.observations.values) / sigma)[mask] - mean
    shown = rows[:d] @ target
    hidden = 1.0 - float(shown @ shown) / max(float(target @ target), 1e-300)

    def wide_of(part: np.ndarray) -> np.ndarray:
        found = np.zeros((len(part), *mask.shape))
        found[:, mask] = part
        return found

    return Functionals(
        COMPONENTS,
        tuple(f"component {k + 1}" for k in range(q)),
        ("1",) * q,
        jnp.asarray(wide_of(rows[:q] / sigma[mask])),
        jnp.asarray(mask),
        jnp.asarray(wide_of(mean[None])[0]),
        jnp.asarray(wide_of(rows[:q])),
        jnp.asarray(wide_of(rows[q:d] * deviation[q:d, None])),
        float(1.0 - after[q - 1]),
        float(left[q - 1]),
        hidden,
    )


def functionals_of(kind: str, problem: InverseProblem, fields: np.ndarray) -> Functionals:
    """What is emulated of a problem, from predictions (n, time + 1, stream) of its runs.

    Raises
    ------
    InputError : an unknown kind; nothing that can be emulated.
    """
    check_kind(kind)
    if not np.asarray(problem.mask).any():
        raise InputError("observations that are fitted", "none", "fit a stream")
    return metrics_of(problem) if kind == METRICS else components_of(problem, fields)


def check_kind(kind: str) -> None:
    """Refuse what cannot be emulated."""
    if kind in ("rmse", "misfit", "score"):
        raise InputError(
            "smooth outputs to emulate, metrics or pcs",
            f"{kind}, which has a kink at its minimum",
            "emulate pcs: scores follow from the predictions that they give",
        )
    if kind not in KINDS:
        raise InputError("outputs to emulate, metrics or pcs", repr(kind), nearest(kind, KINDS))


def observed_of(functionals: Functionals, problem: InverseProblem) -> tuple[np.ndarray, np.ndarray]:
    """The outputs (K,) of the observations, and the covariance (K, K) that their errors give, with
    the autocorrelation that is declared.

    Raises
    ------
    InputError : heavy-tailed errors, whose sums have no simple distribution.
    """
    observed = problem.observations
    refuse_tails(observed.freedom)
    mask = np.asarray(problem.mask)
    weights = np.asarray(functionals.weights) * np.where(mask, 1.0, 0.0)
    values = np.where(mask, np.asarray(observed.values), 0.0)
    spread = weights * np.broadcast_to(np.asarray(observed.scale), mask.shape)
    spread = spread / np.asarray(observed.root)
    covariance = np.zeros((len(weights),) * 2)
    for k in range(mask.shape[1]):
        mine = spread[:, :, k]
        rho = 0.0
        if observed.autocorrelation is not None:
            rho = float(np.asarray(observed.autocorrelation)[k])
        # An AR(1) correlation times a vector is a sum run forwards and one run backwards.
        covariance += mine @ persistent(mine, rho).T
    return np.einsum("kts,ts->k", weights, values), covariance


def refuse_tails(freedom: tuple[float, ...]) -> None:
    """Refuse errors of Student's t."""
    if any(np.isfinite(nu) for nu in freedom):
        raise InputError(
            "normal errors of the observations, to which the emulator's variance is added",
            "heavy-tailed errors (Student's t)",
            "leave the tails out of [observations], or use the model itself",
        )


def persistent(rows: np.ndarray, rho: float) -> np.ndarray:
    """Rows (k, time) times the correlation matrix rho^|t - t'| of AR(1) errors, in O(time)."""
    if rho == 0.0:
        return rows
    forward = lfilter([1.0], [1.0, -rho], rows, axis=1)
    backward = np.flip(lfilter([1.0], [1.0, -rho], np.flip(rows, axis=1), axis=1), axis=1)
    return np.asarray(forward) + backward - rows


def describe(functionals: Functionals) -> str:
    """What is emulated, in words."""
    number = len(functionals.names)
    if functionals.kind == METRICS:
        return f"{number_of(number, 'metric')} of the fitted streams"
    return (
        f"{number_of(number, 'principal component')} with {100 * functionals.kept:.3g} % of the "
        "variance of the predictions"
    )

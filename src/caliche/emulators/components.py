"""What is emulated of predictions: metrics of them, or all of them by their principal components.

Both are as smooth as the model. A root-mean-square error has a kink at its minimum: no emulator of
it is any good near where it matters.
"""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.errors import InputError, nearest
from caliche.metrics.choose import LINEAR_ONES, Record, make_metrics
from caliche.metrics.metric import Metrics
from caliche.problems.base import Problem
from caliche.problems.inverse import InverseProblem
from caliche.wording import listing, number_of

METRICS, COMPONENTS = "metrics", "pcs"
KINDS = (METRICS, COMPONENTS)
# Share of the variance that components keep, how many there are at most, and how many more are
# counted as error; the rest is below what anybody could see.
KEPT, MOST_COMPONENTS, MOST_DROPPED = 0.999, 12, 24
# Standard deviation of what is dropped, over the errors of the observations, that is small.
SMALL = 0.1


class WeightedSums(eqx.Module):
    """Weighted sums (K,) of predictions; weights (K, time + 1, stream), of those that are `seen`
    (time + 1, stream)."""

    weights: Float[Array, "k time stream"]
    seen: Array

    def __call__(self, prediction: Float[Array, "time stream"]) -> Float[Array, " k"]:
        return jnp.tensordot(self.weights, jnp.where(self.seen, prediction, 0.0), 2)


class Components(eqx.Module):
    """Scores of K principal components of predictions over their errors.

    Attributes
    ----------
    names : of the K scores.
    weights : (K, time + 1, stream) of each prediction; zero where nothing was observed.
    seen : (time + 1, stream) predictions that count.
    base : (time + 1, stream) the mean of the runs, over sigma.
    basis : (K, time + 1, stream) what one unit of each score is, over sigma.
    dropped : (d, time + 1, stream) components that are not emulated, times their standard
        deviation.
    kept : share of the variance that is emulated.  lost : root mean square of what is dropped, over
        sigma.  unseen : of the observations less the mean of the runs, the share of the variance
        that no component, emulated or dropped, can show.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    weights: Float[Array, "k time stream"]
    seen: Array
    base: Float[Array, "time stream"]
    basis: Float[Array, "k time stream"]
    dropped: Float[Array, "d time stream"]
    kept: float = eqx.field(static=True, default=1.0)
    lost: float = eqx.field(static=True, default=0.0)
    unseen: float = eqx.field(static=True, default=0.0)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def units(self) -> tuple[str, ...]:
        return ("1",) * len(self.names)

    @property
    def sums(self) -> WeightedSums:
        """The same, filled up to the most that there can be, so that one program serves any."""
        more = np.zeros((max(MOST_COMPONENTS - len(self), 0), *self.weights.shape[1:]))
        return WeightedSums(jnp.concatenate([self.weights, jnp.asarray(more)]), self.seen)

    def __call__(self, prediction: Float[Array, "time stream"]) -> Float[Array, " k"]:
        """The scores (K,) of predictions."""
        return WeightedSums(self.weights, self.seen)(prediction)

    def of_fields(self, fields: np.ndarray) -> np.ndarray:
        """The scores (n, K) of predictions (n, time + 1, stream); NaN where they are."""
        seen = np.asarray(self.seen)
        wide = fields[:, seen]
        return wide @ np.asarray(self.weights)[:, seen].T


# What an emulator is of the predictions of its model.
Outputs = Metrics | Components


def usual_metrics(problem: InverseProblem) -> Metrics:
    """Mean, change over the record and daily cycle of each fitted stream, linear in the
    predictions. Hours and days count from the first instant, as a problem has no calendar.

    Raises
    ------
    InputError : a record that allows none.
    """
    mask = np.asarray(problem.mask)
    step = np.timedelta64(round(float(problem.operator.time_step)), "s")
    record = Record(
        problem.stream_names,
        np.datetime64("1970-01-01T00:00:00", "s") + (np.arange(len(mask)) + 0.5) * step,
        step,
        np.asarray(problem.observations.values),
        mask,
    )
    return make_metrics(record, LINEAR_ONES)[0]


def components_of(problem: Problem, fields: np.ndarray) -> Components:
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

    return Components(
        tuple(f"component {k + 1}" for k in range(q)),
        jnp.asarray(wide_of(rows[:q] / sigma[mask])),
        jnp.asarray(mask),
        jnp.asarray(wide_of(mean[None])[0]),
        jnp.asarray(wide_of(rows[:q])),
        jnp.asarray(wide_of(rows[q:d] * deviation[q:d, None])),
        float(1.0 - after[q - 1]),
        float(left[q - 1]),
        hidden,
    )


def outputs_of(kind: str | Metrics, problem: Problem, fields: np.ndarray) -> Outputs:
    """What is emulated of a problem, from predictions (n, time + 1, stream) of its runs.

    Parameters
    ----------
    kind : `metrics`, which are the usual ones, `pcs`, or metrics.

    Raises
    ------
    InputError : an unknown kind; nothing that can be emulated.
    """
    if isinstance(kind, Metrics):
        return kind
    check_kind(kind)
    if not np.asarray(problem.mask).any():
        raise InputError("observations that are fitted", "none", "fit a stream")
    if kind == METRICS and isinstance(problem, InverseProblem):
        return usual_metrics(problem)
    return components_of(problem, fields)


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


def refuse_tails(freedom: tuple[float, ...]) -> None:
    """Refuse errors of Student's t."""
    if any(np.isfinite(nu) for nu in freedom):
        raise InputError(
            "normal errors of the observations, to which the emulator's variance is added",
            "heavy-tailed errors (Student's t)",
            "leave the tails out of [observations], or use the model itself",
        )


def describe(outputs: Outputs) -> str:
    """What is emulated, in words."""
    number = len(outputs)
    if isinstance(outputs, Metrics):
        curved = [n for n, line in zip(outputs.names, outputs.linear, strict=True) if not line]
        text = f"{number_of(number, 'metric')} of the fitted streams"
        if curved:
            text += f", of which {listing(curved)} {'is' if len(curved) == 1 else 'are'} curved"
        return text
    return (
        f"{number_of(number, 'principal component')} with {100 * outputs.kept:.3g} % of the "
        "variance of the predictions"
    )

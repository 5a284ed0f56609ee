"""Metrics of observations without a calendar: a list of numbers, of one stream or several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from caliche.errors import InputError, nearest
from caliche.metrics import metric as kind
from caliche.metrics.metric import Made, Metric, Metrics
from caliche.wording import number_of

# What may be asked for, and what each is.
VECTOR_KINDS = {
    "values": "each observed value",
    "mean": "mean over what was observed",
    "change": "change from the first value to the last, by a straight line",
    "sd": "standard deviation",
    "bins": "means over at most twelve parts of the list",
}
# Up to so many values are matched one by one, unless said otherwise.
FEW = 12
MOST_VALUES, MOST_BINS = 200, 12
FEWEST = 3  # values of a stream, for anything but the values themselves


@dataclass(frozen=True)
class Vector:
    """Observed numbers, one after the other.

    streams : names.  values, mask : (n, stream), each row of one stream; what is masked counts for
    nothing.
    """

    streams: tuple[str, ...]
    values: np.ndarray
    mask: np.ndarray


def usual_kinds(vector: Vector) -> tuple[str, ...]:
    """The values of a short list; mean, change and standard deviation of a longer one."""
    return ("values",) if vector.mask.sum() <= FEW else ("mean", "change", "sd")


def vector_metrics(vector: Vector, kinds: Sequence[str]) -> tuple[Metrics, tuple[str, ...]]:
    """Metrics of observations without a calendar, and a sentence on each that there are too few
    values for.

    Raises
    ------
    InputError : an unknown kind; too many values to match one by one; nothing is left.
    """
    for name in kinds:
        if name not in VECTOR_KINDS:
            raise InputError(
                f"metrics of a list of numbers, among {', '.join(VECTOR_KINDS)}",
                repr(name),
                nearest(name, VECTOR_KINDS),
            )
    made = Made()
    for k, stream in enumerate(vector.streams):
        for name in kinds:
            _add(made, vector, k, stream, name)
    if not made.metrics:
        raise InputError(
            "observations that allow one of the metrics",
            " ".join(made.left_out) or "none",
            "ask for --metrics values",
        )
    mask = vector.mask
    scale = [vector.values[mask[:, k], k].std() or 1.0 for k in range(mask.shape[1])]
    day, whole = np.zeros(len(mask), int), np.zeros((1, mask.shape[1]))
    return made.metrics_of(mask, day, whole, np.array(scale)), tuple(made.left_out)


def _add(made: Made, vector: Vector, k: int, stream: str, name: str) -> None:
    seen = vector.mask[:, k]
    at = np.flatnonzero(seen)
    if name == "values":
        if len(at) > MOST_VALUES:
            raise InputError(
                f"at most {number_of(MOST_VALUES, 'value')} that are matched one by one",
                f"{len(at)} of {stream}",
                "ask for --metrics mean,change,sd or bins",
            )
        for number, row in enumerate(at):
            weights = np.zeros(len(seen))
            weights[row] = 1.0
            title = f"{stream}: value {number + 1}"
            made.metrics.append(Metric(title, "", kind.LINEAR, k, (made.row(weights, k),)))
        return
    if len(at) < FEWEST:
        made.left_out.append(f"{stream} has too few values for its {VECTOR_KINDS[name]}.")
        return
    if name == "sd":
        made.metrics.append(Metric(f"{stream}: standard deviation", "", kind.SD, k))
        return
    if name == "bins":
        for part in np.array_split(at, min(MOST_BINS, len(at))):
            weights = np.zeros(len(seen))
            weights[part] = 1.0 / len(part)
            title = f"{stream}: mean of values {part[0] + 1} to {part[-1] + 1}"
            made.metrics.append(Metric(title, "", kind.LINEAR, k, (made.row(weights, k),)))
        return
    weights = made.mean(seen) if name == "mean" else made.change(seen)
    row = made.row(weights, k)
    made.metrics.append(Metric(f"{stream}: {name}", "", kind.LINEAR, k, (row,)))

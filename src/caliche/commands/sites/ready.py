"""A batch of sites made ready: what can be calibrated goes on, what cannot is told why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from caliche.data.quality import utc_text
from caliche.sites.block_data import SiteData
from caliche.sites.collection import Collection
from caliche.variables import variable
from caliche.wording import number_of

# They continue the codes of `caliche.estimation.method`.
FORCING_INCOMPLETE, OUT_OF_RANGE, NOT_OBSERVED = 4, 5, 6
MEANINGS = {
    0: "iteration_limit",
    1: "converged",
    2: "stalled",
    3: "not_finite",
    FORCING_INCOMPLETE: "forcing_incomplete",
    OUT_OF_RANGE: "value_out_of_range",
    NOT_OBSERVED: "not_observed",
}


@dataclass(frozen=True)
class Needs:
    """What a calibration reads of a collection.

    forcing : forcing of the model -> its stream.  fitted : the streams in the order of the
    problem.  initial : streams whose first values are the profile to start from.
    visible : (time + 1, fitted) entries that can be predicted.
    """

    forcing: Mapping[str, str]
    fitted: Sequence[str]
    initial: Sequence[str]
    visible: np.ndarray

    @property
    def streams(self) -> tuple[str, ...]:
        """All of them, each once."""
        return tuple(dict.fromkeys([*self.forcing.values(), *self.fitted, *self.initial]))


@dataclass(frozen=True)
class Batch:
    """Neighbouring sites of a collection.

    number : which batch.  names : (site,).  problems : place in the batch -> status and sentence
    of a site that cannot be calibrated.  data : of all the others.
    """

    number: int
    names: np.ndarray
    problems: Mapping[int, tuple[int, str]]
    data: SiteData


def batches(
    collection: Collection, needs: Needs, size: int, numbers: Sequence[int]
) -> Iterator[Batch]:
    """The batches of these numbers; the next one is read while this one is worked on."""
    with ThreadPoolExecutor(1, "caliche-read") as reader:
        following = None
        for k in range(len(numbers)):
            read = following or reader.submit(read_batch, collection, needs, size, numbers[k])
            following = None
            batch = read.result()
            del read
            if k + 1 < len(numbers):
                following = reader.submit(read_batch, collection, needs, size, numbers[k + 1])
            yield batch
            del batch


def read_batch(collection: Collection, needs: Needs, size: int, number: int) -> Batch:
    """Read a batch and look over each of its sites."""
    first, last = number * size, min((number + 1) * size, len(collection))
    whole = {*needs.forcing.values(), *needs.fitted}
    series = {
        stream: collection.read(stream, first, last, only_start=stream not in whole)
        for stream in needs.streams
    }
    problems = _problems(series, needs, collection.times, last - first)
    good = np.setdiff1d(np.arange(last - first), list(problems))
    if problems:
        series = {stream: values[:, good] for stream, values in series.items()}
    values = np.stack([series[stream] for stream in needs.fitted], axis=1)
    mask = np.isfinite(values) & needs.visible[:, :, None]
    initial = [series[stream][0] for stream in needs.initial]
    data = SiteData(
        {name: _with_start(series[stream]) for name, stream in needs.forcing.items()},
        np.where(mask, values, 0.0),
        mask,
        np.stack(initial) if initial else None,
        first + good,
    )
    return Batch(number, collection.names[first:last], problems, data)


def _with_start(values: np.ndarray) -> np.ndarray:
    """Forcing whose row 0, which drives no step and may be missing, is finite."""
    missing = ~np.isfinite(values[0])
    if missing.any():
        values[0, missing] = values[1, missing]
    return values


def _problems(
    series: Mapping[str, np.ndarray], needs: Needs, times: np.ndarray, n: int
) -> dict[int, tuple[int, str]]:
    """Status and sentence of each site that cannot be calibrated, the first thing found."""
    found: dict[int, tuple[int, str]] = {}
    for stream, values in series.items():
        bounds = variable(stream)
        outside = (values < bounds.valid_min) | (values > bounds.valid_max)
        for site in np.flatnonzero(outside.any(axis=0)):
            text = _out_of_range(stream, values[:, site], outside[:, site], times)
            found.setdefault(int(site), (OUT_OF_RANGE, text))
    for stream in dict.fromkeys(needs.forcing.values()):
        gap = np.isnan(series[stream][1:])
        for site in np.flatnonzero(gap.any(axis=0)):
            number, when = int(gap[:, site].sum()), times[1:][gap[:, site].argmax()]
            steps = number_of(len(gap), "step")
            text = f"{stream} is missing at {number} of {steps}, first {utc_text(when)}"
            found.setdefault(int(site), (FORCING_INCOMPLETE, text))
    for k, stream in enumerate(needs.fitted):
        seen = np.isfinite(series[stream]) & needs.visible[:, k, None]
        for site in np.flatnonzero(~seen.any(axis=0)):
            found.setdefault(int(site), (NOT_OBSERVED, f"{stream} has no observation"))
    for stream in needs.initial:
        for site in np.flatnonzero(~np.isfinite(series[stream][0])):
            text = f"{stream} has no observation at {utc_text(times[0])}, the start"
            found.setdefault(int(site), (NOT_OBSERVED, text))
    return {site: found[site] for site in range(n) if site in found}


def _out_of_range(stream: str, values: np.ndarray, outside: np.ndarray, times: np.ndarray) -> str:
    bounds, first = variable(stream), int(outside.argmax())
    return (
        f"{stream} is outside {bounds.valid_min:g} to {bounds.valid_max:g} {bounds.unit} at "
        f"{int(outside.sum())} of {number_of(len(values), 'time')}, first {values[first]:.6g} at "
        f"{utc_text(times[first])}"
    )

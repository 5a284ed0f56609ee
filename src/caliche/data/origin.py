"""Where each value of a stream comes from, and sentences about a stream that a reader should see.

The coordinate `<stream>_origin` (int8) says of each value whether it was measured, gap-filled by
the file's own flags, filled by caliche over a short gap, or rebuilt by a formula. The attribute
"flags" says how the file tells measured from filled values.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

ORIGIN = "_origin"  # suffix of the coordinate
MEASURED, FILLED, INTERPOLATED, REBUILT = 0, 1, 2, 3
NOTE = "note"  # attribute of a stream: sentences, one a line


@dataclass(frozen=True)
class Origin:
    """Of the values of one stream: the share that was measured, and so on; they add up to 1.

    filled : by the file's flags.  interpolated : over short gaps, by caliche (rain: taken as dry).
    rebuilt : by a formula from other streams.
    flags : "flags" if the file flags its values; "raw" if it has none but its format keeps filled
    values in other columns; "none" if nothing says which values were filled, so that `measured`
    may hold filled ones too.
    """

    measured: float
    filled: float
    interpolated: float
    rebuilt: float
    flags: str

    @property
    def known(self) -> bool:
        """Whether measured values can be told from filled ones."""
        return self.flags != "none"


def stream_origins(dataset: xr.Dataset) -> dict[str, Origin]:
    """The origin of each stream's values, of those streams that have a record of it and a value.

    Parameters
    ----------
    dataset : what a reader, `merge_sources` or `select_window` returned, or
        `Experiment.dataset`.
    """
    found = {}
    for name in map(str, dataset.data_vars):
        if name + ORIGIN not in dataset.coords:
            continue
        origin = dataset[name + ORIGIN].values[np.isfinite(dataset[name].values)]
        if origin.size:
            measured, filled, interpolated, rebuilt = (
                float((origin == kind).mean()) for kind in range(4)
            )
            flags = str(dataset[name].attrs.get("flags", "none"))
            found[name] = Origin(measured, filled, interpolated, rebuilt, flags)
    return found


def measured_rows(dataset: xr.Dataset, stream: str) -> np.ndarray | None:
    """Where a stream has a measured value (n,), None if nothing tells measured from filled ones."""
    if (
        stream + ORIGIN not in dataset.coords
        or dataset[stream].attrs.get("flags", "none") == "none"
    ):
        return None
    origin = dataset[stream + ORIGIN].values
    return np.isfinite(dataset[stream].values) & (origin == MEASURED)


def add_note(dataset: xr.Dataset, stream: str, sentence: str) -> None:
    """Put a sentence about a stream of a dataset into its attributes."""
    attrs = dataset[stream].attrs
    attrs[NOTE] = f"{attrs[NOTE]}\n{sentence}" if attrs.get(NOTE) else sentence


def stream_notes(dataset: xr.Dataset) -> dict[str, list[str]]:
    """What is to be said of each stream, of those that something is to be said of."""
    texts = {str(name): str(dataset[name].attrs.get(NOTE, "")) for name in dataset.data_vars}
    return {name: text.splitlines() for name, text in texts.items() if text}


def note_lines(dataset: xr.Dataset) -> list[str]:
    """The same as lines of text, one a sentence, with the streams that it holds for."""
    streams: dict[str, list[str]] = {}
    for name, sentences in stream_notes(dataset).items():
        for sentence in sentences:
            streams.setdefault(sentence, []).append(name)
    return [f"{', '.join(names)}: {sentence}" for sentence, names in streams.items()]

"""Times of a record sorted into regimes: hour, month, days since rain, wind, radiation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from caliche.variables import FORCING
from caliche.wording import listing, number_of

if TYPE_CHECKING:  # the report sorts times too, and needs no JAX
    from caliche.experiments.experiment import Experiment

DAY = np.timedelta64(86400, "s")
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
WET_DAY = 1.0  # mm; the usual definition (WMO-No. 1203, 2017)
# Ends (calendar days) of the classes of time since a wet day.
SINCE_RAIN = (0, 2, 6)
NIGHT, WEAK, STRONG = 20.0, 300.0, 600.0  # W m-2 of incoming shortwave radiation


@dataclass(frozen=True)
class Regimes:
    """One way to sort times.

    Attributes
    ----------
    name, title : short name, and what they are sorted by.
    labels : of each class, for an axis.
    phrases : of each class, for a sentence: "on days with rain".
    between : of classes with edges, what stands before a range ("in wind"), the edges between
        them, and the unit.
    index : (time + 1,) class of each time, -1 for none.
    cyclic : whether the last class is followed by the first.
    """

    name: str
    title: str
    labels: tuple[str, ...]
    phrases: tuple[str, ...]
    index: np.ndarray
    cyclic: bool = False
    between: tuple[str, tuple[str, ...], str] | None = None

    @property
    def size(self) -> int:
        return len(self.labels)

    def words(self, members: Sequence[int]) -> str:
        """These classes in words: "from 12 to 15 h", "in July and August"."""
        chosen = self._in_order(members)
        if self.name == "hour":
            width = 24 // self.size
            return f"from {chosen[0] * width} to {(chosen[-1] + 1) * width % 24 or 24} h"
        if self.name == "month" and len(chosen) > 2:
            return f"from {self.labels[chosen[0]]} to {self.labels[chosen[-1]]}"
        if self.between is not None and len(chosen) > 1:
            return self._range(chosen[0], chosen[-1])
        said = [self.phrases[k] for k in chosen]
        if self.name == "month" and len(said) == 2:
            return f"{said[0]} and {self.labels[chosen[1]]}"
        return listing(said)

    def _range(self, first: int, last: int) -> str:
        """Classes next to each other as one range."""
        assert self.between is not None
        lead, edges, unit = self.between
        if first == 0:
            return f"{lead} under {edges[last]} {unit}" if last < len(edges) else "at all times"
        low = edges[first - 1]
        if last == len(edges):
            return f"{lead} over {low} {unit}"
        return f"{lead} of {low} to {edges[last]} {unit}"

    def _in_order(self, members: Sequence[int]) -> list[int]:
        """From the first to the last of a run that may pass the end of a cycle."""
        chosen = sorted(members)
        if self.cyclic and len(chosen) < self.size:
            while (chosen[0] - 1) % self.size in chosen:
                chosen = [chosen[-1], *chosen[:-1]]
        return chosen

    def run(self, inside: np.ndarray, first: int) -> list[int]:
        """The classes next to each other, from `first` both ways, for which `inside` holds."""
        found = [first]
        for way in (1, -1):
            k = first + way
            while 0 <= k < self.size or self.cyclic:
                k %= self.size
                if not inside[k] or k in found:
                    break
                found.append(k)
                k += way
        return sorted(found)


def record(
    experiment: Experiment, n_time: int | None = None
) -> tuple[np.ndarray, np.timedelta64, dict[str, np.ndarray]]:
    """What `regimes` sorts an experiment's record by: local time, step, weather.

    n_time : how many times from the first on; default all.
    """
    source, config = experiment.dataset.isel(time=slice(n_time)), experiment.config
    offset = np.timedelta64(round(config.utc_offset * 3600), "s")
    local = source.time.values.astype("datetime64[s]") + offset
    step = np.timedelta64(round(config.window.time_step), "s")
    return local, step, {name: source[name].values for name in FORCING if name in source}


def regimes(
    local_time: np.ndarray, step: np.timedelta64, weather: Mapping[str, np.ndarray]
) -> list[Regimes]:
    """Every way to sort the times of a record that its length, step and weather allow.

    Parameters
    ----------
    local_time : (time + 1,) ends of the steps, local standard time.
    weather : forcing by name (time + 1,), SI, NaN where missing; what is not there is left out.
    """
    middle = local_time - step // 2
    day = middle.astype("datetime64[D]")
    found = []
    if step < DAY:
        # Bins of an hour, or of the step where that is longer.
        width = max(1, int(np.ceil(step / np.timedelta64(3600, "s"))))
        width = next(w for w in (1, 2, 3, 4, 6, 8, 12) if w >= min(width, 12))
        hour = ((middle - day) / np.timedelta64(3600, "s")).astype(int) // width
        labels = tuple(str(k * width) for k in range(24 // width))
        phrases = tuple(f"from {k} to {int(k) + width} h" for k in labels)
        found.append(Regimes("hour", "hour of day", labels, phrases, hour, True))
    month = middle.astype("datetime64[M]").astype(int) % 12
    if len(np.unique(month)) > 1:
        phrases = tuple(f"in {name}" for name in MONTHS)
        found.append(Regimes("month", "month", MONTHS, phrases, month, True))
    if "precipitation" in weather and step <= DAY:
        found.append(_since_rain(day, step, weather["precipitation"]))
    if "wind_speed" in weather and np.isfinite(weather["wind_speed"]).any():
        found.append(_wind(weather["wind_speed"]))
    if "incoming_shortwave" in weather and step < DAY:
        found.append(_sun(weather["incoming_shortwave"]))
    return [r for r in found if len(np.unique(r.index[r.index >= 0])) > 1]


def _since_rain(day: np.ndarray, step: np.timedelta64, rain: np.ndarray) -> Regimes:
    number = (day - day[0]).astype(int)
    amount = np.bincount(number, np.nan_to_num(rain) * (step / np.timedelta64(1, "s")))
    days = np.arange(len(amount))
    last = np.maximum.accumulate(np.where(amount >= WET_DAY, days, -1))
    dry = np.where(last >= 0, days - last, -1)
    classes = np.where(dry >= 0, np.searchsorted(SINCE_RAIN, dry), -1)
    a, b = SINCE_RAIN[1:]
    labels = ("rain", f"1 to {a} d", f"{a + 1} to {b} d", f"over {b} d")
    phrases = (
        "on days with rain",
        f"1 to {a} days after rain" if a > 1 else "1 day after rain",
        f"{a + 1} to {b} days after rain",
        f"more than {number_of(b, 'day')} after rain",
    )
    return Regimes("wetness", "days since rain", labels, phrases, classes[number])


def _wind(speed: np.ndarray) -> Regimes:
    low, high = np.nanquantile(speed, [1.0 / 3.0, 2.0 / 3.0])
    index = np.where(np.isfinite(speed), np.searchsorted([low, high], speed), -1)
    labels = (f"under {low:.2g}", "between", f"over {high:.2g}")
    edges = (f"{low:.2g}", f"{high:.2g}")
    phrases = (
        f"in wind under {edges[0]} m/s",
        f"in wind of {edges[0]} to {edges[1]} m/s",
        f"in wind over {edges[1]} m/s",
    )
    return Regimes("wind", "wind, m/s", labels, phrases, index, between=("in wind", edges, "m/s"))


def _sun(shortwave: np.ndarray) -> Regimes:
    bounds = [NIGHT, WEAK, STRONG]
    index = np.where(np.isfinite(shortwave), np.searchsorted(bounds, shortwave), -1)
    labels = ("night", f"to {WEAK:g}", f"to {STRONG:g}", f"over {STRONG:g}")
    phrases = (
        "at night",
        f"in sun under {WEAK:g} W/m²",
        f"in sun of {WEAK:g} to {STRONG:g} W/m²",
        f"in sun over {STRONG:g} W/m²",
    )
    edges = tuple(f"{bound:g}" for bound in bounds)
    return Regimes(
        "radiation",
        "shortwave, W/m²",
        labels,
        phrases,
        index,
        between=("in sun", edges, "W/m²"),
    )

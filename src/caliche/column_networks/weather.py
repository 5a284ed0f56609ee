"""Weather for training a column: stretches of records in new orders, and perturbed.

Stretches of whole days are drawn from the records and put one after the other. Every fifth is held
out, so that what is held out is spread over the seasons; what a network is judged on never saw the
weather that it learned from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from caliche.errors import InputError
from caliche.wording import number_of

DAY = 86400.0
FIFTH = 5
LONGEST = 5  # days of a stretch
# What weather is perturbed by, from run to run and from day to day: a factor's logarithm, or an
# addition in the unit of the variable.
FACTORS = {
    "incoming_shortwave": 0.15,
    "wind_speed": 0.25,
    "precipitation": 0.4,
    "specific_humidity": 0.1,
}
ADDITIONS = {"incoming_longwave": 15.0, "air_temperature": 3.0, "bottom_temperature": 1.0}
Forcing = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Stretches:
    """Records cut into stretches of whole days, or of what there is of a shorter record.

    each : name -> (stretch, step).  held_out : (stretch,) whether it is held out.
    """

    each: dict[str, np.ndarray]
    held_out: np.ndarray

    @property
    def steps(self) -> int:
        """Number of steps of a stretch."""
        return next(iter(self.each.values())).shape[1]


def cut(records: Sequence[Forcing], time_step: float) -> Stretches:
    """Stretches of the records, whose entry 0 drives no step; time step in s.

    Raises
    ------
    InputError : less than two days of weather, which cannot be parted.
    """
    day = max(1, round(DAY / time_step))
    days = sum((len(next(iter(r.values()))) - 1) // day for r in records)
    length = min(LONGEST, days // (2 * FIFTH)) or 1
    steps = length * day
    parts: dict[str, list[np.ndarray]] = {}
    for record in records:
        for name, values in record.items():
            own = np.asarray(values, float)[1:]
            count = len(own) // steps
            parts.setdefault(name, []).append(own[: count * steps].reshape(count, steps))
    each = {name: np.concatenate(values) for name, values in parts.items()}
    count = len(next(iter(each.values())))
    if count < 2:
        raise InputError(
            "weather of two days or more, to learn from one part and be judged on another",
            number_of(days, "whole day"),
            "lengthen the window, or name more experiments with --weather",
        )
    held = (
        np.arange(count) % FIFTH == FIFTH - 1 if count >= FIFTH else np.arange(count) == count - 1
    )
    return Stretches(each, held)


def weather(
    stretches: Stretches, held_out: bool, runs: int, steps: int, random: np.random.Generator
) -> dict[str, np.ndarray]:
    """Weather (run, step + 1) of so many runs, made of stretches that are held out or are not.

    Entry 0 belongs to the state at the start. Every run is perturbed as a whole and every stretch
    by itself: sun, wind, humidity and rain by factors, the others by additions.
    """
    known = np.flatnonzero(stretches.held_out == held_out)
    number = -(-(steps + 1) // stretches.steps)
    order = random.choice(known, (runs, number))
    found = {}
    for name, values in stretches.each.items():
        series = values[order]  # (run, stretch, step)
        size = FACTORS.get(name, ADDITIONS.get(name, 0.0))
        shift = size * (
            random.standard_normal((runs, 1, 1)) + random.standard_normal((runs, number, 1))
        )
        series = series * np.exp(shift) if name in FACTORS else series + shift
        found[name] = series.reshape(runs, -1)[:, : steps + 1]
    return found

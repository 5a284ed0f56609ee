"""A scorecard: the errors of a run over those of a control run, cell by cell.

A cell is a stream under a condition at a site. Its change is RMSE over RMSE of the control, less 1;
negative is better. Beside it stands the ratio of standard deviations, modelled over observed, as a
model that varies too little has a smaller RMSE for no good reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from caliche.errors import InputError
from caliche.evaluation.scorecard.conditions import CONDITIONS, conditions_of
from caliche.evaluation.scorecard.significance import (
    FEWEST_DAYS,
    LEVEL,
    Difference,
    difference,
    independent,
    sidak,
)
from caliche.wording import number_of

BETTER, WORSE, SAME = "better", "worse", "not significant"


@dataclass(frozen=True)
class Record:
    """What was observed at a site.

    Attributes
    ----------
    streams : names.  observed : (time + 1, stream), NaN where nothing was.
    local_time : (time + 1,) ends of the steps.  step : their length.
    weather : forcing by name (time + 1,), SI, for the conditions.
    """

    streams: tuple[str, ...]
    observed: np.ndarray
    local_time: np.ndarray
    step: np.timedelta64
    weather: Mapping[str, np.ndarray]

    @property
    def day(self) -> np.ndarray:
        """(time + 1,) number of the day that each step lies in, from 0."""
        days = (self.local_time - self.step // 2).astype("datetime64[D]")
        return (days - days[0]).astype(int)


@dataclass(frozen=True)
class Place:
    """Which values a cell is made of: a stream under a condition, in a column.

    which : (time + 1,) times with a value.  stream : number of the stream at its site.
    """

    row: str
    column: str
    name: str
    condition: str
    stream: int
    which: np.ndarray


@dataclass(frozen=True)
class Cell:
    """One cell of a scorecard.

    Attributes
    ----------
    row, column : "latent_heat_flux, night" and the site.
    n, days : values, and days on which there are any.
    rmse, rmse_control : unit of the stream.
    change : rmse / rmse_control - 1, negative is better.  low, high : its interval, at the level
        that allows for the number of cells.
    sd_ratio, sd_ratio_control : standard deviation modelled over observed; NaN if nothing varies.
    verdict : better, worse, or not significant.
    memory : days that are worth an independent one.
    """

    row: str
    column: str
    n: int
    days: int
    rmse: float
    rmse_control: float
    change: float
    low: float
    high: float
    sd_ratio: float
    sd_ratio_control: float
    verdict: str
    memory: float


@dataclass(frozen=True)
class Scorecard:
    """All cells.

    Attributes
    ----------
    rows, columns : in order.  cells : those that have values enough.
    independent : how many cells are independent.  level : of each cell's interval.
    left_out : cells of too few days.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[Cell, ...]
    independent: float
    level: float
    left_out: int = 0

    def cell(self, row: str, column: str) -> Cell | None:
        """A cell by its place; None if it has too few values."""
        return next((c for c in self.cells if (c.row, c.column) == (row, column)), None)

    @property
    def better(self) -> int:
        return sum(c.verdict == BETTER for c in self.cells)

    @property
    def worse(self) -> int:
        return sum(c.verdict == WORSE for c in self.cells)


def places_of(
    records: Mapping[str, Record], wanted: Sequence[str] = CONDITIONS
) -> tuple[list[Place], int]:
    """The cells that the records of sites allow, and how many have too few days.

    Raises
    ------
    InputError : an unknown condition; no cell with days enough.
    """
    found, few = [], 0
    for column, record in records.items():
        times = conditions_of(record.local_time, record.step, record.weather, wanted)
        for number, stream in enumerate(record.streams):
            seen = np.isfinite(record.observed[:, number])
            seen[0] = False  # a flux has no value at time zero
            for condition, inside in times.items():
                which = seen & inside
                if len(np.unique(record.day[which])) < FEWEST_DAYS:
                    few += bool(which.any())
                    continue
                row = f"{stream}, {condition}"
                found.append(Place(row, column, stream, condition, number, which))
    if not found:
        raise InputError(
            f"observations on at least {number_of(FEWEST_DAYS, 'day')} for a scorecard",
            "fewer of every stream and condition",
            "score a longer record",
        )
    return found, few


def differences(
    records: Mapping[str, Record],
    run: Mapping[str, np.ndarray],
    control: Mapping[str, np.ndarray],
    places: Sequence[Place],
) -> list[Difference]:
    """Squared errors of a run less those of the control, in every cell.

    Parameters
    ----------
    run, control : modelled (time + 1, stream) by site.
    """
    found = []
    for place in places:
        record, k = records[place.column], place.stream
        error, other = (
            (modelled[place.column][:, k] - record.observed[:, k]) ** 2
            for modelled in (run, control)
        )
        found.append(difference(np.where(place.which, error - other, np.nan), record.day))
    return found


def scorecard(
    records: Mapping[str, Record],
    run: Mapping[str, np.ndarray],
    control: Mapping[str, np.ndarray],
    wanted: Sequence[str] = CONDITIONS,
    level: float = LEVEL,
) -> Scorecard:
    """The scorecard of a run against a control run.

    Parameters
    ----------
    records : by site.  run, control : modelled (time + 1, stream) by site.
    wanted : conditions.  level : of all cells together.

    Raises
    ------
    InputError : an unknown condition; no cell with days enough; a model without a number where
        there is an observation.
    """
    places, few = places_of(records, wanted)
    found = differences(records, run, control, places)
    number = sum(
        independent([d.residual for d, p in zip(found, places, strict=True) if p.column == column])
        for column in records
    )
    each = sidak(number, level)
    cells = [
        _cell(place, d, records[place.column], run, control, each)
        for place, d in zip(places, found, strict=True)
    ]
    rows = tuple(dict.fromkeys(p.row for p in places))
    columns = tuple(dict.fromkeys(p.column for p in places))
    return Scorecard(rows, columns, tuple(cells), number, each, few)


def _cell(
    place: Place,
    d: Difference,
    record: Record,
    run: Mapping[str, np.ndarray],
    control: Mapping[str, np.ndarray],
    level: float,
) -> Cell:
    observed = record.observed[place.which, place.stream]
    mine, other = (m[place.column][place.which, place.stream] for m in (run, control))
    if not (np.isfinite(mine).all() and np.isfinite(other).all()):
        raise InputError(
            f"a modelled {place.name} wherever one was observed at {place.column}",
            "none at some times",
            "score runs of the same window and streams",
        )
    before = float(np.mean((other - observed) ** 2))
    after = float(np.mean((mine - observed) ** 2))
    spread, reach = float(observed.std()), d.reach(level)
    ratios = [float(m.std()) / spread if spread > 0.0 else float("nan") for m in (mine, other)]
    verdict = SAME
    if before > 0.0 and d.significant(level):
        verdict = BETTER if d.mean < 0.0 else WORSE
    return Cell(
        place.row,
        place.column,
        d.n,
        d.days,
        float(np.sqrt(after)),
        float(np.sqrt(before)),
        change_of(d.mean, before),
        change_of(d.mean - reach, before),
        change_of(d.mean + reach, before),
        ratios[0],
        ratios[1],
        verdict,
        d.memory,
    )


def change_of(by: float, before: float) -> float:
    """RMSE over RMSE of the control, less 1, where the mean square changed by so much."""
    if not before > 0.0:
        return float("nan")
    return float(np.sqrt(max(1.0 + by / before, 0.0)) - 1.0)

"""What a benchmark reports: rows; what it is: a case; how large it is run: a size."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.timing import Compiled, Timing

UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6}


@dataclass(frozen=True)
class Row:
    """One measured number.

    what, unit : what it is.  value : None if it was not measured; `note` then says why.
    median : of the repeats whose minimum is `value`.
    compile_seconds, first_call_seconds : apart from the value, where something was compiled.
    target : what the value should not exceed, or should reach if `at_least`.
    required : missing the target is a failure, not merely a target missed.
    extrapolated : the value was computed from a smaller measurement; `note` says from which.
    """

    what: str
    value: float | None
    unit: str
    median: float | None = None
    compile_seconds: float | None = None
    first_call_seconds: float | None = None
    target: float | None = None
    at_least: bool = False
    required: bool = False
    extrapolated: bool = False
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one, or without a value."""
        if self.target is None or self.value is None or math.isnan(self.value):
            return None
        return self.value >= self.target if self.at_least else self.value <= self.target

    @property
    def failed(self) -> bool:
        """Whether a requirement is not met; not to have been measured is no failure."""
        return self.required and self.value is not None and self.met is not True


def time_row(
    what: str,
    timing: Timing,
    unit: str = "ms",
    per: float = 1.0,
    compiled: Compiled | None = None,
    target: float | None = None,
    note: str = "",
) -> Row:
    """A time, divided by `per` (members, say)."""
    factor = UNITS[unit] / per
    return Row(
        what,
        timing.minimum * factor,
        unit,
        timing.median * factor,
        None if compiled is None else compiled.compile_seconds,
        None if compiled is None else compiled.first_call_seconds,
        target,
        note=note,
    )


def ratio_row(
    what: str, ours: Timing, theirs: Timing, target: float | None = None, note: str = ""
) -> Row:
    """Our time over another's, timed in turn in this process."""
    median = ours.median / theirs.median
    return Row(what, ours.minimum / theirs.minimum, "x", median, target=target, note=note)


def blank_row(what: str, unit: str, reason: object, target: float | None = None) -> Row:
    """A number that was not measured, with the reason."""
    return Row(what, None, unit, target=target, note=f"not measured: {reason}")


@dataclass(frozen=True)
class Size:
    """How large the benchmarks are run.

    steps : half-hours of the benchmark problem.
    seconds : roughly how long each group of rivals is timed.
    least_rounds : of timing.
    blocks : members evaluated together, in the batched cases.  sites : calibrated.
    streamed : sites whose memory is compared, few and many.
    ensemble : members of the Sobol ensemble.  starts : trials of the paper's experiment.
    years : of the long gradient.  layers, lengths (years), members : of the scaling.
    reference_step : s, and accuracy_days : of the accuracy table.
    eager_steps : half-hours, and eager_hours : hours, that eager PyTorch is timed for.
    adaptive_days, suews_days : that diffrax and SuPy are timed for.
    """

    name: str
    steps: int = 17520
    seconds: float = 2.0
    least_rounds: int = 5
    blocks: tuple[int, ...] = (32, 64, 128, 256)
    sites: int = 1024
    streamed: tuple[int, int] = (1000, 10000)
    ensemble: int = 4096
    starts: int = 50
    years: float = 10.0
    layers: tuple[int, ...] = (10, 20, 50, 100)
    lengths: tuple[float, ...] = (0.25, 1.0, 4.0)
    members: tuple[int, ...] = (1, 4, 16, 64, 256, 1024)
    reference_step: float = 10.0
    accuracy_days: int = 40
    eager_steps: int = 96
    eager_hours: int = 8
    adaptive_days: int = 365
    suews_days: int = 31


SIZES = {
    "full": Size("full"),
    "quick": Size(
        "quick",
        steps=4380,
        seconds=0.2,
        least_rounds=3,
        blocks=(64,),
        sites=64,
        ensemble=256,
        streamed=(256, 1024),
        years=2.0,
        layers=(10,),
        lengths=(0.25,),
        members=(64,),
        reference_step=60.0,
        accuracy_days=10,
        eager_steps=12,
        eager_hours=1,
        adaptive_days=10,
        suews_days=2,
    ),
    "tiny": Size(
        "tiny",
        steps=96,
        seconds=0.0,
        least_rounds=1,
        blocks=(32,),
        sites=2,
        ensemble=4,
        streamed=(64, 128),
        starts=2,
        years=0.01,
        layers=(10,),
        lengths=(0.005,),
        members=(2,),
        reference_step=300.0,
        accuracy_days=6,
        eager_steps=1,
        eager_hours=1,
        adaptive_days=1,
        suews_days=1,
    ),
}


@dataclass(frozen=True)
class Case:
    """A benchmark: a function of the size that returns its rows."""

    name: str
    title: str
    text: str
    measure: Callable[[Size], list[Row]]


@dataclass(frozen=True)
class Outcome:
    """What came of a case: its rows, how long it took (s), and the error that ended it."""

    case: Case
    rows: Sequence[Row]
    seconds: float
    error: str = ""

    @property
    def failed(self) -> bool:
        return bool(self.error) or any(row.failed for row in self.rows)


CASES: dict[str, Case] = {}


def case(name: str, title: str) -> Callable[[Callable[[Size], list[Row]]], Callable]:
    """Register a function as a benchmark; its docstring stands above its table."""

    def register(measure: Callable[[Size], list[Row]]) -> Callable[[Size], list[Row]]:
        text = " ".join((measure.__doc__ or "").split())
        CASES[name] = Case(name, title, text, measure)
        return measure

    return register

"""Structural error: what of the residuals depends on hour, month, rain, wind or radiation.

Residuals that are errors of the observations do not care what time it is. Where their mean over a
regime is not zero, beyond what chance and their memory explain, the model is wrong there. The
standard error of such a mean counts days, not values: sums over a day and regime, with their
correlation from day to day (Newey and West 1987, doi:10.2307/1913610; Bartlett weights up to the
cube root of the number of days).

This part needs the series of a run alone; what parameters could do about it is in
`structural_span`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit

from caliche.evaluation.regimes import DAY, Regimes, regimes
from caliche.keys.records import Mismatch
from caliche.variables import label, variable
from caliche.wording import listing

# A mean over fewer days than this has no standard error worth the name.
FEWEST_DAYS = 3
# Chance of calling a pattern real in residuals that have none, over all classes of a regime.
CHANCE = 0.05
# Share of the misfit below which a pattern is not worth a sentence.
WORTH_TELLING = 0.03
# Classes next to the worst one belong to it where they are at least this share of it.
BESIDE = 0.5


@dataclass(frozen=True)
class Conditional:
    """Means of the residuals (model minus observation) of one stream over the classes of a regime.

    Attributes
    ----------
    n, days : (class,) values, and blocks of time (days) they come from.
    mean, se : (class,) NaN where there are too few days.
    share : of the sum of squared residuals, in excess of what the overall mean and chance explain.
    clear : (class,) whether the mean is not zero, beyond chance.
    real : whether any class departs from the overall mean (the overall mean: from zero) beyond it.
    """

    regimes: Regimes
    n: np.ndarray
    days: np.ndarray
    mean: np.ndarray
    se: np.ndarray
    share: float
    clear: np.ndarray
    real: bool


@dataclass(frozen=True)
class RegimeMeans:
    """`Conditional` as summary.json keeps it: (class,) each, NaN where there are too few days."""

    title: str
    labels: tuple[str, ...]
    n: tuple[int, ...]
    mean: tuple[float, ...]
    se: tuple[float, ...]
    share: float
    real: bool

    def check(self) -> None:
        """Refuse numbers of another count than the classes."""
        sizes = {len(self.labels), len(self.mean), len(self.se)}
        if len(sizes) > 1:
            raise Mismatch("as many means as classes", " and ".join(map(str, sorted(sizes))))


@dataclass(frozen=True)
class Pattern:
    """The departure of a stream that is worth telling.

    regimes, classes : where it is, and in words.  mean, se : there, in the unit of the stream.
    removable : share that other values of the parameters take away; None if nobody has looked.
    """

    regimes: str
    classes: tuple[int, ...]
    mean: float
    se: float
    where: str
    share: float
    removable: float | None = None


@dataclass(frozen=True)
class StreamStructure:
    """Structural error of a stream, as summary.json keeps it; `rms` of its residuals."""

    unit: str
    rms: float
    regimes: Mapping[str, RegimeMeans]
    pattern: Pattern | None
    sentence: str

    def check(self) -> None:
        """Refuse a pattern of regimes that are not there."""
        if self.pattern is not None and self.pattern.regimes not in self.regimes:
            raise Mismatch(f"regimes {self.pattern.regimes!r}, of its pattern,", "none")


def whole(n_time: int) -> Regimes:
    """All times as one class: the mean error."""
    zeros = np.zeros(n_time, int)
    return Regimes("all", "all times", ("all",), ("on the whole",), zeros)


def blocks(local_time: np.ndarray, residual: np.ndarray) -> np.ndarray:
    """Day of each time, or a longer block where observations are further apart."""
    seen = local_time[np.isfinite(residual)]
    length = DAY
    if len(seen) > 1:
        length = max(DAY, np.median(np.diff(seen)))
    start = local_time[0].astype("datetime64[D]").astype(local_time.dtype)
    # The last stamp of a day ends in it.
    return ((local_time - start - np.timedelta64(1, "s")) // length).astype(int)


def mean_and_error(
    residual: np.ndarray, inside: np.ndarray, block: np.ndarray
) -> tuple[float, float, int, int]:
    """Mean over the times `inside`, its standard error, the number of values and of blocks."""
    known = inside & np.isfinite(residual)
    n = int(known.sum())
    days = np.unique(block[known])
    if len(days) < FEWEST_DAYS:
        return np.nan, np.nan, n, len(days)
    mean = float(residual[known].mean())
    sums = np.bincount(block[known] - block[known].min(), residual[known] - mean)
    variance = float(sums @ sums)
    alone, lags = variance, int(len(days) ** (1.0 / 3.0) + 1e-9)
    for lag in range(1, min(lags, len(sums) - 1) + 1):
        variance += 2.0 * (1.0 - lag / (lags + 1.0)) * float(sums[:-lag] @ sums[lag:])
    variance = max(variance, 0.1 * alone) * len(days) / (len(days) - 1)
    return mean, float(np.sqrt(variance)) / n, n, len(days)


def condition(residual: np.ndarray, way: Regimes, block: np.ndarray) -> Conditional:
    """Conditional means of a stream's residuals (time + 1,), NaN where nothing was observed."""
    rows = [mean_and_error(residual, way.index == k, block) for k in range(way.size)]
    mean, se, n, days = (np.array(column) for column in zip(*rows, strict=True))
    known = np.isfinite(mean)
    total = float(np.nansum(residual**2))
    if not known.any() or total == 0.0:
        return Conditional(way, n, days, mean, se, 0.0, np.zeros(way.size, bool), False)
    centre = 0.0
    if way.size > 1:
        centre = np.average(mean[known], weights=n[known])
    excess = n[known] * ((mean[known] - centre) ** 2 - se[known] ** 2)
    # CHANCE is shared by the classes (Bonferroni).
    limit = np.nan_to_num(se) * stdtrit(np.maximum(days - 1, 1), 1.0 - 0.5 * CHANCE / known.sum())
    clear = known & (np.abs(mean) > limit)
    real = bool((known & (np.abs(mean - centre) > limit)).any())
    share = max(0.0, float(excess.sum())) / total
    return Conditional(way, n, days, mean, se, share, clear, real)


def deviations(found: Conditional) -> np.ndarray:
    """The pattern (class,): means less the overall one, NaN where a class is not known."""
    known = np.isfinite(found.mean)
    if found.regimes.size == 1:
        return found.mean
    return found.mean - np.average(found.mean[known], weights=found.n[known])


def worst(found: Sequence[Conditional]) -> Conditional | None:
    """The pattern that explains most of the misfit, if any is real and worth telling."""
    real = [c for c in found if c.real and c.share >= WORTH_TELLING]
    return max(real, key=lambda c: c.share) if real else None


def describe(
    stream: str, residual: np.ndarray, found: Sequence[Conditional], block: np.ndarray
) -> StreamStructure:
    """The entry of a stream in summary.json, without what parameters could do about it."""
    means = {
        c.regimes.name: RegimeMeans(
            c.regimes.title,
            tuple(c.regimes.labels),
            tuple(c.n.tolist()),
            tuple(c.mean.tolist()),
            tuple(c.se.tolist()),
            c.share,
            c.real,
        )
        for c in found
    }
    pattern, chosen = None, worst(found)
    if chosen is not None:
        members = _worst_classes(chosen)
        inside = np.isin(chosen.regimes.index, members)
        mean, se, _, _ = mean_and_error(residual, inside, block)
        where = chosen.regimes.words(members)
        pattern = Pattern(chosen.regimes.name, tuple(members), mean, se, where, chosen.share, None)
    rms = float(np.sqrt(np.nanmean(residual**2)))
    return told(stream, StreamStructure(variable(stream).unit, rms, means, pattern, ""))


def told(stream: str, entry: StreamStructure, removable: float | None = None) -> StreamStructure:
    """The entry with its sentence, and with what parameters take of its pattern away, if known."""
    pattern = entry.pattern
    if pattern is not None and removable is not None:
        pattern = replace(pattern, removable=removable)
    entry = replace(entry, pattern=pattern)
    return replace(entry, sentence=sentence(stream, entry))


def _worst_classes(found: Conditional) -> list[int]:
    """The largest departure from zero that stands out, and what is beside it."""
    away = np.where(np.isfinite(found.mean), found.mean, 0.0)
    # A class of few values far off matters less than a large one.
    weight = found.n * away**2
    first = int(np.argmax(weight * found.clear if found.clear.any() else weight))
    return found.regimes.run(away / away[first] >= BESIDE, first)


def sentence(stream: str, entry: StreamStructure) -> str:
    """What is wrong with a stream and what parameters could do about it, in one sentence."""
    what, pattern = label(stream), entry.pattern
    if pattern is None:
        tried = [r.title.partition(",")[0] for r in list(entry.regimes.values())[1:]]
        if not tried:
            return f"The record is too short to tell what the mean error of {what} depends on."
        on = listing(tried, "or")
        return f"The mean error of {what} does not depend significantly on {on}."
    words = ("too warm", "too cold") if entry.unit == "K" else ("too high", "too low")
    unit = "" if entry.unit == "1" else f" {entry.unit}"
    size = _plus_minus(abs(pattern.mean), pattern.se)
    side = words[0] if pattern.mean > 0.0 else words[1]
    share = f"{100.0 * pattern.share:.0f} % of its misfit"
    title = entry.regimes[pattern.regimes].title.partition(",")[0]
    if pattern.regimes == "all":
        why, it = f"the mean error is {share}", "it"
    else:
        why, it = f"{title} explains {share}", "this dependence"
    text = f"{what[0].upper()}{what[1:]} is {size}{unit} {side} {pattern.where} ({why})"
    return f"{text}{_remedy(pattern.removable, it)}."


def _plus_minus(value: float, error: float) -> str:
    """Both with two digits of the error."""
    if not error > 0.0:
        return f"{value:.2g}"
    decimals = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"


def _remedy(removable: float | None, it: str) -> str:
    if removable is None:
        return ""
    within = "of the parameters within their priors"
    for limit, word in ((0.1, "a tenth"), (0.2, "a fifth"), (0.34, "a third"), (0.5, "half")):
        if removable <= limit:
            return f"; no value {within} takes more than {word} of {it} away"
    much = "nearly all" if removable > 0.9 else f"{100.0 * removable:.0f} %"
    return f"; other values {within} take {much} of {it} away, but fit the rest of the data worse"


def of_series(
    local_time: np.ndarray,
    step: np.timedelta64,
    residuals: Mapping[str, np.ndarray],
    weather: Mapping[str, np.ndarray],
) -> dict[str, tuple[list[Conditional], StreamStructure]]:
    """Every stream's conditional means and its entry of summary.json."""
    ways = [whole(len(local_time)), *regimes(local_time, step, weather)]
    found = {}
    for name, residual in residuals.items():
        if not np.isfinite(residual).any():
            continue
        block = blocks(local_time, residual)
        conditional = [condition(residual, way, block) for way in ways]
        # One class alone says nothing that the mean error does not.
        conditional = [
            c for c in conditional if c.regimes.size == 1 or np.isfinite(c.mean).sum() > 1
        ]
        found[name] = conditional, describe(name, residual, conditional, block)
    return found

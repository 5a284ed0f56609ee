"""What a screening found, in sentences. They work on the content of summary.json alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

from caliche.commands.screen.summary import Kind, OutputEntry, ScreeningSummary, StreamEntry, Triple
from caliche.sensitivity.designs import SOBOL
from caliche.wording import agree, listing

MEAN: Kind = "mean"
RMSE: Kind = "rmse"
COURSE: Kind = "course"
CYCLE: Kind = "cycle"
# An interval of a total effect wider than this says too little.
WIDE = 0.2
# Of the samples left out, what is no longer a detail.
MANY = 0.05
# Ratio of sigma to mu* above which effects are far from one straight line (Garcia Sanchez et al.
# 2014, doi:10.1016/j.enbuild.2012.08.048, whose classes are 0.1, 0.5 and 1).
CURVED = 0.5
DECIDING = (COURSE, CYCLE, RMSE)
WORDS = {COURSE: "over time", CYCLE: "by hour of the day", RMSE: "the error", MEAN: "the mean"}


def sentences(summary: ScreeningSummary) -> tuple[str, ...]:
    """What matters, what does not, and how much is interaction."""
    kept, fixed = summary.kept, summary.fixed
    what = "parameters" if all(len(m) == 1 for m in summary.groups.values()) else "groups"
    share = f"{100 * summary.keep:g} %"
    if not fixed:
        first = f"All {len(kept)} {what} are needed to hold {share} of the total effects."
    else:
        first = (
            f"{listing(kept)} {'matters' if len(kept) == 1 else 'matter'}: on every output that is "
            f"fitted, {'it holds' if len(kept) == 1 else 'they hold'} at least {share} of the "
            f"total effects. {listing(fixed)} {'does' if len(fixed) == 1 else 'do'} not, and may "
            f"be fixed: at most {100 * _most(summary, fixed):.2g} % of them on any one."
        )
    found = [first]
    for stream, entry in summary.streams.items():
        if COURSE in entry.outputs:
            found.append(_of_stream(summary, stream, entry))
    return tuple(found)


def _of_stream(summary: ScreeningSummary, stream: str, entry: StreamEntry) -> str:
    name = stream if entry.fitted else f"{stream} (not fitted)"
    course = entry.outputs[COURSE]
    if not course.varies:
        return f"{name} does not depend on any of the parameters."
    needed = _needed(course, summary.keep)
    if summary.method == SOBOL:
        listed = [f"{p} {_first(course.parameters[p].ST):.2f}" for p in needed]
        additive = _first(course.additive)
        text = f"{name} over time: total effects {listing(listed)}; "
        if additive > 0.995:
            return f"{text}interactions are below 1 % of the variance."
        return f"{text}interactions are {100 * (1 - additive):.0f} % of the variance."
    listed = [f"{p} {100 * course.parameters[p].share:.0f} %" for p in needed]
    text = f"Shares of the squared effects on {name} over time: {listing(listed)}"
    curved = [p for p in needed if _ratio(entry.outputs[MEAN], p) > CURVED]
    if curved:
        text += f". Effects of {listing(curved)} on the mean are curved or interact with others"
    return f"{text}."


def _first(index: Triple | None) -> float:
    """An index without its interval."""
    return math.nan if index is None else index[0]


def _ratio(output: OutputEntry, name: str) -> float:
    """sigma / mu*, 0 where it does not exist."""
    entry = output.parameters[name]
    if not entry.sigma or not entry.mu_star or not entry.mu_star[0]:
        return 0.0
    return entry.sigma[0] / entry.mu_star[0]


def _needed(output: OutputEntry, keep: float) -> list[str]:
    """The fewest parameters that hold a share of the effects on one output, largest first."""
    shares = {name: entry.share for name, entry in output.parameters.items()}
    order, held, found = sorted(shares, key=lambda name: -shares[name]), 0.0, []
    for name in order:
        found.append(name)
        held += shares[name]
        if held >= keep - 1e-9:
            break
    return found


def _most(summary: ScreeningSummary, names: Sequence[str]) -> float:
    """The largest share that these hold together, of the outputs that are fitted."""
    return max(
        sum(output.parameters[name].share for name in names)
        for entry in summary.streams.values()
        if entry.fitted
        for kind, output in entry.outputs.items()
        if kind in DECIDING and output.varies
    )


def warnings_of(summary: ScreeningSummary) -> tuple[str, ...]:
    """What a reader should know before trusting the numbers."""
    found = []
    samples, runs = summary.samples, summary.runs
    if summary.failed:
        lost = summary.dropped / samples
        text = (
            f"{summary.failed} of {runs} runs gave no finite numbers{summary.where_failed}; "
            f"{summary.dropped} of {samples} samples "
            f"{agree(summary.dropped, 'is', 'are')} left out for it"
        )
        if lost > MANY:
            text += (
                ", so that the indices hold for the part of the priors where the model runs. "
                "Narrow the priors if that is not what you mean"
            )
        found.append(f"{text}.")
    wide = [
        (f"{name} on {stream}, {WORDS[kind]}", high - low)
        for stream, entry in summary.streams.items()
        if entry.fitted
        for kind, output in entry.outputs.items()
        if kind in DECIDING and output.varies
        for name, of in output.parameters.items()
        if of.ST is not None
        for _, low, high in [of.ST]
        if high - low > WIDE
    ]
    if wide:
        name, width = max(wide, key=lambda item: item[1])
        found.append(
            f"Some intervals are wide: {width:.2f} for the total effect of {name}. "
            f"--samples {4 * samples} would halve them."
        )
    found += _not_small(summary)
    still = [
        stream
        for stream, entry in summary.streams.items()
        if entry.fitted and not any(output.varies for output in entry.outputs.values())
    ]
    if still:
        found.append(f"{listing(still)} did not change in any run.")
    return tuple(found)


def _not_small(summary: ScreeningSummary) -> list[str]:
    """What is small beside other parameters, but not beside the errors of the observations."""
    told = []
    for group in summary.fixed:
        moves = [
            (output.parameters[group].sd / entry.sigma, entry.sigma, stream, entry.unit)
            for stream, entry in summary.streams.items()
            if entry.fitted and entry.sigma
            for kind, output in entry.outputs.items()
            if kind in DECIDING and output.varies
        ]
        ratio, sigma, stream, unit = max(moves, default=(0.0, 0.0, "", ""), key=lambda m: m[0])
        if ratio > 1.0:
            moved = f"{ratio * sigma:.2g}".replace("e+0", "e")
            told.append(f"{group} ({stream} by {moved} {unit}, sigma {sigma:g})")
    if not told:
        return []
    return [
        f"Small beside the others, but not beside the errors of the observations: {listing(told)}. "
        "Data may still tell them, and a wrong fixed value would show; see caliche identify."
    ]

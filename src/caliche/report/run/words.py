"""What a run found, in sentences. Pure functions of the summary: numbers in, English out."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from caliche.cards.methods import card_of
from caliche.remarks import EQUALLY_GOOD, same_misfit
from caliche.report.numbers import number, percent, plain, rounded, value_and_sd, with_unit
from caliche.report.run.folder import stream_label
from caliche.report.wording import capital, clock, counted, moment, parameter_label, sentence
from caliche.runs.run_summary import (
    CorrelationEntry,
    CostEntry,
    HyperparameterEntry,
    OptimumEntry,
    ParameterEntry,
    ResidualEntry,
    RunSummary,
    ScoreEntry,
    StartEntry,
)
from caliche.wording import listing, number_of

TRAINING = "gradient descent (Adam), together with the weights of a network"
STRONG_CORRELATION = 0.95
NOTABLE_AUTOCORRELATION = 0.3


def not_converged(reason: str) -> str:
    """The statement that stands before any number when a run did not converge."""
    return (
        f"This calibration did not converge: {sentence(reason)} "
        "The values below are where the search stopped, not estimates, "
        "and their error bars mean nothing."
    )


def what_was_done(
    summary: RunSummary,
    streams: Sequence[tuple[str, int]],
    period: tuple[np.datetime64, np.datetime64],
    utc_offset: float,
    site: str,
) -> str:
    """What was estimated from what, over which period. `streams` are (label, count), fitted."""
    free = sum(not p.fixed for p in summary.parameters.values())
    card = card_of(summary.method)
    training = TRAINING if summary.method == "training" else summary.method
    method = training if card is None else card.words
    data = listing(f"{count:,} of {label}" for label, count in streams)
    if not data:
        data = "no observations"
    elif len(streams) == 1:
        data = f"{number_of(streams[0][1], 'observation')} of {streams[0][0]}"
    else:
        data = f"{number_of(sum(count for _, count in streams), 'observation')} ({data})"
    where = f" at {site}" if site else ""
    verb = "estimated" if summary.converged else "sought"
    return (
        f"{capital(counted(free, 'parameter'))} {'was' if free == 1 else 'were'} {verb} from "
        f"{data}{where}, {moment(period[0])} to {moment(period[1])} {clock(utc_offset)}, "
        f"with {method}."
    )


def estimate(name: str, entry: ParameterEntry) -> str:
    """`thermal conductivity is 0.826 ± 0.043 W m⁻¹ K⁻¹ (5 %)`."""
    value, sd, unit = number(entry.estimate), number(entry.sd), entry.unit
    text = with_unit(value_and_sd(value, sd), unit)
    if not math.isfinite(sd):
        why = "at its bound, no error bar" if entry.at_bound else "no error bar"
        return f"{parameter_label(name, entry.long_name)} is {text} ({why})"
    # A share of a temperature depends on where its scale begins, so it is not a statement.
    share = "" if unit in ("K", "degC", "°C") else percent(sd, value)
    return f"{parameter_label(name, entry.long_name)} is {text}{f' ({share})' if share else ''}"


def estimates(
    parameters: Mapping[str, ParameterEntry],
    converged: bool = True,
    idle: Collection[str] = (),
) -> str:
    """One sentence with every free parameter's estimate and standard deviation.

    `idle` are those on which nothing that is fitted depends: they have no estimate.
    """
    free = {n: p for n, p in parameters.items() if not p.fixed and n not in idle}
    if not free:
        return "No parameter was free." if not idle else "No parameter was estimated."
    each = [estimate(name, entry) for name, entry in free.items()]
    joined = "; ".join(each) if len(each) > 2 else listing(each)
    if not converged:
        return f"Where the search stopped, {joined}."
    known = any(math.isfinite(number(entry.sd)) for entry in free.values())
    return f"{capital(joined)}{' (± is one standard deviation)' if known else ''}."


def misses(
    fit: Mapping[str, ScoreEntry],
    holdout: Mapping[str, ScoreEntry] | None,
    labels: Mapping[str, str],
    units: Mapping[str, str],
) -> str:
    """Typical error per fitted stream, in the fit and in the hold-out."""
    parts = []
    for stream, score in fit.items():
        if not score.fitted:
            continue
        unit = units.get(stream, "")
        part = f"{with_unit(rounded(score.rmse), unit)} for {labels.get(stream, stream)}"
        held = (holdout or {}).get(stream)
        if held is not None and math.isfinite(number(held.rmse)):
            part += f" ({with_unit(rounded(held.rmse), unit)} in the hold-out)"
        parts.append(part)
    if not parts:
        return ""
    return f"The root-mean-square error is {listing(parts)}."


def error_sentences(
    found: HyperparameterEntry | None, labels: Mapping[str, str], units: Mapping[str, str]
) -> list[str]:
    """What was estimated of the errors besides the parameters: their size and their memory."""
    if found is None:
        return []
    sizes = [
        f"{with_unit(rounded(sigma), units.get(stream, ''))} for {labels.get(stream, stream)}"
        for stream, sigma in found.sigma.items()
    ]
    memories = [
        f"{plain(rho, 2)} for {labels.get(stream, stream)}"
        for stream, rho in found.autocorrelation.items()
    ]
    sentences = []
    if sizes:
        sentences.append(f"The size of errors was estimated too: {listing(sizes)}.")
    if memories:
        sentences.append(
            f"So was their autocorrelation from one time step to the next: {listing(memories)}."
        )
    return sentences


def cost_sentence(cost: CostEntry | None) -> str:
    """The cost at the estimate, by stream and prior; the streams are named as `label` does."""
    if cost is None or not cost.observations:
        return ""
    terms = {stream_label(name): value for name, value in cost.observations.items()}
    terms["the priors"] = cost.prior
    if not all(math.isfinite(number(value)) for value in terms.values()):
        return ""
    parts = [f"{plain(value)} from {name}" for name, value in terms.items()]
    return f"Cost at the estimate: {plain(sum(terms.values()))}, of it {listing(parts)}."


def verdict(summary: RunSummary) -> str:
    """The first line of the report: how it ended, and what a careful referee would say first.

    Empty for a run that did not converge, which says so itself, or is older than verdicts.
    """
    table = summary.verdict
    if table is None or not summary.converged:
        return ""
    return sentence(capital(table.headline))


def same_optimum(starts: Sequence[StartEntry]) -> np.ndarray:
    """Which starts reached the optimum of the estimate: the rule of `estimation.optima`.

    A summary.json that is older than that rule has only the misfits to tell by.
    """
    if any(start.optimum is not None for start in starts):
        return np.array([start.optimum == 0 for start in starts])
    misfit = np.array([number(start.misfit) for start in starts])
    if not np.isfinite(misfit).any():
        return np.zeros(misfit.size, bool)
    return same_misfit(misfit, np.nanmin(misfit))


def starts_sentence(
    starts: Sequence[StartEntry],
    sds: Mapping[str, float],
    optima: Sequence[OptimumEntry] = (),
) -> str:
    """How many starts reached the same optimum, and whether that optimum is one point or several.

    `optima` are the distinct ones, where they are known.
    """
    if not starts:
        return ""
    if len(starts) == 1:
        return "The search began from a single start, so other optima were not looked for."
    same = same_optimum(starts)
    if not same.any():
        return f"None of the {len(starts)} starts reached a finite misfit."
    count = "All" if same.all() else f"{int(same.sum())} of"
    text = f"{count} {len(starts)} starts reached the same optimum"
    if same.sum() == 1:
        text = f"Only 1 of {len(starts)} starts reached the optimum: it may be a local one"
    best = number(optima[0].misfit) if optima else math.nan
    rivals = sum(number(o.misfit) <= best + EQUALLY_GOOD for o in optima[1:])
    if rivals:
        fit = "fits" if rivals == 1 else "fit"
        return (
            f"{text}, and others ended at {counted(rivals, 'other place')} that {fit} about as "
            "well: the data do not choose between these optima."
        )
    spread = {
        name: np.ptp([number(s.estimate.get(name)) for s, k in zip(starts, same, strict=True) if k])
        / sd
        for name, sd in sds.items()
        if math.isfinite(sd) and sd > 0
    }
    worst = max(spread, key=lambda name: spread[name], default=None)
    if worst is not None and spread[worst] > 1:
        return (
            f"{text}, but their values of {worst.replace('_', ' ')} differ by up to "
            f"{plain(spread[worst], 2)} standard deviations: the optimum is a valley, not a point."
        )
    return f"{text}."


def truth_sentence(parameters: Mapping[str, ParameterEntry]) -> str:
    """For a twin: how many 95 % intervals hold the true value."""
    twins = {
        name: (entry.interval95, entry.truth)
        for name, entry in parameters.items()
        if not entry.fixed and entry.truth is not None and entry.interval95 is not None
    }
    if not twins:
        return ""
    outside = [
        parameter_label(name, parameters[name].long_name)
        for name, ((low, high), truth) in twins.items()
        if truth < low or truth > high  # an end that is not known is no end
    ]
    if not outside:
        which = "every" if len(twins) > 1 else "the"
        return f"The true value lies inside {which} 95 % interval."
    return (
        f"The true value lies inside the 95 % interval of {len(twins) - len(outside)} of "
        f"{len(twins)} parameter{'' if len(twins) == 1 else 's'}; outside: {listing(outside)}."
    )


def correlation_warnings(
    correlation: CorrelationEntry, parameters: Mapping[str, ParameterEntry]
) -> list[str]:
    """Pairs that the data cannot tell apart."""
    names, found = correlation.names, []
    for i, first in enumerate(names):
        for j in range(i):
            r = correlation.matrix[i][j]
            if abs(r) > STRONG_CORRELATION:
                pair = [label_of(n, parameters) for n in (names[j], first)]
                found.append(
                    f"{capital(listing(pair))} are strongly correlated "
                    f"(r = {f'{r:.2f}'.replace('-', '−')}): only their combination is well "
                    "constrained."
                )
    return found


def label_of(name: str, parameters: Mapping[str, ParameterEntry]) -> str:
    """The words for a parameter that need not be among `parameters`."""
    return parameter_label(name, parameters[name].long_name if name in parameters else "")


def inflation(parameters: Mapping[str, ParameterEntry]) -> tuple[float, float] | None:
    """Smallest and largest ratio of the reported to the naive standard deviation."""
    pairs = [(number(p.sd), number(p.sd_naive)) for p in parameters.values()]
    ratios = [sd / naive for sd, naive in pairs if math.isfinite(sd) and naive > 0]
    return (min(ratios), max(ratios)) if ratios else None


def residual_warnings(
    residuals: Mapping[str, ResidualEntry],
    parameters: Mapping[str, ParameterEntry],
    labels: Mapping[str, str],
) -> list[str]:
    """Autocorrelated residuals, and what they did to the error bars."""
    found = []
    lags = {s: number(r.lag1_autocorrelation) for s, r in residuals.items()}
    red = [
        f"{labels.get(s, s)} (lag-1 {lag:.2f})"
        for s, lag in lags.items()
        if lag > NOTABLE_AUTOCORRELATION
    ]
    if red:
        found.append(
            f"Residuals are autocorrelated in {listing(red)}: neighbouring errors repeat each "
            f"other, so the data hold less information than their number says. "
            f"{_what_happened_to_the_bars(inflation(parameters))}"
        )
    return found


def _what_happened_to_the_bars(ratios: tuple[float, float] | None) -> str:
    if ratios is None:
        return "There are no error bars to judge."
    low, high = (f"{ratio:.1f}" for ratio in ratios)
    if ratios[1] < 1.05:
        return "The error bars were not widened for this and are too narrow."
    factor = low if low == high else f"{low} to {high}"
    return f"The error bars were widened for this, to {factor} times the naive ones."

"""What an assimilation found, in sentences."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from caliche.commands.assimilate.summary import AssimilationSummary, Estimate, WindowEntry
from caliche.remarks import FEW, MANY, Remark
from caliche.variables import label
from caliche.wording import agree, number_of

# A ratio of chi-square to its degrees of freedom beyond which innovations are said to be too large.
TOO_LARGE = 2.0
TOO_SMALL = 0.5
# Standard deviations of the difference between first and last window that count as a change.
MOVED = 3.0
# A window that moves parameters further than so many standard deviations (root mean square).
FAR = 2.0


def sentences(summary: AssimilationSummary) -> tuple[str, ...]:
    """What was done, how well windows were forecast, and which parameters moved."""
    windows = summary.windows
    seen = [w for w in windows if w.observations]
    said = [
        f"{number_of(len(windows), 'window')} of {number_of(summary.window_days, 'day')} from "
        f"{windows[0].start.replace('T', ' ')} to {windows[-1].end.replace('T', ' ')} UTC, "
        f"{number_of(sum(w.observations for w in windows), 'observation')}; "
        f"{_forgetting(summary)}."
    ]
    for name, s in summary.streams.items():
        if s.forecast_rmse is None:
            continue
        ratio = s.chi_square_ratio
        unit = "" if s.unit == "1" else f" {s.unit}"
        text = (
            f"{_stream(name)}: a window ahead, with the parameters known before it, the error is "
            f"{s.forecast_rmse:.3g}{unit}; after the window is assimilated "
            f"{s.analysis_rmse:.3g}{unit}."
        )
        if ratio is not None:
            text += f" Innovations are {np.sqrt(ratio):.2g} times as large as declared errors and "
            text += "error bars of the parameters say."
        said.append(text)
    moved = []
    for name, p in summary.parameters.items():
        if len(seen) < 2:
            break
        first, last = (w.parameters[name] for w in (seen[0], seen[-1]))
        if _apart(first, last):
            unit = "" if p.unit == "1" else f" {p.unit}"
            moved.append(f"{_words(name)} from {first.estimate:.3g} to {last.estimate:.3g}{unit}")
    if moved:
        said.append(
            f"Between the first and the last window by more than {MOVED:g} standard deviations: "
            f"{'; '.join(moved)}."
        )
    return tuple(said)


def _forgetting(summary: AssimilationSummary) -> str:
    drift, forget = summary.drift, summary.forget
    if isinstance(drift, Mapping):
        each = ", ".join(f"{name.replace('_', ' ')} by {value:g}" for name, value in drift.items())
        return f"prior standard deviations of drift from window to window: {each}"
    if drift:
        return f"parameters drift by {drift:g} prior standard deviations from window to window"
    if forget > 1.0:
        return f"with each window, earlier observations count 1/{forget:g} of what they did"
    return (
        "parameters do not drift, so that the last window is, to first order, the estimate from "
        "the whole record"
    )


def _apart(first: Estimate, last: Estimate) -> bool:
    if first.sd is None or last.sd is None:
        return False
    width = np.hypot(first.sd, last.sd)
    return bool(np.isfinite(width) and abs(last.estimate - first.estimate) > MOVED * width)


def _words(name: str) -> str:
    text = name.replace("_", " ")
    return text[:1].upper() + text[1:]


def _stream(name: str) -> str:
    text = label(name)
    return text[:1].upper() + text[1:]


def remarks_of(summary: AssimilationSummary) -> list[Remark]:
    """What a careful reader should know."""
    found, windows = [], summary.windows
    lost = [w for w in windows if not w.converged]
    if lost:
        text = f"{_numbered(lost)} did not converge: {lost[0].reason}. What follows builds on it."
        found.append(Remark("windows", text, False))
    far = [w for w in windows if (w.shift or 0.0) > FAR]
    if far:
        most = max(far, key=lambda w: w.shift or 0.0)
        text = (
            f"{_numbered(far)} moved the parameters further than what was known before allows, "
            f"window {most.number} by {most.shift or 0.0:.2g} standard deviations (root mean "
            "square over the parameters). Windows contradict each other: parameters change "
            "(--drift), the model errs, or it is too curved for Gaussian posteriors (longer "
            "windows)."
        )
        found.append(Remark("contradicting-windows", text))
    blank = [w for w in windows if not w.observations]
    if blank:
        was = agree(len(blank), "was", "were")
        text = f"{_numbered(blank)} had no observations and {was} carried through."
        found.append(Remark("windows", text, False))
    for name in summary.parameters:
        held = [w for w in windows if w.parameters[name].at_bound]
        if held:
            text = (
                f"{_words(name)} ended at a bound in {_numbered(held).lower()}, and has no error "
                "bar there; what was known of it before is lost to the next window."
            )
            found.append(Remark("bound", text, True, (name,)))
    for name, s in summary.streams.items():
        ratio = s.chi_square_ratio
        if ratio is not None and ratio > TOO_LARGE:
            text = (
                f"{_stream(name)}: innovations have {ratio:.3g} times the variance that errors and "
                "parameters allow for. The error of the model is not in sigma: forecasts are worse "
                "than the error bars say, and the weight of a window is too large."
            )
            found.append(Remark("errors-too-small", text, ratio > MANY**2, (name,)))
        elif ratio is not None and ratio < TOO_SMALL:
            text = (
                f"{_stream(name)}: innovations have {ratio:.2g} times the variance that errors and "
                "parameters allow for: sigma is too large."
            )
            found.append(Remark("errors-too-large", text, ratio < FEW**2, (name,)))
    return found


def how_it_ended(summary: AssimilationSummary) -> str:
    """The beginning of the first line."""
    windows = summary.windows
    good = sum(w.converged for w in windows)
    return f"{good} of {number_of(len(windows), 'window')} converged"


def _numbered(windows: list[WindowEntry]) -> str:
    numbers = [str(w.number) for w in windows]
    if len(numbers) == 1:
        return f"Window {numbers[0]}"
    shown = numbers if len(numbers) <= 8 else [*numbers[:7], f"{len(numbers) - 7} others"]
    return f"Windows {', '.join(shown[:-1])} and {shown[-1]}"

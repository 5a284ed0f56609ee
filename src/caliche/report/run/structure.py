"""Structural error in the report and on the terminal: sentences, shares and bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from caliche.evaluation.structural_error import RegimeMeans, StreamStructure, of_series
from caliche.report import style
from caliche.report.limits import axis_limits, cut_note, drawable, set_limits
from caliche.report.numbers import pretty_unit
from caliche.report.plates import Plate
from caliche.report.run.folder import RunFolder, stream_label
from caliche.report.wording import capital

# Kinds of regimes, and what a column of their shares is called.
KINDS = {
    "all": "mean error",
    "hour": "hour",
    "month": "month",
    "wetness": "days since rain",
    "wind": "wind",
    "radiation": "radiation",
}
MOST_LABELS = 12


def structural_entries(run: RunFolder) -> dict[str, StreamStructure]:
    """By stream, what the run found; a run of an earlier version is looked at again, without what
    parameters could do."""
    kept = run.summary.structural_error
    if kept is not None:
        return dict(kept)
    prefix = "forcing_"
    weather = {
        str(name).removeprefix(prefix): run.series(str(name))
        for name in run.results.data_vars
        if str(name).startswith(prefix)
    }
    residuals = {stream.name: stream.residual for stream in run.streams}
    found = of_series(run.local_time, run.step, residuals, weather)
    return {name: entry for name, (_, entry) in found.items()}


def shares(entry: StreamStructure) -> list[str]:
    """The share of the misfit that each of `KINDS` explains, in per cent."""
    cells = []
    for kind in KINDS:
        found = entry.regimes.get(kind)
        if found is None:
            cells.append("")
            continue
        shown = found.real and found.share >= 0.005
        cells.append(f"{100.0 * found.share:.0f}" if shown else "-")
    return cells


def structure_content(run: RunFolder) -> dict[str, Any] | None:
    """What the section's template needs; None if the run says nothing of it."""
    entries = run.summary.structural_error
    if not entries:
        return None
    labels = {name: capital(stream_label(name)) for name in entries}
    fitted = {stream.name for stream in run.streams if stream.fitted}
    order = sorted(entries, key=lambda name: name not in fitted)
    return {
        "sentences": [
            entry.sentence.replace(f" {entry.unit} ", f" {pretty_unit(entry.unit)} ")
            for entry in (entries[name] for name in order)
        ],
        "kinds": [text for kind, text in KINDS.items() if _has(entries, kind)],
        "rows": [
            {
                "label": labels[name],
                "fitted": name in fitted,
                "shares": [
                    cell.replace("-", "–")
                    for cell, kind in zip(shares(entries[name]), KINDS, strict=True)
                    if _has(entries, kind)
                ],
            }
            for name in order
        ],
        "plates": [
            structure_plate(labels[name], entries[name], f"structure{k}", k == 0)
            for k, name in enumerate(n for n in order if entries[n].pattern is not None)
        ],
    }


def _has(entries: Mapping[str, StreamStructure], kind: str) -> bool:
    return any(kind in entry.regimes for entry in entries.values())


def structure_plate(label: str, entry: StreamStructure, key: str, explain: bool) -> Plate:
    """Mean residual over the classes of every regime, with its 95 % interval."""
    kinds = [kind for kind in KINDS if kind in entry.regimes and kind != "all"]
    figure = style.new_figure(2.4)
    widths = [max(4.0, min(len(_known(entry.regimes[k])), 24) ** 0.75) for k in kinds]
    axes = figure.subplots(1, len(kinds), squeeze=False, sharey=True, width_ratios=widths)[0]
    pattern = entry.pattern
    means, reaches = (
        np.concatenate(
            [
                [getattr(entry.regimes[kind], which)[k] for k in _known(entry.regimes[kind])]
                for kind in kinds
            ]
        )
        for which in ("mean", "se")
    )
    bars = means - 1.96 * reaches, means + 1.96 * reaches
    limits = axis_limits([np.zeros(1), means], bands=[bars], typical=True)
    for ax, kind in zip(axes, kinds, strict=True):
        found = entry.regimes[kind]
        _bars(
            ax,
            found,
            pattern.classes if pattern is not None and pattern.regimes == kind else (),
            limits,
        )
        ax.set_title(found.title, fontsize=8.5)
    unit = pretty_unit(entry.unit)
    axes[0].set_ylabel(f"model − obs. ({unit})" if unit else "model − obs.")
    caption = (
        "Mean of modelled minus observed by regime, over the whole record; lines are 95 % "
        "intervals that count days, not values. Orange: what the sentence above is about."
        if explain
        else "Mean of modelled minus observed by regime, as above."
    )
    return Plate(
        label,
        style.to_svg(figure, key, f"Mean residual of {label} by regime"),
        caption + cut_note(figure),
    )


def _known(found: RegimeMeans) -> list[int]:
    return [k for k, mean in enumerate(found.mean) if np.isfinite(mean)]


def _bars(ax, found: RegimeMeans, worst: Sequence[int], limits: tuple[float, float] | None) -> None:
    shown = _known(found)
    mean = np.array([found.mean[k] for k in shown])
    reach = 1.96 * np.array([found.se[k] for k in shown])
    colours = [style.FIRST_GUESS if k in worst else style.BAND for k in shown]
    at = np.arange(len(shown))
    ax.bar(at, mean, 0.8, color=colours)
    ends = mean - reach, mean + reach
    ax.vlines(at, *(drawable(end, limits) for end in ends), color=style.OBSERVED, lw=0.8)
    set_limits(ax, at, limits, ends)
    ax.axhline(0.0, color=style.MUTED, lw=0.7)
    every = max(1, -(-len(shown) // MOST_LABELS)) if len(shown) < 20 else 6
    texts = [found.labels[k][:3] if len(found.labels) == 12 else found.labels[k] for k in shown]
    tilted = len(shown) < 20 and max((len(text) for text in texts), default=0) > 2
    ax.set_xticks(at[::every], texts[::every], rotation=90 if tilted else 0, fontsize=7.5)

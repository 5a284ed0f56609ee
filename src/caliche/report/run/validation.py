"""What speaks for and against a run beyond its own fit: ranges, benchmarks, published models."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from caliche.data.published import STREAMS, urban_plumber
from caliche.errors import InputError
from caliche.evaluation.benchmarks import MODEL, Comparison, compare
from caliche.evaluation.plausibility import (
    RANGES,
    Judgement,
    Published,
    base_name,
    shared_materials,
)
from caliche.report.numbers import MISSING, plain, rounded, with_unit
from caliche.report.run.folder import RunFolder, stream_label
from caliche.report.wording import capital, counted, parameter_label
from caliche.runs.run_summary import RunSummary
from caliche.variables import variable
from caliche.wording import agree, listing

_WHAT = {
    "thermal_conductivity": "conductivity",
    "volumetric_heat_capacity": "heat capacity",
    "thermal_diffusivity": "diffusivity",
}


def validation(run: RunFolder) -> dict[str, Any]:
    """What the template needs of this module."""
    compared = comparisons(run)
    published, source = published_table(run), str(run.results.attrs.get("site", ""))
    return {
        "plausibility": plausibility_sentences(run.summary),
        "plausibility_sources": plausibility_sources(run.summary),
        "benchmarks": [_benchmark_table(c) for c in compared],
        "benchmark_caveat": benchmark_caveat(compared),
        "published": published,
        "published_site": source,
    }


# -- published ranges -----------------------------------------------------------------------


def plausibility_sentences(summary: RunSummary) -> list[str]:
    """One sentence for each property judged, and one on whether they fit one material."""
    judged = summary.plausibility
    sentences = [
        _range_sentence(name, entry, *_words_of(summary, name)) for name, entry in judged.items()
    ]
    for suffix, (materials, count) in shared_materials(judged).items():
        whole = [_WHAT[base_name(n)] for n in judged if n in {f"{b}{suffix}" for b in _WHAT}]
        if count < 2 or any(
            judged[n].verdict != "inside"
            for n in judged
            if base_name(n) in _WHAT and n.endswith(suffix)
        ):
            continue
        layer = f" of layer {suffix[1:]}" if suffix else ""
        if materials:
            sentences.append(f"Together, {listing(whole)}{layer} fit {_either(materials)}.")
        else:
            sentences.append(
                f"No one of these materials has this {listing(whole)}{layer} together: each is "
                "possible, their combination is not."
            )
    return sentences


def _range_sentence(name: str, entry: Judgement, long_name: str, unit: str) -> str:
    ranges = entry.published
    what, layer = capital(parameter_label(name, long_name)), name.removeprefix(base_name(name))
    if layer.startswith("_") and "layer" not in what:
        what += f", layer {layer[1:]}"
    value = with_unit(rounded(entry.value, 2), unit)
    if entry.verdict == "inside":
        others = [r.material for r in ranges[1:]]
        also = f", and also of {listing(others)}" if others else ", and of nothing else"
        return f"{what}, {value}, is inside the published range of {_range(ranges[0], unit)}{also}."
    low, high = min(r.low for r in ranges), max(r.high for r in ranges)
    widest = f"{plain(low, 3)} to {with_unit(plain(high, 3), unit)} at the widest"
    if entry.verdict == "reached":
        return (
            f"{what}, {value}, is outside every published range ({widest}), although its 95 % "
            "interval reaches into them."
        )
    return (
        f"{what}, {value}, is outside every published range ({widest}): the estimate compensates "
        "for something else."
    )


def _range(published: Published, unit: str) -> str:
    low, high = plain(published.low, 3), plain(published.high, 3)
    return f"{published.material} ({low} to {with_unit(high, unit)})"


def _either(materials: set[str]) -> str:
    names = sorted(materials)
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _words_of(summary: RunSummary, name: str) -> tuple[str, str]:
    """Long name and unit of a parameter or a derived property."""
    entry = summary.parameters.get(name) or summary.derived.get(name)
    return ("", "") if entry is None else (entry.long_name, entry.unit)


def plausibility_sources(summary: RunSummary) -> str:
    """The works behind the ranges that were used, without the numbers of their tables."""
    names = {base_name(name) for name in summary.plausibility}
    sources = {r.source for name in names for r in RANGES.get(name, [])}
    works = {part.rpartition(", table ")[0] for text in sources for part in text.split("; ")}
    return "; ".join(sorted(works))


# -- benchmarks -----------------------------------------------------------------------------


def comparisons(run: RunFolder) -> list[Comparison]:
    """Fluxes beside their benchmarks; none where the run has no forcing, flux or hold-out."""
    try:
        return [c for c in compare(run.results) if c.holdout and c.scores[MODEL].n > 1]
    except InputError:
        return []


def verdict(comparison: Comparison) -> str:
    """`beats 1lin; loses to 3lin and 3km27`."""
    parts = [("beats", comparison.beaten), ("loses to", comparison.lost_to)]
    said = "; ".join(f"{verb} {listing(names)}" for verb, names in parts if names)
    return said or "no benchmark to compare with"


def benchmark_notes(comparison: Comparison) -> list[str]:
    """What keeps a benchmark from being there, or from being the standard one."""
    return [
        f"{name}: {note}." if name in comparison.scores else f"{name} is missing: {note}."
        for name, note in comparison.notes.items()
    ]


def benchmark_caveat(compared: list[Comparison]) -> str:
    """What the benchmarks knew that the model did not."""
    if all(c.fitted for c in compared):
        return ""
    unless = ", unless marked as fitted" if any(c.fitted for c in compared) else ""
    return (
        "The benchmarks were fitted to each of these fluxes as measured in the fitted period; the "
        f"model was not{unless}. So they know more of the flux than the model does."
    )


def _benchmark_table(comparison: Comparison) -> dict[str, Any]:
    return {
        "title": capital(stream_label(comparison.stream)),
        "verdict": verdict(comparison),
        "steps": comparison.scores[MODEL].n,
        "training": counted(comparison.n_training, "measured step"),
        "fitted": comparison.fitted,
        "notes": benchmark_notes(comparison),
        "rows": [
            {
                "name": name,
                "n": s.n,
                "errors": [rounded(value) for value in (s.rmse, s.mae, s.bias)],
                "shares": [
                    _hundredths(value)
                    for value in (s.r, s.nse, s.kge_2012, s.overlap, comparison.normalised[name])
                ],
            }
            for name, s in comparison.scores.items()
        ],
    }


def _hundredths(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return MISSING
    return f"{value:.2f}".replace("-", "−")


# -- published models -----------------------------------------------------------------------


def published_table(run: RunFolder) -> dict[str, Any]:
    """Urban-PLUMBER's models at this site and this run beside them; empty at other sites."""
    models = urban_plumber(str(run.results.attrs.get("site", "")))
    held = run.summary.holdout
    scores = held or run.summary.fit
    ours = {
        stream: (scores[stream].mae, scores[stream].rmse)
        for stream in STREAMS.values()
        if stream in scores and scores[stream].mae is not None
    }
    if not models or not ours:
        return {}
    when = "hold-out" if held else "fit"
    used = run.holdout if held else ~run.holdout
    days = float(used.sum() * run.step / np.timedelta64(1, "D"))
    rows = {f"this run ({when})": ours, **models}
    return {
        "streams": [f"{column}, {'K' if column == 'SoilTemp' else 'W m⁻²'}" for column in STREAMS],
        "rows": [
            {"name": name, "cells": [_pair(s, errors.get(s)) for s in STREAMS.values()]}
            for name, errors in rows.items()
        ],
        "fitted": listing(stream_label(s) for s in ours if scores[s].fitted),
        "days": f"{plain(days, 2)} {agree(days, 'day', 'days')}",
    }


def _pair(stream: str, errors: tuple[float | None, float | None] | None) -> str:
    """Both errors with the decimals that were published: 0.1 W m-2, 0.01 K."""
    if errors is None:
        return MISSING
    decimals = 2 if variable(stream).unit == "K" else 1
    return " / ".join(MISSING if e is None else f"{e:.{decimals}f}" for e in errors)

"""The tables of a screening: a function of the content of summary.json."""

from __future__ import annotations

import math

from caliche.commands.screen.summary import Effect, Kind, OutputEntry, ScreeningSummary, Triple
from caliche.report.numbers import MISSING, rounded, with_unit

SOBOL = "sobol"
OF: dict[Kind, str] = {
    "course": "over time",
    "cycle": "by hour",
    "rmse": "of RMSE",
    "mean": "of mean",
}


def ordered(summary: ScreeningSummary, stream: str) -> list[str]:
    """Parameters of a stream, those with the largest effects over time first."""
    outputs = summary.streams[stream].outputs
    first = outputs.get("course") or next(iter(outputs.values()))
    shares = {
        name: 0.0 if math.isnan(entry.share) else entry.share
        for name, entry in first.parameters.items()
    }
    return sorted(shares, key=lambda name: -shares[name])


def stream_table(summary: ScreeningSummary, stream: str) -> tuple[str, list[str], list[list[str]]]:
    """Title, header and rows for a stream."""
    entry = summary.streams[stream]
    outputs, sobol = entry.outputs, summary.method == SOBOL
    sds = [
        f"{OF[kind]} {with_unit(rounded(outputs[kind].sd, 2), entry.unit)}"
        for kind in OF
        if kind in ("course", "mean") and kind in outputs
    ]
    title = f"{stream}{'' if entry.fitted else ' (not fitted)'}, sd {', '.join(sds)}"
    header = ["parameter"]
    cells: list[list[str]] = []
    names = ordered(summary, stream)
    if sobol:
        _column(header, cells, "S1 over time", outputs["course"], names, "S1")
        for kind, output in outputs.items():
            _column(header, cells, f"ST {OF[kind]}", output, names, "ST")
    else:
        shares: tuple[Kind, ...] = ("course", "cycle", "rmse")
        for kind in shares:
            if kind in outputs:
                header.append(f"share {OF[kind]}")
                found = outputs[kind].parameters
                cells.append([_percent(found[name].share) for name in names])
        _column(header, cells, f"mu* of mean, {entry.unit}", outputs["mean"], names, "mu_star")
        header.append("sigma/mu*")
        cells.append([_ratio(outputs["mean"].parameters[name]) for name in names])
    marks = ["" if name in summary.kept else "fixed" for name in names]
    header.append("reduced")
    return title, header, [list(row) for row in zip(names, *cells, marks, strict=True)]


def _column(
    header: list[str],
    cells: list[list[str]],
    title: str,
    output: OutputEntry,
    names: list[str],
    index: str,
) -> None:
    header.append(title)
    decimals = index != "mu_star"
    cells.append([_interval(getattr(output.parameters[name], index), decimals) for name in names])


def _interval(numbers: Triple | None, decimals: bool) -> str:
    if numbers is None:
        return MISSING
    value, low, high = numbers
    if decimals:
        value, low, high = (0.0 if abs(x) < 0.005 else x for x in (value, low, high))
        return f"{value:.2f} ({low:.2f}, {high:.2f})".replace("-", "−")
    return f"{rounded(value, 2)} ({rounded(low, 2)}, {rounded(high, 2)})"


def _percent(share: float) -> str:
    if math.isnan(share):
        return MISSING
    if share < 0.0005:
        return "under 0.1 %" if share > 0.0 else "0 %"
    return f"{100 * share:.0f} %" if share >= 0.095 else f"{100 * share:.1f} %"


def _ratio(entry: Effect) -> str:
    if not entry.sigma or not entry.mu_star or not entry.mu_star[0]:
        return MISSING
    return f"{entry.sigma[0] / entry.mu_star[0]:.2f}"

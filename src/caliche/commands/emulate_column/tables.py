"""The tables of an emulated column: functions of the content of summary.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from caliche.report.numbers import rounded

Table = tuple[list[str], list[list[str]]]


def drift_table(summary: Mapping[str, Any]) -> Table:
    """Errors of long runs by state, and its spread."""
    drift = summary["drift"]
    header = ["state", *(f"after {d} d" for d in drift["days"]), "spread", "unit"]
    rows = [
        [name, *(_cell(errors[k]) for errors in drift["errors"]), _cell(drift["spread"][k]), unit]
        for k, (name, unit) in enumerate(zip(summary["states"], summary["units"], strict=True))
    ]
    return header, rows


def step_table(summary: Mapping[str, Any]) -> Table:
    """Errors of single steps by output."""
    rows = [
        [name, "increment" if name in summary["states"] else "flux", _cell(_times(value))]
        for name, value in summary["one_step"].items()
    ]
    return ["output", "", "error (% of sd)"], rows


def cost_table(summary: Mapping[str, Any]) -> Table:
    """Time of a step, beside the exact column."""
    c = summary["costs"]
    return (
        ["processor time of a step and column (µs)", "alone", f"in a batch of {c['columns']}"],
        [
            ["network", _cell(c["single"]), _cell(c["batch"])],
            ["exact column", _cell(c["exact_single"]), _cell(c["exact_batch"])],
        ],
    )


def seed_table(summary: Mapping[str, Any]) -> Table:
    """The networks that were trained; the one with the lowest loss is kept."""
    rows = [
        [
            f"{s['seed']}{' (kept)' if s['seed'] == summary['seed'] else ''}",
            str(s["epochs"]),
            str(s["best_epoch"]),
            _cell(s["loss"]),
        ]
        for s in summary["seeds"]
    ]
    return ["seed", "epochs", "best", "held-out loss"], rows


def _times(value: float | None) -> float | None:
    return None if value is None else 100.0 * value


def _cell(value: float | None) -> str:
    return "–" if value is None else rounded(value)

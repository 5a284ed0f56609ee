"""The tables of an emulation: functions of the content of summary.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from caliche.report.numbers import rounded

Table = tuple[list[str], list[list[str]]]


def cost_table(summary: Mapping[str, Any]) -> Table:
    """What a run, a run with slopes and a prediction cost."""
    ms, seconds = summary["milliseconds"], summary["seconds"]
    learned, held = summary["runs"], summary["held_out"]
    rows = [["run of the model", _ms(ms["run"]), f"{learned + held}", _s(seconds["model"])]]
    for mode, words in (("forward", "slopes, forward tangents"), ("reverse", "slopes, reverse")):
        if ms[mode] is not None:
            used = summary["slopes"] and summary["mode"] == mode
            row = [words, _ms(ms[mode]), f"{learned}" if used else "–"]
            rows.append([*row, _s(seconds["slopes"]) if used else "–"])
    rows.append(["fit and checks", "–", "–", _s(seconds["fit"])])
    rows.append(["prediction", _ms(ms["prediction"]), "–", "–"])
    return ["", "each (ms)", "number", "together (s)"], rows


def output_table(summary: Mapping[str, Any]) -> Table:
    """How each output did."""
    rows = []
    for name, entry in summary["outputs"].items():
        rows.append(
            [
                name,
                "passed" if entry["passed"] else "refused",
                rounded(100.0 * entry["relative_error"]),
                f"{100 * entry['held'][1]:.0f}",
                rounded(entry["distance"]),
                rounded(entry["highest"]),
                rounded(entry["left_out"]),
            ]
        )
    header = ["output", "", "error (% of spread)", "in 90 % bands (%)"]
    return [*header, "distance", "its limit", "left out, z²"], rows


def _ms(value: float | None) -> str:
    return rounded(value)


def _s(value: float) -> str:
    return rounded(value)

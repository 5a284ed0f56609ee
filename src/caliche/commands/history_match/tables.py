"""The tables of history matching: functions of the content of summary.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from caliche.commands.history_match.words import NARROWED, share_words, width
from caliche.report.numbers import MISSING, plain, with_unit

Table = tuple[list[str], list[list[str]]]


def ranges_table(summary: Mapping[str, Any]) -> Table:
    """Ranges before and after."""
    rows = []
    for name, entry in summary["parameters"].items():
        left = width(entry)
        after = MISSING if summary["empty"] else _ends(entry["after"], entry["unit"])
        kept = MISSING if summary["empty"] else f"{100.0 * left:.0f} %"
        told = "" if left <= NARROWED else "not narrowed"
        rows.append([name, _ends(entry["before"], entry["unit"]), after, kept, told])
    return ["parameter", "range before", "range after", "width kept", ""], rows


def _ends(ends: list[float], unit: str) -> str:
    return with_unit(f"{plain(ends[0], 3)} to {plain(ends[1], 3)}", unit)


def metrics_table(summary: Mapping[str, Any]) -> Table:
    """Targets with their errors and discrepancies, and what each removes."""
    rows = []
    for name, entry in summary["metrics"].items():
        rows.append(
            [
                name,
                with_unit(plain(entry["target"], 4), entry["unit"]),
                plain(entry["error"], 2),
                plain(entry["naive"], 2) if entry.get("naive") is not None else MISSING,
                plain(entry["discrepancy"], 2),
                _percent(entry["removed_alone"]),
                _percent(entry["removed_added"]),
            ]
        )
    header = [
        "metric",
        "target",
        "error",
        "if independent",
        "discrepancy",
        "removes alone",
        "in addition",
    ]
    return header, rows


def _percent(share: float) -> str:
    return "0 %" if share <= 0.0 else f"{plain(100.0 * share, 3)} %"


def waves_table(summary: Mapping[str, Any]) -> Table:
    """Wave by wave."""
    rows = [
        [
            str(wave["number"]),
            f"{wave['runs']:,}" + (" with slopes" if wave["slopes"] else ""),
            str(wave["failed"]),
            share_words(wave["fraction"], wave["error"]),
            plain(wave["emulator_share"], 2),
        ]
        for wave in summary["waves"]
    ]
    return ["wave", "runs", "failed", "left of the ranges", "emulator sd"], rows


def factors_table(summary: Mapping[str, Any]) -> Table:
    """What is left with other discrepancies."""
    rows = [
        [
            f"{entry['factor']:g}",
            ("under " if entry["bound"] else "") + share_words(entry["fraction"], entry["error"]),
        ]
        for entry in summary["by_factor"]
    ]
    return ["times the discrepancy", "left of the ranges"], rows


def audit_table(summary: Mapping[str, Any]) -> Table | None:
    """The audit; None without one."""
    audit = summary["audit"]
    if audit is None:
        return None
    lost = audit["lowest_lost"]
    rows = [
        ["direct runs of what was ruled out", f"{audit['excluded']:,}"],
        ["direct runs of what was kept", f"{audit['kept']:,}"],
        ["of what the model keeps, ruled out", _percent(audit["wrongly_excluded"])],
        ["of what was kept, the model rules out", _percent(audit["wrongly_kept"])],
        ["lowest exact implausibility lost", MISSING if lost is None else plain(lost, 3)],
    ]
    return ["audit", ""], rows


def conflict_table(summary: Mapping[str, Any]) -> Table | None:
    """Where nothing is left: the best of each metric, and the discrepancy that would do."""
    conflict = summary["conflict"]
    if conflict is None:
        return None
    needed = conflict["discrepancy"] or {}
    rows = [
        [name, plain(least, 3), plain(needed[name], 2) if name in needed else MISSING]
        for name, least in conflict["least"].items()
    ]
    return ["metric", "lowest implausibility alone", "discrepancy that would reconcile all"], rows

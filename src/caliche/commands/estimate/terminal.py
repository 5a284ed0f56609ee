"""The outcome of a calibration on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from caliche.names import without_knot
from caliche.report.numbers import plain, value_and_sd
from caliche.terminal.tables import print_headline, print_notes, print_scores, print_table
from caliche.wording import number_of

MOST_KNOTS = 8  # of one parameter that get rows of their own


def print_summary(summary: Mapping[str, Any]) -> None:
    """The outcome first, then parameters, scores and warnings."""
    print_headline(summary)
    remarks = summary["verdict"]["remarks"]
    idle = {name for r in remarks if r["kind"] == "no-effect" for name in r["about"]}
    loose = {name for r in remarks if r["kind"] == "unconstrained" for name in r["about"]}
    known = any(p.get("truth") is not None for p in summary["parameters"].values())  # a twin
    rows = []
    for name, p in _few_knots(summary["parameters"]).items():
        if "knots" in p:
            row = [
                name,
                p["range"],
                f"{number_of(p['knots'], 'knot')}",
                plain(p["initial"]),
                p["unit"],
            ]
        elif p["fixed"] and p["sd"] is None:
            row = [name, plain(p["estimate"]), p.get("tied") or "fixed", "", p["unit"]]
        elif p["fixed"]:
            row = [name, value_and_sd(p["estimate"], p["sd"]), p["tied"], "", p["unit"]]
        else:
            low, high = (plain(v) for v in p["interval95"])
            estimate = value_and_sd(p["estimate"], p["sd"])
            if p.get("at_bound"):
                estimate = f"{estimate} (at its bound)"
            elif name in idle:
                estimate, low, high = "no estimate: no effect", "", ""
            elif name in loose:
                estimate = f"{estimate} (not constrained)"
            span = f"{low} to {high}" if low else ""
            row = [name, estimate, span, plain(p["initial"]), p["unit"]]
        truth = "" if p.get("truth") is None else plain(p["truth"])
        rows.append([*row[:2], truth, *row[2:]] if known else row)
    header = ["parameter", "estimate ± sd", "95 % interval", "first guess", "unit"]
    if known:
        header.insert(2, "truth")
    print_table(header, rows, drop=["first guess", "95 % interval"])
    print_scores("\nFit:", summary["fit"])
    if summary["holdout"]:
        print_scores("\nHold-out:", summary["holdout"])
    if summary.get("cost", {}).get("observations"):
        print(f"\n{cost_words(summary['cost'])}")
    print_notes(summary["warnings"])


def cost_words(cost: Mapping[str, Any]) -> str:
    """The cost at the estimate and its terms, in a line."""
    terms = {**cost["observations"], "prior": cost["prior"]}
    parts = ", ".join(f"{name} {value:.4g}" for name, value in terms.items())
    return f"Misfit J = {sum(terms.values()):.5g}: {parts}"


def _few_knots(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters, with one row in place of the knots of one that has many."""
    groups: dict[str, list[Any]] = {}
    for name, p in parameters.items():
        if p.get("knot") is not None:
            groups.setdefault(without_knot(name), []).append(p)
    rows: dict[str, Any] = {}
    for name, p in parameters.items():
        parent = without_knot(name)
        group = groups.get(parent, []) if p.get("knot") is not None else []
        if len(group) <= MOST_KNOTS:
            rows[name] = p
        elif parent not in rows:
            values = [q["estimate"] for q in group]
            text = f"{plain(min(values), 3)} to {plain(max(values), 3)}"
            rows[parent] = {**p, "knots": len(group), "range": text, "truth": None}
    return rows

"""The outcome of a calibration on the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from caliche.names import without_knot
from caliche.report.numbers import plain, value_and_sd
from caliche.runs.run_summary import CostEntry, ParameterEntry, RunSummary
from caliche.terminal.tables import print_headline, print_notes, print_scores, print_table
from caliche.wording import number_of

MOST_KNOTS = 8  # of one parameter that get rows of their own


def print_summary(summary: RunSummary) -> None:
    """The outcome first, then parameters, scores and warnings."""
    print_headline(summary.title, "" if summary.verdict is None else summary.verdict.headline)
    idle = {name for r in summary.remarks if r.kind == "no-effect" for name in r.about}
    loose = {name for r in summary.remarks if r.kind == "unconstrained" for name in r.about}
    known = any(p.truth is not None for p in summary.parameters.values())  # a twin
    rows = []
    for name, group in _few_knots(summary.parameters).items():
        p = group[0]
        if len(group) > 1:
            values = [q.estimate for q in group]
            span = f"{plain(min(values), 3)} to {plain(max(values), 3)}"
            row = [name, span, number_of(len(group), "knot"), plain(p.initial), p.unit]
        elif p.fixed and p.sd is None:
            row = [name, plain(p.estimate), p.tied or "fixed", "", p.unit]
        elif p.fixed:
            row = [name, value_and_sd(p.estimate, p.sd), p.tied, "", p.unit]
        else:
            low, high = (plain(v) for v in p.interval95 or (None, None))
            estimate = value_and_sd(p.estimate, p.sd)
            if p.at_bound:
                estimate = f"{estimate} (at its bound)"
            elif name in idle:
                estimate, low, high = "no estimate: no effect", "", ""
            elif name in loose:
                estimate = f"{estimate} (not constrained)"
            span = f"{low} to {high}" if low else ""
            row = [name, estimate, span, plain(p.initial), p.unit]
        truth = "" if p.truth is None or len(group) > 1 else plain(p.truth)
        rows.append([*row[:2], truth, *row[2:]] if known else row)
    header = ["parameter", "estimate ± sd", "95 % interval", "first guess", "unit"]
    if known:
        header.insert(2, "truth")
    print_table(header, rows, drop=["first guess", "95 % interval"])
    print_scores("\nFit:", summary.fit)
    if summary.holdout:
        print_scores("\nHold-out:", summary.holdout)
    if summary.cost is not None and summary.cost.observations:
        print(f"\n{cost_words(summary.cost)}")
    print_notes(summary.warnings)


def cost_words(cost: CostEntry) -> str:
    """The cost at the estimate and its terms, in a line."""
    terms = {**cost.observations, "prior": cost.prior}
    parts = ", ".join(f"{name} {value:.4g}" for name, value in terms.items())
    return f"Misfit J = {sum(terms.values()):.5g}: {parts}"


def _few_knots(parameters: Mapping[str, ParameterEntry]) -> dict[str, list[ParameterEntry]]:
    """The parameters, each alone, with one row in place of the knots of one that has many."""
    groups: dict[str, list[ParameterEntry]] = {}
    for name, p in parameters.items():
        if p.knot is not None:
            groups.setdefault(without_knot(name), []).append(p)
    rows: dict[str, list[ParameterEntry]] = {}
    for name, p in parameters.items():
        parent = without_knot(name)
        group = groups.get(parent, []) if p.knot is not None else []
        if len(group) <= MOST_KNOTS:
            rows[name] = [p]
        else:
            rows[parent] = group
    return rows

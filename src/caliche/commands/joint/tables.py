"""Rows of a joint calibration, for the terminal and the page."""

from __future__ import annotations

from typing import Literal

from caliche.commands.joint.summary import JointSummary
from caliche.names import site_of, without_site
from caliche.report.numbers import interval, number, rounded, value_and_sd
from caliche.variables import label

WINDOW = {"hold-out": "held out", "fit": "fitted"}


def value_rows(summary: JointSummary) -> tuple[list[str], list[list[str]]]:
    """Each joint parameter: where it holds, its value, interval, prior and unit."""
    header = ["parameter", "where", "estimate ± sd", "95 % interval", "prior", "unit"]
    rows = []
    for name, p in summary.parameters.items():
        where = site_of(name)
        value, sd = number(p.estimate), number(p.sd)
        rows.append(
            [
                without_site(name),
                where or "all sites",
                value_and_sd(value, sd),
                interval(p.interval95, sd, value),
                p.prior,
                p.unit,
            ]
        )
    return header, rows


def score_rows(
    summary: JointSummary, key: Literal["rmse", "nse"] = "rmse"
) -> tuple[list[str], list[list[str]]]:
    """Each site and fitted stream: a score under every calibration, in the hold-out if there is
    one."""
    kinds = list(summary.scores)
    header = ["site", "stream", "window", *kinds]
    rows = []
    for site in summary.sites:
        for stream, entry in summary.scores[kinds[0]][site].items():
            if not entry.fitted:
                continue
            window = entry.window
            found = [summary.scores[kind][site][stream].inside(window) for kind in kinds]
            cells = [rounded(number(getattr(one, key))) for one in found]
            rows.append([site, label(stream), WINDOW[window], *cells])
    return header, rows

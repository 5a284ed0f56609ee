"""What a joint calibration says, in sentences, from its summary."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from caliche.commands.joint.summary import FITTED, HELD_OUT, Calibration, JointSummary, Window
from caliche.variables import label
from caliche.wording import listing, number_of

# Spreads below this are close to one value; above the other, sites tell little of each other.
CLOSE, APART = 0.15, 0.8
WORSE = 1.15  # ratio of RMSE from which a site is said to be badly served


def sentences(summary: JointSummary) -> list[str]:
    """The main findings, the most important first."""
    return [
        s for s in (_count(summary), *_losses(summary), _worst(summary), *_spreads(summary)) if s
    ]


def ratios(
    summary: JointSummary, kind: Calibration, window: Window
) -> dict[tuple[str, str], float]:
    """RMSE of each fitted (site, stream) over that of the site's own calibration.

    window : `hold-out` or `fit`; a site without a hold-out is not in the former.
    """
    found = {}
    for site, streams in summary.scores.get(kind, {}).items():
        for name, entry in streams.items():
            mine, own = entry.inside(window), summary.scores["by itself"][site][name].inside(window)
            if not entry.fitted or mine is None or own is None or not own.rmse:
                continue
            if mine.rmse is not None:
                found[site, name] = mine.rmse / own.rmse
    return found


def _count(summary: JointSummary) -> str:
    n, sites = len(summary.parameters), summary.sites
    alone = sum(len(site.by_itself) for site in sites.values())
    own_cost = sum(site.cost for site in sites.values())
    more = summary.cost.total - own_cost
    return (
        f"{number_of(len(sites), 'site')}, {number_of(n, 'parameter')} in place of {alone}: J is "
        f"{summary.cost.total:.5g} together, {own_cost:.5g} as the sum of the sites by "
        f"themselves, so that sharing raises it by {more:.3g}."
    )


def _losses(summary: JointSummary) -> Iterator[str]:
    windows: dict[Window, str] = {FITTED: "in the fitted windows", HELD_OUT: "held out in time"}
    kinds: dict[Calibration, str] = {
        "together": "calibrated together",
        "left out": "left out of the calibration",
        "first guess": "with the first guess",
    }
    for window, when in windows.items():
        parts = []
        for kind, words in kinds.items():
            values = list(ratios(summary, kind, window).values())
            if values:
                change = 100.0 * (np.exp(np.mean(np.log(values))) - 1.0)
                text = f"{change:+.0f}" if abs(change) >= 0.5 else "0"
                parts.append(f"{text} % {words}".replace("-", "−"))
        if parts:
            yield f"RMSE against each site's own calibration, {when}: {listing(parts)}."


def _worst(summary: JointSummary) -> str:
    found = ratios(summary, "left out", HELD_OUT) or ratios(summary, "left out", FITTED)
    if not found:
        return ""
    (site, stream), ratio = max(found.items(), key=lambda item: item[1])
    if ratio < WORSE:
        return (
            "No site is badly served by what the others say: the largest loss is "
            f"{100.0 * (ratio - 1.0):.0f} % ({label(stream)} at {site})."
        )
    return (
        f"What the others say serves {site} worst: the RMSE of its {label(stream)} is "
        f"{ratio:.1f} times that of its own calibration."
    )


def _spreads(summary: JointSummary) -> Iterator[str]:
    for name, how in summary.share.items():
        spread = how.spread
        if spread is None:
            continue
        found = "is found to be" if how.estimated else "is set to"
        words = name.replace("_", " ")
        text = f"The spread of {words} between sites {found} {spread:.2f} of its prior's"
        if not how.estimated:
            yield f"{text}."
        elif spread < CLOSE:
            yield f"{text}: one value would nearly do."
        elif spread > APART:
            yield f"{text}: the values do not carry over from one site to another."
        else:
            yield f"{text}: the other sites help to predict a new one."

"""What a joint calibration says, in sentences, from its summary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from caliche.variables import label
from caliche.wording import listing, number_of

# Spreads below this are close to one value; above the other, sites tell little of each other.
CLOSE, APART = 0.15, 0.8
WORSE = 1.15  # ratio of RMSE from which a site is said to be badly served


def sentences(summary: Mapping[str, Any]) -> list[str]:
    """The main findings, the most important first."""
    return [
        s for s in (_count(summary), *_losses(summary), _worst(summary), *_spreads(summary)) if s
    ]


def ratios(summary: Mapping[str, Any], kind: str, window: str) -> dict[tuple[str, str], float]:
    """RMSE of each fitted (site, stream) over that of the site's own calibration.

    window : `hold-out` or `fit`; a site without a hold-out is not in the former.
    """
    found = {}
    for site, streams in summary["scores"].get(kind, {}).items():
        for name, entry in streams.items():
            own = summary["scores"]["by itself"][site][name]
            if not entry["fitted"] or not entry[window] or not own[window]["rmse"]:
                continue
            if entry[window]["rmse"] is not None:
                found[site, name] = entry[window]["rmse"] / own[window]["rmse"]
    return found


def _count(summary: Mapping[str, Any]) -> str:
    n, sites = len(summary["parameters"]), summary["sites"]
    alone = sum(len(site["by_itself"]) for site in sites.values())
    own_cost = sum(site["cost"] for site in sites.values())
    more = summary["cost"]["total"] - own_cost
    return (
        f"{number_of(len(sites), 'site')}, {number_of(n, 'parameter')} in place of {alone}: J is "
        f"{summary['cost']['total']:.5g} together, {own_cost:.5g} as the sum of the sites by "
        f"themselves, so that sharing raises it by {more:.3g}."
    )


def _losses(summary: Mapping[str, Any]) -> Iterator[str]:
    for window, when in (("fit", "in the fitted windows"), ("hold-out", "held out in time")):
        parts = []
        for kind, words in (
            ("together", "calibrated together"),
            ("left out", "left out of the calibration"),
            ("first guess", "with the first guess"),
        ):
            values = list(ratios(summary, kind, window).values())
            if values:
                change = 100.0 * (np.exp(np.mean(np.log(values))) - 1.0)
                text = f"{change:+.0f}" if abs(change) >= 0.5 else "0"
                parts.append(f"{text} % {words}".replace("-", "−"))
        if parts:
            yield f"RMSE against each site's own calibration, {when}: {listing(parts)}."


def _worst(summary: Mapping[str, Any]) -> str:
    found = ratios(summary, "left out", "hold-out") or ratios(summary, "left out", "fit")
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


def _transfer(summary: Mapping[str, Any]) -> str:
    """Whether the first guess would have served a site that was left out as well."""
    window = "hold-out" if ratios(summary, "left out", "hold-out") else "fit"
    left, guess = (ratios(summary, kind, window) for kind in ("left out", "first guess"))
    if not left or np.mean(np.log(list(left.values()))) < np.mean(np.log(list(guess.values()))):
        return ""
    return (
        "On average the first guess would have served a site that was left out better than what "
        "the others say: the values do not carry over from one of these sites to another."
    )


def _spreads(summary: Mapping[str, Any]) -> Iterator[str]:
    for name, how in summary["share"].items():
        spread = how["spread"]
        if spread is None:
            continue
        found = "is found to be" if how["estimated"] else "is set to"
        words = name.replace("_", " ")
        text = f"The spread of {words} between sites {found} {spread:.2f} of its prior's"
        if not how["estimated"]:
            yield f"{text}."
        elif spread < CLOSE:
            yield f"{text}: one value would nearly do."
        elif spread > APART:
            yield f"{text}: the values do not carry over from one site to another."
        else:
            yield f"{text}: the other sites help to predict a new one."

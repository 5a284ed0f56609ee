"""What history matching found, in sentences. They work on the content of summary.json alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from caliche.report.numbers import plain, rounded, with_unit
from caliche.wording import agree, listing, number_of

# A range that keeps so much of its width is not narrowed.
NARROWED = 0.9
# The volume changes by more than this between half and twice the discrepancy: it decides.
DECIDES = 3.0
LEAST_LOST = 2.5  # exact implausibility below which nothing should be lost
FEW = 4  # parameters in the first sentence
# Emulator sd over the other uncertainty, above which emulators still hide something.
LARGE_SHARE = 0.5


def share_words(fraction: float, error: float | None = None) -> str:
    """A share of the ranges: 3.7 % (± 0.1), 2.4 × 10⁻⁶ (± 10 %)."""
    known = error is not None and math.isfinite(error) and error > 0.0
    if fraction >= 1e-4:
        text = f"{rounded(100.0 * fraction, 2)} %"
        return f"{text} (± {rounded(100.0 * error, 1)})" if known and error else text
    text = rounded(fraction, 2)
    return f"{text} (± {rounded(100.0 * error / fraction, 1)} %)" if known and error else text


def verdict(summary: Mapping[str, Any]) -> str:
    """The one sentence."""
    if summary["empty"]:
        return _nothing_left(summary)
    parts = [
        f"{share_words(summary['fraction'], summary['fraction_error'])} of the ranges is left"
        + (f", in {len(summary['regions'])} separate regions" if _apart(summary) else "")
    ]
    metrics = summary["metrics"]
    most = max(metrics, key=lambda name: metrics[name]["removed_alone"])
    if metrics[most]["removed_alone"] > 0.0:
        parts.append(
            f"{plain(100.0 * metrics[most]['removed_alone'], 3)} % is removed by {most} alone"
        )
    narrowed = sorted(
        (width(entry), name)
        for name, entry in summary["parameters"].items()
        if width(entry) <= NARROWED
    )
    parts += [f"{name} {_range(summary['parameters'][name])}" for _, name in narrowed[:FEW]]
    same = [name for name, e in summary["parameters"].items() if width(e) > NARROWED]
    if same:
        parts.append(f"{listing(same)} not narrowed")
    if summary["audit"]:
        parts.append(audit_words(summary["audit"]))
    return "; ".join(parts) + "."


def _apart(summary: Mapping[str, Any]) -> bool:
    return len(summary["regions"]) > 1


def width(entry: Mapping[str, Any]) -> float:
    """Share of its range that a parameter keeps; 0 where nothing is left."""
    low, high = entry["place"]
    return 0.0 if low is None or math.isnan(low) else high - low


def _range(entry: Mapping[str, Any]) -> str:
    low, high = entry["after"]
    return with_unit(f"{plain(low, 3)} to {plain(high, 3)}", entry["unit"])


def _nothing_left(summary: Mapping[str, Any]) -> str:
    cutoff = plain(summary["cutoff"], 3)
    if summary["isolated"]:
        return (
            f"Less than {share_words(summary['fraction'])} of the ranges is left: descent found "
            "points that match all metrics, and the search met none."
        )
    text = f"No values of the parameters match all metrics to within {cutoff} standard deviations."
    conflict = summary["conflict"]
    if conflict is None:
        return text
    if conflict["alone"]:
        least = [f"{n} ({plain(conflict['least'][n], 3)} at best)" for n in conflict["alone"]]
        text += f" {listing(least)} cannot be matched at all."
    if conflict["pairs"]:
        first, second, worst = conflict["pairs"][0]
        text += (
            f" {first} and {second} exclude each other: where one is matched best, the other is "
            f"not (the larger implausibility of the two is {plain(worst, 3)} at best)."
        )
    elif not conflict["alone"]:
        text += " Each pair of metrics can be matched, but not all together."
    if conflict["factor"] is not None:
        text += (
            f" Discrepancies {plain(conflict['factor'], 3)} times as large would reconcile them."
        )
    return text


def audit_words(audit: Mapping[str, Any]) -> str:
    """What the direct runs say."""
    number = audit["excluded"] + audit["kept"]
    wrong = f"audited with {number_of(number, 'direct run')}: "
    if audit["lowest_lost"] is None:
        return f"{wrong}none of what the model keeps was excluded"
    return (
        f"{wrong}{plain(100.0 * audit['wrongly_excluded'], 2)} % of what the model keeps was "
        f"excluded, all with an implausibility above {math.floor(100 * audit['lowest_lost']) / 100}"
    )


def sentences(summary: Mapping[str, Any]) -> list[str]:
    """The verdict, then what else matters."""
    found = [verdict(summary)]
    if _apart(summary):
        shares = [f"{plain(100.0 * part, 2)} %" for part in summary["regions"]]
        found.append(
            f"The regions hold {listing(shares)} of what is left; a search that starts in one does "
            "not see the others."
        )
    factors = {entry["factor"]: entry for entry in summary["by_factor"]}
    if factors:
        told = [
            f"{'under ' if e['bound'] else ''}{share_words(e['fraction'])} with "
            f"{ {0.5: 'half', 1.0: 'once', 2.0: 'twice'}.get(f, f'{f:g} times') } the discrepancy"
            for f, e in factors.items()
            if f != 1.0
        ]
        found.append(f"What is left depends on the discrepancy: {listing(told)}.")
    found.append(
        f"The truth itself is ruled out by chance in {plain(100.0 * summary['chance'], 2)} % of "
        f"cases, with the cut-off {plain(summary['cutoff'], 3)} on the {_rule(summary)} "
        f"of {number_of(len(summary['metrics']), 'implausibility', 'implausibilities')}."
    )
    truth = summary["truth"]
    if truth is not None:
        value = truth["implausibility"]
        kept = "kept" if value <= summary["cutoff"] else "RULED OUT"
        found.append(f"The truth of this twin is {kept}: its implausibility is {plain(value, 3)}.")
    if summary.get("against") is not None:
        found += _beside(summary)
    if summary["waves"][-1]["stop"]:
        found.append(summary["waves"][-1]["stop"])
    return found


def _beside(summary: Mapping[str, Any]) -> list[str]:
    """How a run that was fitted compares, and whether its intervals miss the truth of a twin."""
    other, cutoff = summary["against"], summary["cutoff"]
    value = other["implausibility"]
    if math.isnan(value):
        return [f"The metrics cannot be computed at the estimate of {other['run']}."]
    text = f"The estimate of {other['run']} has an implausibility of {plain(value, 3)}, "
    if value <= cutoff:
        found = [text + "so that it is among what is left."]
    else:
        found = [
            text + "so that it is RULED OUT: the values that fit the whole record best miss these "
            "metrics by more than errors and discrepancy allow."
        ]
    truth = summary["truth"]
    if truth is None:
        return found
    missed: dict[str, list[str]] = {}
    for (name, entry), place in zip(other["parameters"].items(), truth["place"], strict=True):
        for word, (low, high) in entry["places"].items():
            missed.setdefault(word, [])
            if not low <= place <= high:
                missed[word].append(name)
    for word, names in missed.items():
        what = f"miss the truth of {listing(names)}" if names else "hold every truth"
        found.append(f"The 95 % intervals of {other['run']} by {word} {what}.")
    return found


def _rule(summary: Mapping[str, Any]) -> str:
    rule = str(summary["rule"])
    return {"maximum": "largest", "vector": "vector form"}.get(rule, rule)


def warnings_of(summary: Mapping[str, Any]) -> list[str]:
    """What a reader should know before relying on it."""
    found = [*summary["notes"], *summary["left_out"]]
    factors = {e["factor"]: e for e in summary["by_factor"]}
    if 0.5 in factors and 2.0 in factors:
        half, twice = factors[0.5], factors[2.0]
        if half["bound"] or twice["fraction"] > DECIDES**2 * half["fraction"]:
            found.append(
                "The discrepancy decides most of the answer: think about what the model cannot do, "
                "or take it from a fit with --run."
            )
    if summary["failed_share"] > 0.0:
        found.append(
            f"{plain(100.0 * summary['failed_share'], 2)} % of the runs over the ranges failed. "
            "They are not ruled out and not counted: nothing is said about where they lie."
        )
    found += _failed_in_waves(summary)
    isolated = summary["isolated"]
    if isolated:
        where = [
            with_unit(f"{name} {plain(value, 4)}", entry["unit"])
            for (name, entry), value in zip(summary["parameters"].items(), isolated[0], strict=True)
        ]
        found.append(
            f"Descent found {number_of(len(isolated), 'point')} that match as well, apart from "
            f"what was found and in regions too small for it, such as {listing(where)}. Raise "
            "--points to see them."
        )
    if summary["method"] == "emulator":
        found += _of_emulators(summary)
    return found


def _failed_in_waves(summary: Mapping[str, Any]) -> list[str]:
    """Runs that taught an emulator nothing, and why they failed where that is known."""
    waves = summary["waves"] if summary["method"] == "emulator" else ()
    failed = sum(wave["failed"] for wave in waves)
    if not failed:
        return []
    runs = sum(wave["runs"] for wave in waves)
    reasons = [
        f"{reason} ({agree(number, 'once', f'{number} times')})"
        for reason, number in list((summary.get("failures") or {}).items())[:3]
    ]
    why = f": {listing(reasons)}" if reasons else ""
    return [
        f"{failed} of {number_of(runs, 'run')} failed{why}. They rule nothing out; emulators "
        "answer where they lie from the runs beside them."
    ]


def _of_emulators(summary: Mapping[str, Any]) -> list[str]:
    found = []
    refused = dict.fromkeys(text for wave in summary["waves"] for text in wave["refused"])
    if refused:
        found.append(
            f"{agree(len(refused), 'An emulator', 'Emulators')} that failed the checks took no "
            f"part: {' '.join(refused)}"
        )
    last = summary["waves"][-1]["emulator_share"]
    if last > LARGE_SHARE:
        found.append(
            f"Emulators are still uncertain: their standard deviation is up to {plain(last, 2)} "
            "times that of observation errors and discrepancy. More waves or runs would rule out "
            "more."
        )
    audit = summary["audit"]
    if audit is None:
        found.append("The emulators were not audited; --audit 4096 runs the model directly.")
    elif audit["lowest_lost"] is not None and audit["lowest_lost"] < LEAST_LOST:
        found.append(
            f"A point with an exact implausibility of {plain(audit['lowest_lost'], 3)} was ruled "
            "out: do not rely on what was removed. Give more --runs to a wave."
        )
    return found

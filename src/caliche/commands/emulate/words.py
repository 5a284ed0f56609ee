"""What an emulation found, in sentences. They work on the content of summary.json alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from caliche.wording import agree, listing, number_of

# How much faster than the model a prediction has to be to be worth anything.
FASTER = 2.0
# Of the observations' departure, what no component can show, that is worth a word.
UNSEEN = 0.05
# Error of an output, over its spread, that is worth a word although its bands say so.
WEAK = 0.3


def verdict(summary: Mapping[str, Any]) -> str:
    """The one sentence that stands first."""
    outputs = summary["outputs"]
    refused = [name for name, entry in outputs.items() if not entry["passed"]]
    if refused:
        return (
            f"Refused: {len(refused)} of {number_of(len(outputs), 'output')} did not pass "
            f"({listing(refused)}); {agree(len(refused), 'it takes', 'they take')} no part in "
            "anything, and the problem cannot be calibrated on this emulator."
        )
    held = number_of(summary["held_out"], "run")
    if summary["kind"] == "pcs":
        return (
            f"The emulator passed: on {held} that it never saw, predictions are off by "
            f"{summary['field_error']:.2g} standard deviations of the observations (root mean "
            "square), and its bands hold."
        )
    worst = max(outputs, key=lambda name: outputs[name]["relative_error"])
    return (
        f"The emulator passed: on {held} that it never saw, its largest error is "
        f"{100 * outputs[worst]['relative_error']:.2g} % of the spread of an output ({worst}), and "
        "its bands hold."
    )


def sentences(summary: Mapping[str, Any]) -> list[str]:
    """What was emulated, and whether an emulator is needed at all."""
    found = [f"Emulated: {summary['emulated']}.", worth(summary)]
    found += [entry["sentence"] for entry in summary["outputs"].values() if not entry["passed"]]
    return found


def worth(summary: Mapping[str, Any]) -> str:
    """Whether the emulator pays."""
    ms, seconds = summary["milliseconds"], sum(summary["seconds"].values())
    run, prediction = ms["run"], ms["prediction"]
    if prediction * FASTER >= run:
        return (
            f"A run of the model takes {run:.2g} ms and a prediction {prediction:.2g} ms: the "
            "model itself is fast enough, and exact; use it instead."
        )
    even = 1e3 * seconds / (run - prediction)
    return (
        f"A prediction takes {prediction:.2g} ms, {run / prediction:.2g} times less than a run of "
        f"the model: the {seconds:.2g} s of this emulator are saved after "
        f"{number_of(math.ceil(even), 'run')}."
    )


def warnings_of(summary: Mapping[str, Any]) -> list[str]:
    """What a careful reader should know."""
    found = []
    if summary["failed"]:
        found.append(
            f"{number_of(summary['failed'], 'run')} of {summary['runs']} failed; nothing is known "
            "of the model there, though the emulator answers."
        )
    for name, entry in summary["outputs"].items():
        found += [f"{name}: {step}." for step in entry["steps"]]
        if entry["passed"] and entry["relative_error"] > WEAK:
            found.append(
                f"{name}: an error of {100 * entry['relative_error']:.0f} % of the spread tells "
                "little; more runs would tell more."
            )
    if summary["kind"] == "pcs" and summary["unseen"] > UNSEEN:
        found.append(
            f"{100 * summary['unseen']:.0f} % of what the observations differ by from the mean run "
            "is in no run: noise, or something that no parameters of the box explain."
        )
    if summary["thinned"]:
        found.append(
            f"The slopes of {number_of(summary['thinned'], 'run')} were left out, as another run "
            "is very near."
        )
    return found

"""What an emulated column is worth, in sentences about the content of summary.json."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from caliche.wording import agree, number_of

GOOD_JACOBIAN = 0.05  # relative error below which derivatives of the network can be used
UNSTABLE = 1.001  # modulus of an eigenvalue from which on errors of a step grow
MOST_IMBALANCE = 5.0  # W m-2, of the mean over a run
MOST_DRIFT = 0.5  # of the spread of a state
FASTER = 1.5  # how many times as fast as the exact column a network is worth a word


def passed(summary: Mapping[str, Any]) -> bool:
    """Whether long runs of the network stand for those of the model."""
    return not failures(summary)


def failures(summary: Mapping[str, Any]) -> list[str]:
    """What speaks against long runs, in phrases."""
    drift, found = summary["drift"], []
    if drift["failed"]:
        found.append(
            f"{number_of(drift['failed'], 'long run')} of {drift['runs']} "
            f"{agree(drift['failed'], 'gives', 'give')} no numbers"
        )
    name, share, days = worst_drift(summary)
    if not share < MOST_DRIFT:
        found.append(
            f"after {number_of(days, 'day')} {name} is off by {_percent(share)} of its spread"
        )
    if not (drift["mean_imbalance"] or 0.0) < MOST_IMBALANCE:
        found.append(f"runs lose or gain {drift['mean_imbalance']:.2g} W m-2 on average")
    return found


def worst_drift(summary: Mapping[str, Any]) -> tuple[str, float, int]:
    """The state with the largest error of long runs over its spread, that share, and the day."""
    drift, worst = summary["drift"], ("", 0.0, 0)
    for days, errors in zip(drift["days"], drift["errors"], strict=True):
        for name, error, spread in zip(summary["states"], errors, drift["spread"], strict=True):
            share = math.inf if error is None else error / spread if spread else 0.0
            if share > worst[1] or not worst[0]:
                worst = (name, share, days)
    return worst


def verdict(summary: Mapping[str, Any]) -> str:
    """The one sentence that stands first."""
    against = failures(summary)
    if against:
        return "Refused: " + "; ".join(against) + ". Do not use this network for anything."
    name, share, days = worst_drift(summary)
    return (
        f"The network follows the model: on weather and parameters that it never saw its runs of "
        f"up to {number_of(max(summary['drift']['days']), 'day')} are off by {_percent(share)} of "
        f"the spread of a state at most ({name}, after {number_of(days, 'day')})."
    )


def sentences(summary: Mapping[str, Any]) -> list[str]:
    """Steps, Jacobian, stability, energy and time."""
    return [steps(summary), jacobian(summary), stability(summary), energy(summary), speed(summary)]


def steps(summary: Mapping[str, Any]) -> str:
    """How near single steps are."""
    own = {n: v for n, v in summary["one_step"].items() if v is not None}
    worst = max(own, key=lambda name: own[name])
    mean = math.sqrt(sum(v * v for v in own.values()) / len(own))
    return (
        f"Single steps are off by {_percent(mean)} of the standard deviation of an increment or a "
        f"flux (root mean square; worst {worst}, {_percent(own[worst])})."
    )


def jacobian(summary: Mapping[str, Any]) -> str:
    """Whether derivatives can be trusted."""
    error = summary["jacobian"]["error"]
    text = f"The Jacobian of a step is {_percent(error)} wrong (relative Frobenius norm)"
    if error < GOOD_JACOBIAN:
        return text + ": its derivatives can be used."
    text += ": derivatives through it are not those of the model."
    if not summary["settings"]["derivatives"]:
        text += " It was trained on values alone; leave out --derivatives 0."
    return text


def stability(summary: Mapping[str, Any]) -> str:
    """Whether errors of a step die away."""
    j = summary["jacobian"]
    text = (
        f"The largest eigenvalue of its state Jacobian has the modulus {j['radius']:.4f}, that of "
        f"the model {j['exact_radius']:.4f}"
    )
    if j["radius"] > max(UNSTABLE, j["exact_radius"] + UNSTABLE - 1.0):
        return text + ": near some states errors of a step grow, although they do not in the model."
    if j["radius"] > 1.0:
        return text + ": errors of a step grow no faster than in the model."
    return text + ": errors of a step die away."


def energy(summary: Mapping[str, Any]) -> str:
    """What long runs do to the energy."""
    d = summary["drift"]
    return (
        f"Nothing makes a network conserve energy: its steps miss {d['imbalance']:.2g} W m-2 (root "
        f"mean square), its runs {d['mean_imbalance']:.2g} W m-2 on average; the model "
        f"{d['exact_imbalance']:.1g} W m-2."
    )


def speed(summary: Mapping[str, Any]) -> str:
    """Whether the network is faster than the model that it stands for."""
    c = summary["costs"]
    text = (
        f"A step takes {c['single']:.2g} µs of a processor alone and {c['batch']:.2g} µs a column "
        f"in a batch of {c['columns']}; a step of the exact column {c['exact_single']:.2g} and "
        f"{c['exact_batch']:.2g} µs."
    )
    alone, many = c["exact_single"] / c["single"], c["exact_batch"] / c["batch"]
    if alone < FASTER and many < FASTER:
        return text + " The exact column is as fast or faster: use it, it is exact."
    if many < FASTER:
        return text + " In a batch the exact column is as fast or faster."
    if alone < FASTER:
        return text + " Alone the exact column is as fast or faster."
    return text + f" The network is {alone:.2g} and {many:.2g} times as fast."


def warnings_of(summary: Mapping[str, Any]) -> list[str]:
    """What a careful reader should know."""
    kept = next(s for s in summary["seeds"] if s["seed"] == summary["seed"])
    found = []
    if not kept["converged"]:
        found.append(f"Training ended at {kept['reason']}: more epochs would make it better.")
    found.append(
        "The network knows the parameters and the weather that it saw, and nothing beyond: "
        "estimates through it cannot leave the ranges below, and are held against the exact model."
    )
    return found


def _percent(share: float) -> str:
    """A share with two digits, in percent."""
    if not math.isfinite(share):
        return "more than all"
    value = 100.0 * share
    return f"{value:.0f} %" if value >= 10.0 else f"{value:.2g} %"

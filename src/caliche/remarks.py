"""A remark of a careful referee, and the first line that remarks make.

The first line says in a few words what the sentences say at length, so that nobody has to read
four pages to learn that a number cannot be trusted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import numpy as np

from caliche.wording import listing

# Kind -> what the first line says of one and of several; kinds without an entry are only notes.
PHRASES: Mapping[str, tuple[str, str]] = {
    "failed": ("a model run that fails", "{n} model runs that fail"),
    "no-effect": (
        "1 parameter without effect on what is fitted",
        "{n} parameters without effect on what is fitted",
    ),
    "unconstrained": (
        "1 parameter that the observations do not constrain",
        "{n} parameters that the observations do not constrain",
    ),
    "bound": ("1 parameter at its bound", "{n} parameters at their bounds"),
    "far-from-prior": (
        "1 parameter far from its prior",
        "{n} parameters far from their priors",
    ),
    "wrong-sign": (
        "1 stream that moves against its observations",
        "{n} streams that move against their observations",
    ),
    "worse-than-mean": (
        "1 stream predicted worse than its mean",
        "{n} streams predicted worse than their means",
    ),
    "errors-too-small": (
        "1 stream whose errors are far larger than declared",
        "{n} streams whose errors are far larger than declared",
    ),
    "errors-too-large": (
        "1 stream whose errors are far smaller than declared",
        "{n} streams whose errors are far smaller than declared",
    ),
    "few-values": (
        "1 stream whose misfit comes from a few values",
        "{n} streams whose misfit comes from a few values",
    ),
    "imbalance": ("an energy balance that does not close", "{n} balances that do not close"),
    "out-of-range": (
        "1 modelled stream outside what is possible",
        "{n} modelled streams outside what is possible",
    ),
    "contradicting-windows": (
        "windows that contradict each other",
        "windows that contradict each other",
    ),
    "emulated": (
        "an emulator whose optimum is not the model's",
        "an emulator whose optimum is not the model's",
    ),
    "extrapolated": (
        "weather that the emulator never saw",
        "weather that the emulator never saw ({n} variables)",
    ),
    "clock": ("a clock that disagrees with the sun", "{n} clocks that disagree with the sun"),
    "rival-optima": ("other optima that fit as well", "other optima that fit as well"),
    "rough": ("a rough misfit at the optimum", "a rough misfit at the optimum"),
    "weights": (
        "priors that declared weights outvote",
        "priors that declared weights outvote",
    ),
    "short-record": (
        "a record too short to tell how long its errors last",
        "{n} streams too short to tell how long their errors last",
    ),
    "unflagged": (
        "1 stream without quality flags, perhaps gap-filled",
        "{n} streams without quality flags, perhaps gap-filled",
    ),
    "rebuilt": ("1 stream that is partly rebuilt", "{n} streams that are partly rebuilt"),
}
MOST_NAMED = 3
FAILED = "DID NOT CONVERGE"

# Two ends of a search share an optimum if they are no further apart than this, in posterior
# standard deviations, which is also how near a search on a rough misfit has to come (`ROUGH` of
# `estimation.least_squares`). In J, 1/2 of which is one standard deviation, it is the half square.
SAME = 0.5
SAME_MISFIT = 0.5 * SAME**2
# Optima whose J is less than this above the lowest lie within its 95 % region of one parameter:
# half of the 95 % point of chi-squared with one degree of freedom.
EQUALLY_GOOD = 1.92

# Errors this many times as large as declared are told; from `MANY` on in the first line.
LARGER, MANY = 2.0, 3.0
# Errors this share of what is declared are told; from `FEW` on in the first line.
SMALLER, FEW = 1.0 / 3.0, 0.1


def same_misfit(misfit: np.ndarray, of: float | np.ndarray) -> np.ndarray:
    """Which misfits J are those of one optimum, of which `of` is one."""
    with np.errstate(invalid="ignore"):
        return np.abs(np.asarray(misfit, float) - of) < SAME_MISFIT


class Start(Protocol):
    """A start as far as a first line is concerned, see `caliche.Start`."""

    @property
    def optimum(self) -> int | None: ...


@dataclass(frozen=True)
class Remark:
    """What a careful reader should know.

    Attributes
    ----------
    kind : a key of `PHRASES`, or a name of its own where the first line says nothing of it.
    sentence : all of it, in plain words.
    serious : whether the first line must tell of it.
    about : names of the parameters or streams that it is about.
    """

    kind: str
    sentence: str
    serious: bool = True
    about: tuple[str, ...] = ()


def headline(how: str, remarks: Iterable[Remark], starts: Sequence[Start] = ()) -> str:
    """The first line: how it ended, what is serious, and how many of several starts agree.

    `converged, with 2 parameters at their bounds (albedo, emissivity) and 1 stream predicted worse
    than its mean (latent_heat_flux); 5 of 20 starts reached this optimum`.
    """
    parts = what_is_wrong(remarks)
    text = how
    if parts:
        text += f"{'; also' if how.startswith(FAILED) else ', with'} {listing(parts)}"
    if len(starts) > 1 and not how.startswith(FAILED):
        reached = sum(start.optimum == 0 for start in starts)
        text += f"; {reached} of {len(starts)} starts reached this optimum"
    return text


def ended(converged: bool, reason: str) -> str:
    """How a search ended, as the beginning of a first line."""
    return "converged" if converged else f"{FAILED}: {reason}"


def what_is_wrong(remarks: Iterable[Remark]) -> list[str]:
    """A phrase for each kind of serious remark, in the order of `PHRASES`."""
    by_kind: dict[str, list[str]] = {}
    for remark in remarks:
        if remark.serious and remark.kind in PHRASES:
            by_kind.setdefault(remark.kind, []).extend(remark.about or ("",))
    found = []
    for kind, (one, several) in PHRASES.items():
        if kind not in by_kind:
            continue
        names = list(dict.fromkeys(by_kind[kind]))
        text = one if len(names) == 1 else several.format(n=len(names))
        named = [name for name in names if name]
        if len(named) > MOST_NAMED:
            named = [*named[:MOST_NAMED], f"{len(named) - MOST_NAMED} more"]
        found.append(f"{text} ({', '.join(named)})" if named else text)
    return found


def capitalised(remarks: Iterable[Remark]) -> tuple[Remark, ...]:
    """The remarks, each sentence beginning with a capital."""
    return tuple(replace(r, sentence=r.sentence[0].upper() + r.sentence[1:]) for r in remarks)


def error_size_remarks(name: str, label: str, factor: float, what: str) -> tuple[Remark, ...]:
    """Remarks on errors that are so many times as large as declared.

    Parameters
    ----------
    name, label : of the stream, and in words.  what : `residuals`, or `estimated errors`.
    """
    if factor > LARGER:
        times = f"{factor:.1f}" if factor < 100.0 else f"{factor:.3g}"
        text = (
            f"The {what} of {label} are {times} times the declared sigma: the model or the sigma "
            "is wrong."
        )
        return (Remark("errors-too-small", text, factor > MANY, (name,)),)
    if factor < SMALLER:
        text = (
            f"The {what} of {label} are only {factor:.2g} times the declared sigma: the sigma is "
            "too large, so that this stream counts for too little and error bars are too wide."
        )
        return (Remark("errors-too-large", text, factor < FEW, (name,)),)
    return ()


def unlike(remarks: Iterable[Remark]) -> tuple[Remark, ...]:
    """The remarks, without those whose sentence was said before."""
    found: dict[str, Remark] = {}
    for remark in remarks:
        found.setdefault(remark.sentence, remark)
    return tuple(found.values())


def as_table(how: str, remarks: Sequence[Remark], starts: Sequence[Start] = ()) -> dict[str, Any]:
    """What summary.json keeps of a verdict: the first line, and all remarks."""
    return {"headline": headline(how, remarks, starts), "remarks": [asdict(r) for r in remarks]}


def from_table(table: Mapping[str, Any] | None) -> tuple[Remark, ...]:
    """The remarks that a summary.json keeps; none in one that is older than they are."""
    return tuple(
        Remark(r["kind"], r["sentence"], r["serious"], tuple(r["about"]))
        for r in (table or {}).get("remarks", ())
    )

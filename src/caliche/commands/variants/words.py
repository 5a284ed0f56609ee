"""What the variants of an experiment show, in sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from caliche.wording import agree, listing, number_of

Record = dict[str, Any]
# What the variants of a family choose.
CHOICES = {
    "albedo": "the albedo",
    "emissivity": "the emissivity",
    "closure": "the closure of the turbulent fluxes",
    "longwave": "the longwave balance",
    "dz": "the grid spacing",
    "dt": "the time step",
    "scheme": "the time scheme",
    "depth": "the depth of the column",
    "bottom": "the condition at the bottom",
    "layers": "the number of soil layers",
    "initial": "the initial profile",
    "window": "the window",
}
NOTABLE = 1.0  # sd of the base
WORTH_TELLING = 0.5  # sd of the base
MOST = 3  # parameters told of in one sentence
# Twice the logarithm of a Bayes factor that is strong evidence: Kass and Raftery (1995),
# doi:10.1080/01621459.1995.10476572.
STRONG = 6.0
KINDS = {
    "numerics": "numerics (grid, time step, scheme)",
    "physics": "physics and boundary conditions",
    "prescribed": "prescribed values",
    "data": "the window",
    "own": "your own variants",
}

ONE = ("data",)  # kinds whose words are singular: the window


def signed(value: float, digits: int = 1) -> str:
    """A number with its sign, as in +3.2 or −0.4."""
    text = f"{value:+.{digits}f}" if abs(value) < 1e4 else f"{value:+.2g}"
    return text.replace("-", "−") if float(text) else text[1:]


def quantity(value: float, sd: float | None) -> str:
    """A value with its standard deviation, as in 0.76 ± 0.51 or (2.6 ± 1.1)e6."""
    size = max(abs(value), sd or 0.0)
    power = math.floor(math.log10(size)) if size else 0
    power = power if power >= 5 or power < -3 else 0
    if sd is None or not sd > 0.0:
        text = f"{value / 10.0**power:.4g}{f'e{power}' if power else ''}"
        return text.replace("-", "−")
    value, sd = value / 10.0**power, sd / 10.0**power
    decimals = min(max(0, 1 - math.floor(math.log10(sd))), 9)
    text = f"{value:.{decimals}f} ± {sd:.{decimals}f}".replace("-", "−")
    return f"({text})e{power}" if power else text


def sentences(base: Record, variants: Sequence[Record]) -> list[str]:
    """One for each variant that moves an estimate by more than its sd, the worst first."""
    moved = [v for v in converged(variants) if (v["largest_shift"] or 0.0) > NOTABLE]
    moved.sort(key=lambda v: -v["largest_shift"])
    return [_sentence(base, variant) for variant in moved]


def converged(variants: Sequence[Record]) -> list[Record]:
    return [v for v in variants if v["status"] == "converged"]


def _sentence(base: Record, variant: Record) -> str:
    entries = [
        (name, entry)
        for name, found in variant["shifts"].items()
        for entry in found
        if entry["shift"] is not None and abs(entry["shift"]) > NOTABLE
    ]
    entries.sort(key=lambda item: -abs(item[1]["shift"]))
    parts = [_movement(base, name, entry, k == 0) for k, (name, entry) in enumerate(entries[:MOST])]
    if len(entries) > MOST:
        rest = len(entries) - MOST
        parts.append(f"{rest} other{'s' if rest > 1 else ''} by less")
    return f"With {variant['what']}, {listing(parts)}{verdict(variant)}."


def _movement(base: Record, name: str, entry: Record, first: bool) -> str:
    combined, at = entry["shift_combined"], base["parameters"][name]
    also = "" if combined is None else f"{signed(combined)} combined; "
    bound = ", at its bound" if entry["at_bound"] else ""
    layer = entry["as"].removeprefix(f"{name}_") if entry["as"] != name else ""
    where = f" in layer {layer}" if layer.isdigit() else ""
    return (
        f"{name}{where}{' moves' if first else ''} by {signed(entry['shift'])} sd ({also}"
        f"from {quantity(at['estimate'], at['sd'])} to {quantity(entry['estimate'], entry['sd'])}"
        f"{'' if entry['unit'] == '1' else ' ' + entry['unit']}{bound})"
    )


def verdict(variant: Record) -> str:
    """Whether the data like the variant better, as the end of a sentence."""
    if not variant["comparable"]:
        return "; it is fitted to other observations"
    if not variant.get("delta"):
        return ""
    delta = variant["delta"]["tempered_bic"]
    told = f"(ΔBIC {signed(delta)})"
    if delta < -STRONG:
        return f"; it fits better {told}"
    return f"; it fits worse {told}" if delta > STRONG else f"; it fits about as well {told}"


def conclusion(base: Record, variants: Sequence[Record], is_twin: bool = False) -> list[str]:
    """Which choice matters most for which parameter, and numerics against physics.

    In a twin the base is what made the observations, and nothing is to be done about it.
    """
    usable = [v for v in converged(variants) if v["largest_shift"] is not None]
    if not usable:
        return ["No variant could be compared with the base."]
    moved = sum(v["largest_shift"] > NOTABLE for v in usable)
    whole = len(usable)
    if moved:
        text = (
            f"Of {number_of(whole, 'variant')} {moved} {agree(moved, 'moves', 'move')} at least "
            "one estimate by more than its sd."
        )
    else:
        text = (
            f"None of {whole} variants moves an estimate by more than its sd."
            if whole > 1
            else "The one variant moves no estimate by more than its sd."
        )
    structural = [v for v in usable if v["kind"] != "data"] or usable
    told = [text, _by_parameter(base, structural), _by_kind(usable, is_twin)]
    unlike = [v["name"] for v in converged(variants) if not v["comparable"]]
    if unlike:
        told.append(
            f"Fitted to other observations than the base, and so without a criterion: "
            f"{listing(unlike)}."
        )
    better = [v for v in usable if v.get("delta") and v["delta"]["tempered_bic"] < -STRONG]
    if better:
        best = min(better, key=lambda v: v["delta"]["tempered_bic"])
        told.append(
            f"Against the base the fitted data speak most clearly for {best['what']} "
            f"(ΔBIC {signed(best['delta']['tempered_bic'])}){_held_out(base, best)}."
        )
    return [text for text in told if text]


def _held_out(base: Record, variant: Record) -> str:
    """Whether the hold-out agrees that a variant is better, as the end of a sentence."""
    before, after = base["holdout_rmse"], variant["holdout_rmse"]
    if not (before and after and variant["holdout_comparable"]):
        return ""
    agrees = after["value"] < before["value"]
    return (
        f"; the hold-out {'agrees' if agrees else 'does not agree'}, with an RMSE of "
        f"{after['value']:.3g} against {before['value']:.3g} {after['unit']}"
    )


def _by_parameter(base: Record, variants: Sequence[Record]) -> str:
    """The choice that matters most for each parameter, parameters with one choice together."""
    groups: dict[str, list[str]] = {}
    for name in free_parameters(base):
        worst = largest(variants, name)
        if worst is not None and abs(worst[1]) > WORTH_TELLING:
            variant, shift = worst
            choice = CHOICES.get(variant["family"]) or variant["what"]
            groups.setdefault(choice, []).append(f"{name} ({signed(shift)} sd)")
    if not groups:
        return ""
    parts = [f"{choice} for {listing(names)}" for choice, names in groups.items()]
    told = sum(len(names) for names in groups.values())
    if told < len(free_parameters(base)):
        parts.append(f"nothing moves the others by more than {WORTH_TELLING:g} sd")
    return f"What matters most is {'; '.join(parts)}."


def largest(variants: Sequence[Record], name: str) -> tuple[Record, float] | None:
    """The variant that moves a parameter most, and by how much (sd)."""
    found = [(v, e["shift"]) for v in variants for e in v["shifts"][name] if e["shift"] is not None]
    return max(found, key=lambda item: abs(item[1]), default=None)


def _by_kind(variants: Sequence[Record], is_twin: bool) -> str:
    worst: dict[str, Record] = {}
    for kind in KINDS:
        of_kind = [v for v in variants if v["kind"] == kind]
        if of_kind:
            worst[kind] = max(of_kind, key=lambda v: v["largest_shift"])
    first = next(iter(worst), "")
    moves = agree(1 if first in ONE else 2, "moves", "move")
    parts = [
        f"{KINDS[kind]} {'by' if k else f'{moves} an estimate by'} at most "
        f"{v['largest_shift']:.1f} sd ({v['name']})"
        for k, (kind, v) in enumerate(worst.items())
    ]
    text = f"{parts[0][0].upper()}{listing(parts)[1:]}."
    if is_twin:
        return (
            f"{text} The observations were simulated with the base, so that a shift is the error "
            "that this wrong choice makes."
        )
    finer = [v for v in variants if v["finer"]]
    if not finer:
        return text
    most = max(finer, key=lambda v: v["largest_shift"])
    told = f"{most['largest_shift']:.1f} sd ({most['name']})"
    if most["largest_shift"] > NOTABLE:
        return f"{text} A finer discretisation alone moves an estimate by {told}: refine it first."
    return f"{text} A finer discretisation moves none by more than {told}."


def of_status(variants: Sequence[Mapping[str, Any]], status: str) -> list[str]:
    """`name: reason` of the variants that ended so."""
    return [f"{v['name']}: {v['reason']}" for v in variants if v["status"] == status]


def free_parameters(base: Mapping[str, Any]) -> list[str]:
    """The parameters that the base estimates."""
    return [name for name, p in base["parameters"].items() if not p["fixed"]]

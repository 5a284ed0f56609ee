"""What `caliche design` found, in table rows and sentences. Pure functions of a design."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from caliche.names import at_knot, knot_of, without_knot
from caliche.report.numbers import plain, rounded, share, with_unit
from caliche.variables import variable
from caliche.wording import listing, number_of

if TYPE_CHECKING:
    from caliche.commands.design.run import Design
    from caliche.identifiability.linearised import Entry
    from caliche.identifiability.sensors import SensorSet

_SHORT = {
    "surface_temperature": "surface",
    "outgoing_shortwave": "SWup",
    "outgoing_longwave": "LWup",
    "net_radiation": "Rnet",
    "sensible_heat_flux": "Qh",
    "latent_heat_flux": "Qle",
    "turbulent_heat_flux": "Qh+Qle",
    "ground_heat_flux": "plate",
}
_SIZES = ("none", "one sensor", "two sensors", "three sensors")


def headline(design: Design) -> str:
    beside = "beside those in place" if design.added else "by themselves"
    memory = (
        f", errors autocorrelated by {plain(design.autocorrelation)}"
        if design.autocorrelation
        else ""
    )
    return (
        f"{design.title}: {number_of(len(design.candidates), 'sensor')} {beside}, a value at "
        "each of "
        f"{number_of(design.steps, 'step')}{memory}; derivatives at {design.at}."
    )


def best_for_each(design: Design) -> tuple[list[str], list[list[str]]]:
    """Header and rows: for each parameter, the best set of each size and its sd."""
    sizes = sorted({len(s.streams) for s in design.sets})
    header = ["parameter", "now", *(f"best {_size(n)}" for n in sizes)]
    rows = []
    for k, entry in enumerate(design.entries):
        best = [design.best(entry.name, n)[0] for n in sizes]
        now = sd_text(entry, float(design.now.sd[k]))
        cells = [f"{sd_text(entry, float(s.sd[k]))} {sensors(s.streams)}" for s in best]
        rows.append([entry.name, now, *cells])
    return header, rows


def _size(number: int) -> str:
    return _SIZES[number] if number < len(_SIZES) else f"{number} sensors"


def ranking(design: Design, by: str, number: int) -> str:
    """The title of the list of sets."""
    what = {
        "a": "the root mean square error of all parameters (a)",
        "d": "the volume of the error ellipsoid (d)",
    }.get(by, by)
    best = "best" if number == 1 else f"best {number}"
    return f"The {best} of {number_of(len(design.sets), 'set')} by {what}:"


def rows(design: Design, best: Sequence[SensorSet]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a list of sets, with the sd of every parameter."""
    codes = abbreviations([entry.name for entry in design.entries])
    header = ["sensors", *codes, "a", "d", "cond"]
    table = []
    for s in best:
        sds = [sd_text(e, float(v)) for e, v in zip(design.entries, s.sd, strict=True)]
        table.append([sensors(s.streams), *sds, share(s.a), share(s.d), _condition(s.condition)])
    return header, table


def legend(design: Design) -> list[str]:
    """What the abbreviations of `rows` mean, and the errors that were taken."""
    names = [entry.name for entry in design.entries]
    codes = abbreviations(names)
    pairs = [f"{c} = {n}" for c, n in zip(codes, names, strict=True) if c != n]
    errors: dict[str, list[str]] = {}
    for c in design.candidates:
        sigma = with_unit(plain(c.sigma), variable(c.stream).unit)
        errors.setdefault(sigma, []).append(short(c.stream))
    taken = "; ".join(f"{sigma} for {listing(each)}" for sigma, each in errors.items())
    lines = [f"{', '.join(pairs)}."] if pairs else []
    return [*lines, f"Errors: {taken}."]


def sensors(streams: Sequence[str]) -> str:
    return " + ".join(short(name) for name in streams) or "none"


def short(stream: str) -> str:
    """A stream in a table's cell: `5 cm`, `surface`, `LWup`, `plate 8 cm`."""
    meta = variable(stream)
    depth = "" if meta.depth is None else f"{100.0 * meta.depth:g} cm"
    if meta.name == "soil_temperature":
        return depth
    return f"{_SHORT.get(meta.name, meta.name)} {depth}".strip()


def sd_text(entry: Entry, sd: float) -> str:
    """A standard deviation as a share of the value where that means something, else in its unit."""
    if not math.isfinite(sd):
        return "∞"
    if entry.ratio_scale:
        return share(sd / entry.value)
    return with_unit(rounded(sd, 2), entry.unit)


def _condition(number: float) -> str:
    return plain(number, 2 if number < 99.5 else 3) if math.isfinite(number) else "∞"


def abbreviations(names: Sequence[str]) -> list[str]:
    """Short headings: first letters of the words of a long name; numbered where they coincide."""
    codes: list[str] = []
    for name in names:
        words, knot = without_knot(name), knot_of(name)
        parts = words.split("_")
        code = (
            name
            if len(name) <= 8
            else "".join(part if part[:1].isdigit() else part[:1] for part in parts)
            + (at_knot("", knot) if knot else "")
        )
        twins = sum(c.rstrip("0123456789") == code for c in codes)
        codes.append(f"{code}{twins + 1}" if twins else code)
    return codes

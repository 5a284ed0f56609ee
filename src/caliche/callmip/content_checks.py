"""Checks of what an output file holds: its days, its values, its uncertainties."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from caliche.callmip.findings import Check
from caliche.callmip.opened import Opened
from caliche.callmip.protocol import POSTERIOR, PRIOR, SCENARIOS, UNCERTAINTY, VARIABLES
from caliche.data.callmip_flux import DAY, LATENT, NEE, SENSIBLE
from caliche.data.raw_netcdf import CALENDARS, dates
from caliche.errors import InputError
from caliche.wording import agree, listing, number_of

GAPS = 0.01  # share of days without a value beyond which it is told
CHANGE = ("nep", "hfls", "hfss", "gpp", "reco", "hfg", "ts")  # nothing of it stays the same
VAPORISATION = 2.45e6  # J kg-1
SHIFTS = range(-3, 4)  # days that a file may be early or late
OPPOSED = -0.3  # a correlation that says that a flux has the other sign
APART = 10.0  # times as variable as what was measured, or less than a tenth
YEAR = 365  # days, over which the latent heat flux is upwards on average
BETTER = 0.02  # of correlation, by which another day has to be better
FEWEST = 60  # days with both, for a comparison with what was measured
MEASURED = {"hfls": LATENT, "hfss": SENSIBLE, "nep": NEE}


def _time_units(o: Opened) -> Iterator[str]:
    variable = o.raw.variables.get("time")
    if variable is None:
        yield "the variable time is missing"
    elif variable.dims != ("time",):
        yield f"time has the dimensions ({', '.join(variable.dims)}) in place of (time)"
    elif not str(variable.attrs.get("units", "")).startswith("days since "):
        yield f"time is in {variable.attrs.get('units')!r} in place of 'days since DATE'"
    elif str(variable.attrs.get("calendar", "standard")).lower() in CALENDARS:
        try:
            dates(variable, o.path.name)
        except InputError as error:
            yield f"time cannot be read: {error.got} in place of {error.expected}"


def _calendar(o: Opened) -> Iterator[str]:
    calendar = str(o.raw.variables["time"].attrs.get("calendar", "standard"))
    if calendar.lower() not in CALENDARS:
        yield f"its calendar is {calendar!r}; the protocol wants the standard one, with leap days"


def _steps(o: Opened) -> Iterator[str]:
    if o.stamps is None:
        return
    steps = np.diff(o.stamps) / np.timedelta64(1, "s")
    wrong = np.flatnonzero(steps != DAY)
    if wrong.size:
        k = int(wrong[0])
        yield (
            f"the step after {o.stamps[k].astype('datetime64[D]')} is "
            f"{number_of(steps[k] / DAY, 'day')} in place of 1"
        )


def _start(o: Opened) -> Iterator[str]:
    if o.site is None or o.stamps is None or not len(o.stamps):
        return
    first = _record(o)[0]
    late = (o.stamps[0] - first.astype("datetime64[s]")) / np.timedelta64(1, "D")
    if not 0.0 <= late <= 1.0:
        yield (
            f"its first time is {str(o.stamps[0]).replace('T', ' ')}, which is not on the first "
            f"day of the record, {first}"
        )


def _length(o: Opened) -> Iterator[str]:
    if o.site is None or o.stamps is None:
        return
    record = _record(o)
    if len(o.stamps) != len(record):
        yield (
            f"it has {number_of(len(o.stamps), 'day')}, and the record of {o.site.code} "
            f"({record[0]} to {record[-1]}, leap days in) {len(record)}"
        )


def _record(o: Opened) -> np.ndarray:
    """The days that a file has to have: those of the flux file, or of the table of towers."""
    assert o.site is not None
    return o.site.days if o.fluxes is None else o.fluxes.days


def _infinities(o: Opened) -> Iterator[str]:
    for name in _mine(o):
        variable = o.laid_out(name)
        if variable is not None and not np.isfinite(variable.values).all():
            count = int((~np.isfinite(variable.values)).sum())
            yield f"{name} is not finite {number_of(count, 'time')}; missing values are 1e38"


def _mine(o: Opened) -> list[str]:
    return [n for n in o.raw.variables if n.removesuffix(UNCERTAINTY) in VARIABLES]


def _ranges(o: Opened) -> Iterator[str]:
    for name, entry in VARIABLES.items():
        values = o.series(name)
        if values is None:
            continue
        wrong = np.flatnonzero((values < entry.low) | (values > entry.high))
        if wrong.size:
            worst = values[wrong[np.abs(values[wrong]).argmax()]]
            yield (
                f"{name} is outside {entry.low:g} to {entry.high:g} {entry.unit} on "
                f"{number_of(wrong.size, 'day')}, the farthest {worst:.3g}"
            )


def _constant(o: Opened) -> Iterator[str]:
    for name in CHANGE:
        values = o.series(name)
        if values is not None and np.isfinite(values).sum() > 1 and np.nanstd(values) == 0.0:
            yield f"{name} is {np.nanmean(values):g} on every day"


def _nep_sign(o: Opened) -> Iterator[str]:
    nep, gpp, reco = (o.series(name) for name in ("nep", "gpp", "reco"))
    if nep is None or not np.isfinite(nep).any():
        return
    if gpp is not None and reco is not None:
        both = np.isfinite(nep) & np.isfinite(gpp) & np.isfinite(reco)
        if both.any():
            net = (gpp - reco)[both]
            as_it_is, turned = (np.abs(s * nep[both] - net).mean() for s in (1.0, -1.0))
            if turned < 0.5 * as_it_is:
                yield "nep is reco - gpp; it is positive into the land, gpp - reco"
            return
    pair = _with_measured(o, "nep")
    if pair is not None and np.corrcoef(*pair)[0, 1] < OPPOSED:
        yield "nep has the sign of NEE, against what was measured; it is positive into the land"


def _flux_sign(o: Opened) -> Iterator[str]:
    for name, words in (("hfls", "latent"), ("hfss", "sensible")):
        values = o.series(name)
        if values is None:
            continue
        pair = _with_measured(o, name)
        if pair is not None and np.corrcoef(*pair)[0, 1] < OPPOSED:
            yield f"{name} has the other sign than what was measured; it is positive upwards"
        elif name == "hfls" and np.isfinite(values).sum() >= YEAR and np.nanmean(values) < 0.0:
            yield (
                f"{name} is {np.nanmean(values):.1f} W m-2 on average; the {words} heat flux is "
                "positive upwards"
            )


def _magnitude(o: Opened) -> Iterator[str]:
    for name in MEASURED:
        pair = _with_measured(o, name)
        if pair is None:
            continue
        ratio = float(pair[0].std() / pair[1].std())
        if not 1.0 / APART < ratio < APART:
            yield (
                f"{name} varies {ratio:.2g} times as much as what was measured: its values may be "
                "in another unit"
            )


def _with_measured(o: Opened, name: str, shift: int = 0) -> tuple[np.ndarray, np.ndarray] | None:
    """Values of a file and what was measured, on the days that have both, moved by some days."""
    values = o.series(name)
    if values is None or o.fluxes is None or MEASURED[name] not in o.fluxes.values:
        return None
    measured = o.fluxes.values[MEASURED[name]]
    if name == "nep":  # of NEE, upwards in g of carbon a day
        measured = measured / -8.64e7
    if len(values) != len(measured):
        return None
    moved = np.full(len(values), np.nan)
    if shift >= 0:
        moved[shift:] = values[: len(values) - shift]
    else:
        moved[:shift] = values[-shift:]
    both = np.isfinite(moved) & np.isfinite(measured)
    if both.sum() < FEWEST or np.ptp(moved[both]) == 0.0:
        return None
    return moved[both], measured[both]


def _day_shift(o: Opened) -> Iterator[str]:
    for name in MEASURED:
        found = {}
        for shift in SHIFTS:
            pair = _with_measured(o, name, shift)
            if pair is not None:
                found[shift] = float(np.corrcoef(*pair)[0, 1])
        if 0 not in found:
            continue
        best = max(found, key=lambda shift: found[shift])
        if best and found[best] > found[0] + BETTER:
            late, days = "early" if best > 0 else "late", number_of(abs(best), "day")
            yield (
                f"{name} agrees better with what was measured if moved by {days} "
                f"(r {found[best]:.2f} in place of {found[0]:.2f}): it may be {late}"
            )


def _moisture(o: Opened) -> Iterator[str]:
    whole, upper = o.series("mrso"), o.series("mrsos")
    if whole is None or upper is None:
        return
    wrong = upper > whole * (1.0 + 1e-6) + 1e-6
    if wrong.any():
        yield f"mrsos is more than mrso on {number_of(int(wrong.sum()), 'day')}"


def _water(o: Opened) -> Iterator[str]:
    latent, tran, soil = (o.series(name) for name in ("hfls", "tran", "evspsblsoi"))
    if latent is None or tran is None or soil is None:
        return
    both = np.isfinite(latent) & np.isfinite(tran) & np.isfinite(soil)
    if not both.any():
        return
    parts, total = (tran + soil)[both].mean(), latent[both].mean() / VAPORISATION
    if parts > 1.5 * total + 2e-6:
        yield (
            f"tran and evspsblsoi are {DAY * parts:.2g} mm a day on average, and hfls only "
            f"{DAY * total:.2g} mm"
        )


def _calibrated(o: Opened) -> Iterator[str]:
    if o.name is None:
        return
    empty = [n for n in SCENARIOS[o.name.scenario] if _empty(o, n)]
    if empty:
        yield (
            f"Scen{o.name.scenario} calibrates {listing(SCENARIOS[o.name.scenario])}, and "
            f"{listing(empty)} {'has' if len(empty) == 1 else 'have'} no value"
        )


def _empty(o: Opened, name: str) -> bool:
    values = o.series(name)
    return values is not None and not np.isfinite(values).any()


def _has_uncertainty(o: Opened) -> Iterator[str]:
    if o.name is None or o.name.stage != POSTERIOR:
        return
    wanted = [n for n in SCENARIOS[o.name.scenario] if not _empty(o, n)]
    missing = [n + UNCERTAINTY for n in wanted if n + UNCERTAINTY not in o.raw.variables]
    if missing:
        yield f"{listing(missing)} {'is' if len(missing) == 1 else 'are'} missing"


def _no_uncertainty(o: Opened) -> Iterator[str]:
    if o.name is not None and o.name.stage == PRIOR:
        found = [n for n in o.raw.variables if n.endswith(UNCERTAINTY)]
        if found:
            yield f"{listing(found)} belong to a posterior run, and this is the prior"


def _positive(o: Opened) -> Iterator[str]:
    for name in o.raw.variables:
        of = name.removesuffix(UNCERTAINTY)
        if of == name or of not in VARIABLES:
            continue
        sigma, values = o.series(name), o.series(of)
        if sigma is None or values is None:
            continue
        wrong, without = int((sigma <= 0.0).sum()), np.isfinite(values) & ~np.isfinite(sigma)
        if wrong:
            yield f"{name} is zero or less on {number_of(wrong, 'day')}"
        elif without.any():
            days = number_of(int(without.sum()), "day")
            yield f"{name} is missing on {days} on which {of} is there"


def _gaps(o: Opened) -> Iterator[str]:
    alike: dict[str, list[str]] = {}
    for name in VARIABLES:
        values = o.series(name)
        if values is not None and np.isfinite(values).any():
            share = float(np.isnan(values).mean())
            if share > GAPS:
                alike.setdefault(f"{100.0 * share:.1f} %", []).append(name)
    for share, names in alike.items():
        yield f"{listing(names)} {agree(len(names), 'has', 'have')} no value on {share} of the days"


def _empties(o: Opened) -> Iterator[str]:
    empty = [name for name in VARIABLES if _empty(o, name)]
    if empty:
        yield f"{listing(empty)} {'is' if len(empty) == 1 else 'are'} there without any value"


_DAYS = ("tower", "time-units", "calendar")
CONTENT = (
    Check("time-units", "time is in days since a date", _time_units),
    Check("calendar", "the calendar has leap days", _calendar, ("time-units",)),
    Check("time-steps", "every step is a day", _steps, ("time-units", "calendar")),
    Check("time-length", "as many days as the record of the tower", _length, _DAYS),
    Check("time-start", "the first time is on its first day", _start, (*_DAYS, "time-steps")),
    Check("infinities", "no value is infinite or not a number", _infinities),
    Check("ranges", "daily means are possible on land", _ranges),
    Check("constant", "fluxes and temperature change", _constant),
    Check("nep-sign", "nep is positive into the land", _nep_sign),
    Check("flux-sign", "turbulent fluxes are positive upwards", _flux_sign, ("ranges",)),
    Check("magnitude", "fluxes vary about as what was measured", _magnitude, ("ranges", "type")),
    Check("moisture", "the upper 0.1 m hold no more than the whole soil", _moisture, ("ranges",)),
    Check(
        "evaporation",
        "its parts are no more than hfls",
        _water,
        ("ranges", "flux-sign", "magnitude"),
    ),
    Check("calibrated", "what the scenario calibrates has values", _calibrated, ("file-name",)),
    Check("uncertainty", "the posterior has it", _has_uncertainty, ("file-name",)),
    Check("uncertainty-of-prior", "the prior has none", _no_uncertainty, ("file-name",)),
    Check(
        "uncertainty-positive",
        "it is above 0 where there is a value",
        _positive,
        ("infinities",),
    ),
    Check("gaps", "few days are missing", _gaps, ("infinities",), fails=False),
    Check("empty", "what a model lacks", _empties, ("calibrated",), fails=False),
    Check(
        "day-shift",
        "no other day agrees better with what was measured",
        _day_shift,
        ("time-steps", "time-length", "time-start", "nep-sign", "flux-sign"),
        fails=False,
    ),
)

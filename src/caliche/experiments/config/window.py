"""The tables that say where and when: [site], [window], [sites]."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from caliche.data.quality import utc_text
from caliche.data.source import check_place
from caliche.errors import InputError
from caliche.experiments.config.tables import SitesConfig, Synthetic, Window
from caliche.keys.declare import key
from caliche.wording import number_of


@dataclass(frozen=True, kw_only=True)
class SiteTable:
    """The site: its name, its clock and its place."""

    name: str | None = key("name of the site; the files' name for it if left out", None)
    utc_offset: float = key(
        "local standard time = UTC + utc_offset", 0.0, unit="hours", least=-14, most=14
    )
    latitude: float | None = key(
        "latitude, where the files do not have it",
        None,
        unit="degrees north",
        least=-90,
        most=90,
        checked=False,
    )
    longitude: float | None = key(
        "longitude, where the files do not have it",
        None,
        unit="degrees east",
        least=-180,
        most=360,
        checked=False,
    )

    def check(self, where: str) -> None:
        check_place(self.latitude, self.longitude)


@dataclass(frozen=True, kw_only=True)
class TwinWindowTable:
    """The window where times are made up or come with a collection of sites."""

    time_step: float = key("time step of the model", unit="s", least=1, example="1800")
    resample: str = key(
        "if time_step is longer than the file's: its means, or the values at its ends",
        "mean",
        choices=("mean", "sample"),
    )
    spin_up_days: float | None = key(
        "how long the model runs before the start, unobserved",
        None,
        unit="days",
        above=0,
        most=36525,
    )
    fill_gaps_hours: float | None = key(
        "longest gap of the forcing that is interpolated; rain is taken as dry",
        None,
        unit="hours",
        above=0,
    )

    @property
    def spin_up(self) -> float:
        """Seconds before the start."""
        return 0.0 if self.spin_up_days is None else self.spin_up_days * 86400.0

    def check(self, where: str) -> None:
        steps = round(self.spin_up / self.time_step)
        if abs(steps * self.time_step - self.spin_up) > 1e-6:
            raise InputError(
                f"spin_up_days in {where} of a whole number of time steps of {self.time_step:g} s",
                number_of(self.spin_up / 86400.0, "day"),
                "spin_up_days = 1.0",
            )


@dataclass(frozen=True, kw_only=True)
class WindowTable(TwinWindowTable):
    """The part of the record that is used, in local standard time unless a time carries an offset.

    A twin, and an experiment for a collection of sites, have no start, fit_until and end."""

    start: datetime = key("first time")
    fit_until: datetime | None = key("end of the fit; what follows is held out", None)
    end: datetime = key("last time")


@dataclass(frozen=True, kw_only=True)
class SitesTable:
    """The part of a collection of many sites that is fitted (`caliche sites`)."""

    start: datetime | None = key("first time; that of the collection if left out", None)
    end: datetime | None = key("last time; that of the collection if left out", None)


def utc(value: datetime, utc_offset: float) -> np.datetime64:
    """UTC; a time without an offset is local standard time of the site."""
    if value.tzinfo is None:
        moment = value - timedelta(hours=utc_offset)
    else:
        moment = value.astimezone(UTC).replace(tzinfo=None)
    return np.datetime64(moment, "ns")


# Half-hours of a thousand years: no record is longer, and what is longer is a slip of the pen.
MOST_STEPS = 20_000_000


def make_window(
    table: TwinWindowTable, where: str, utc_offset: float, synthetic: Synthetic | None
) -> Window:
    """The window in UTC.

    Raises
    ------
    InputError : a spin-up of many sites, times that are not in order, or steps without number.
    """
    step, resample, fill_gaps = table.time_step, table.resample, table.fill_gaps_hours or 0.0
    if synthetic is not None:
        start = np.datetime64("2000-01-01T00:00:00", "ns")
        hours = synthetic.hours
        fit_hours = hours if synthetic.fit_hours is None else synthetic.fit_hours
        fit_until, end = (start + np.timedelta64(round(h * 3600), "s") for h in (fit_hours, hours))
        _check_length(start, end, step, where)
        return Window(start, fit_until, end, step, resample, table.spin_up)
    if not isinstance(table, WindowTable):  # many sites, whose collection brings the times
        if table.spin_up:
            raise InputError(
                f"no spin_up_days in {where} when there are many sites",
                number_of(table.spin_up / 86400.0, "day"),
                "let the collection begin earlier",
            )
        never = np.datetime64("NaT", "ns")
        return Window(never, never, never, step, resample)
    start, end = utc(table.start, utc_offset), utc(table.end, utc_offset)
    fit_until = end if table.fit_until is None else utc(table.fit_until, utc_offset)
    if not start < fit_until <= end:
        raise InputError(
            f"start before fit_until, and fit_until not after end, in {where}",
            f"start {utc_text(start)}, fit_until {utc_text(fit_until)}, end {utc_text(end)}",
            "put the three in order",
        )
    _check_length(start, end, step, where)
    return Window(start, fit_until, end, step, resample, table.spin_up, fill_gaps)


def _check_length(start: np.datetime64, end: np.datetime64, step: float, where: str) -> None:
    steps = (end - start) / np.timedelta64(1, "s") / step
    if not 1.0 <= steps <= MOST_STEPS:
        raise InputError(
            f"1 to {MOST_STEPS:,} time steps from start to end, in {where}",
            f"{steps:.3g} of {step:g} s",
            "change time_step, start or end",
        )


def make_sites(table: SitesTable, utc_offset: float) -> SitesConfig:
    """The fitted part of a collection, in UTC."""
    ends = [None if t is None else utc(t, utc_offset) for t in (table.start, table.end)]
    return SitesConfig(*ends)

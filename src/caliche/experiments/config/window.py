"""The tables that say when: [window], [sites] and [synthetic]."""

from __future__ import annotations

from datetime import datetime

import numpy as np

from caliche.data.quality import utc_text
from caliche.errors import InputError
from caliche.experiments.config.methods import parse_seed
from caliche.experiments.config.parameters import utc
from caliche.experiments.config.section import Section
from caliche.experiments.config.tables import SitesConfig, Synthetic, Window
from caliche.experiments.twin import FORCINGS
from caliche.wording import number_of


def parse_window(
    section: Section, utc_offset: float, synthetic: Synthetic | None, only_sites: bool
) -> Window:
    time_step = section.positive("time_step", float)
    spin_up = section.positive("spin_up_days", float, None)
    spin_up = 0.0 if spin_up is None else spin_up * 86400.0
    if abs(round(spin_up / time_step) * time_step - spin_up) > 1e-6:
        raise InputError(
            f"spin_up_days in {section.where} of a whole number of time steps of {time_step:g} s",
            number_of(spin_up / 86400.0, "day"),
            "spin_up_days = 1.0",
        )
    if spin_up and only_sites:
        raise InputError(
            f"no spin_up_days in {section.where} when there are many sites",
            number_of(spin_up / 86400.0, "day"),
            "let the collection begin earlier",
        )
    fill_gaps = section.positive("fill_gaps_hours", float, None) or 0.0
    resample = section.choice("resample", ("mean", "sample"), "mean")
    if synthetic is not None:
        start = np.datetime64("2000-01-01T00:00:00", "ns")
        fit_until, end = (
            start + np.timedelta64(round(hours * 3600), "s")
            for hours in (synthetic.fit_hours, synthetic.hours)
        )
        section.finish()
        return Window(start, fit_until, end, time_step, resample, spin_up)
    if only_sites:  # whose collection brings the times
        section.finish()
        never = np.datetime64("NaT", "ns")
        return Window(never, never, never, time_step, resample)
    start = utc(section.get("start", datetime), utc_offset)
    end = utc(section.get("end", datetime), utc_offset)
    until = section.get("fit_until", datetime, None)
    fit_until = end if until is None else utc(until, utc_offset)
    section.finish()
    if not start < fit_until <= end:
        raise InputError(
            f"start before fit_until, and fit_until not after end, in {section.where}",
            f"start {utc_text(start)}, fit_until {utc_text(fit_until)}, end {utc_text(end)}",
            "put the three in order",
        )
    return Window(start, fit_until, end, time_step, resample, spin_up, fill_gaps)


def parse_sites(section: Section, utc_offset: float) -> SitesConfig:
    start, end = (section.get(key, datetime, None) for key in ("start", "end"))
    section.finish()
    ends = [None if t is None else utc(t, utc_offset) for t in (start, end)]
    return SitesConfig(*ends)


def parse_synthetic(section: Section) -> Synthetic:
    forcing = section.choice("forcing", tuple(FORCINGS), "huang-2026")
    truth = section.section("truth")
    values: dict[str, float | tuple[float, ...]] = {
        key: truth.numbers(key) if isinstance(value, list) else truth.get(key, float)
        for key, value in truth.table.items()
    }
    hours = section.positive("hours", float, 100.0)
    fit_hours = section.positive("fit_hours", float, hours)
    if fit_hours > hours:
        raise InputError(
            f"fit_hours in {section.where} up to hours = {hours:g}",
            f"{fit_hours:g}",
            "leave it out to fit everything",
        )
    result = Synthetic(
        hours,
        fit_hours,
        section.get("noise", bool, True),
        parse_seed(section),
        values,
        forcing,
    )
    section.finish()
    return result

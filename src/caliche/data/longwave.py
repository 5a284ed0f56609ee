"""Incoming longwave radiation for towers that do not report it, from net radiation or the sky."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from caliche.constants import STEFAN_BOLTZMANN
from caliche.data.assemble import REJECTED, Series, attributes
from caliche.data.humidity import vapour_pressure
from caliche.data.origin import ORIGIN, REBUILT
from caliche.data.sky import cloudiness, sky_longwave
from caliche.data.sun import potential_shortwave
from caliche.errors import InputError, nearest
from caliche.keys.declare import key
from caliche.variables import variable

NAME = "incoming_longwave"
METHODS = ("balance", "sky")


@dataclass(frozen=True)
class LongwaveBalance:
    """What stands in for the terms of the radiation balance that a tower does not measure."""

    emissivity: float | None = key(
        "broadband emissivity, needed unless outgoing longwave radiation was measured",
        None,
        above=0,
        most=1,
        checked=False,
    )
    surface: str | None = key(
        "stream of the temperature that the surface emits with, needed likewise: a soil "
        "temperature near the surface, or the air's for a closed canopy",
        None,
    )
    albedo: float | None = key(
        "albedo, needed unless outgoing shortwave radiation was measured",
        None,
        least=0,
        most=1,
        checked=False,
    )
    method: str = key(
        '"balance" closes the measured net radiation with these; "sky" needs none of them, but '
        "latitude and longitude, air temperature, humidity and pressure",
        "balance",
        choices=METHODS,
    )

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(
                "method = 'balance' or 'sky'", repr(self.method), nearest(self.method, METHODS)
            )
        if self.emissivity is not None and not 0.0 < self.emissivity <= 1.0:
            raise InputError("an emissivity above 0 and up to 1", f"{self.emissivity:g}", "0.97")
        if self.albedo is not None and not 0.0 <= self.albedo <= 1.0:
            raise InputError("an albedo from 0 to 1", f"{self.albedo:g}", "give about 0.2")
        if self.surface is not None and variable(self.surface).unit != "K":
            raise InputError(
                "a temperature as the surface", self.surface, "soil_temperature_0.05m, for instance"
            )


def derive_incoming_longwave(dataset: xr.Dataset, balance: LongwaveBalance) -> xr.Dataset:
    """Incoming longwave radiation where it is missing.

    With method "sky", see `caliche.data.sky`; otherwise as what closes the net radiation:

        LWdown = (Rnet - SWdown + SWup) + LWup              where LWup was measured
        LWdown = (Rnet - SWdown + SWup) / eps + sigma T^4   elsewhere, which follows from
        LWup   = eps sigma T^4 + (1 - eps) LWdown

    SWup is the measured one, or albedo SWdown where there is none. All in W m-2, K. Measured
    values of LWdown stay. A value that cannot be (a spike of the net radiation) stays missing. The
    attribute "derived_from" says what was done and for how many values.

    Raises
    ------
    InputError : net or incoming shortwave radiation missing, terms neither measured nor given, or
        terms on different times; for the sky: a stream or the site's place missing.
    """
    if balance.method == "sky":
        return _filled(
            dataset,
            _of_the_sky(dataset),
            "incoming_shortwave",
            "air temperature, humidity and cloudiness",
        )
    used: list[str] = []

    def measured(name: str) -> np.ndarray | None:
        if name not in dataset.data_vars:
            return None
        used.append(name)
        return dataset[name].values

    net, down = measured("net_radiation"), measured("incoming_shortwave")
    if net is None or down is None:
        raise InputError(
            "net radiation and incoming shortwave radiation to rebuild the longwave from",
            "net_radiation missing" if net is None else "incoming_shortwave missing",
            "give the file that has it, or leave derive.incoming_longwave out",
        )
    up, how_short = measured("outgoing_shortwave"), "measured outgoing shortwave radiation"
    if up is None:
        if balance.albedo is None:
            raise InputError(
                "outgoing shortwave radiation, or an albedo for it",
                "neither",
                "give albedo under derive.incoming_longwave",
            )
        up, how_short = balance.albedo * np.maximum(down, 0.0), f"albedo {balance.albedo:g}"
    outgoing = measured("outgoing_longwave")
    if outgoing is not None:
        rebuilt, how_long = net - down + up + outgoing, "measured outgoing longwave radiation"
    else:
        rebuilt, how_long = _emitted(dataset, balance, net - down + up, used)
    _same_times(dataset, used)
    how = f"net radiation, {how_short} and {how_long}"
    return _filled(dataset, rebuilt, "net_radiation", how)


def _filled(dataset: xr.Dataset, rebuilt: np.ndarray, of: str, how: str) -> xr.Dataset:
    """The dataset with possible ones of the rebuilt values where longwave is missing."""
    known = dataset[NAME].values if NAME in dataset else np.full(rebuilt.shape, np.nan)
    bounds = variable(NAME)
    possible = (rebuilt >= bounds.valid_min) & (rebuilt <= bounds.valid_max)  # False where NaN
    filled = np.isnan(known) & possible
    spikes = int((np.isnan(known) & np.isfinite(rebuilt) & ~possible).sum())
    mark = NAME + REJECTED
    rejected = dataset[mark].values & ~filled if mark in dataset.coords else np.zeros_like(filled)
    series = Series(np.where(filled, rebuilt, known), rejected)
    if NAME in dataset:
        attrs = dict(dataset[NAME].attrs)
    else:
        origin = dataset[of].attrs
        attrs = attributes(
            NAME,
            series,
            str(origin.get("source", "")),
            float(origin["interval"]),
            dataset["time"].values,
        ) | {key: origin[key] for key in ("first_stamp", "last_stamp") if key in origin}
    attrs["derived_from"] = f"{int(filled.sum())} of {filled.size} values from {how}" + (
        f"; {spikes} left missing that would be impossible" if spikes else ""
    )
    known = dataset[NAME + ORIGIN].values if NAME + ORIGIN in dataset.coords else 0
    origin = np.where(filled, REBUILT, known).astype(np.int8)
    return dataset.assign({NAME: ("time", series.values, attrs)}).assign_coords(
        {mark: ("time", series.rejected), NAME + ORIGIN: ("time", origin)}
    )


def _of_the_sky(dataset: xr.Dataset) -> np.ndarray:
    """LWdown of the sky at every time (W m-2), NaN where a term is missing."""
    terms = ["incoming_shortwave", "air_temperature", "specific_humidity", "air_pressure"]
    missing = [name for name in terms if name not in dataset.data_vars]
    place = [dataset.attrs.get(key) for key in ("latitude", "longitude")]
    if missing or None in place:
        raise InputError(
            f"{', '.join(terms)}, latitude and longitude for the longwave radiation of the sky",
            f"no {', no '.join(missing) or 'latitude or longitude'}",
            "map the streams"
            if missing
            else "give latitude and longitude in [site] or in a source, or method = 'balance'",
        )
    _same_times(dataset, terms)
    shortwave, air, humidity, pressure = (dataset[name].values for name in terms)
    step = float(dataset.attrs["time_step"])
    middle = dataset["time"].values - np.timedelta64(round(step * 500), "ms")
    potential = potential_shortwave(middle, float(place[0]), float(place[1]))  # type: ignore[arg-type]
    clouds = cloudiness(shortwave, potential, max(1, round(86400.0 / step)))
    return sky_longwave(air, vapour_pressure(humidity, pressure), clouds)


def _emitted(
    dataset: xr.Dataset, balance: LongwaveBalance, net_longwave: np.ndarray, used: list[str]
) -> tuple[np.ndarray, str]:
    """LWdown from net longwave radiation (W m-2) and a surface temperature, and how."""
    if balance.emissivity is None or balance.surface is None:
        raise InputError(
            "outgoing longwave radiation, or emissivity and surface for it",
            "neither",
            "give both under derive.incoming_longwave",
        )
    if balance.surface not in dataset:
        raise InputError(
            f"the temperature {balance.surface} in the site's files",
            "none",
            "name another surface under derive.incoming_longwave",
        )
    used.append(balance.surface)
    black = STEFAN_BOLTZMANN * dataset[balance.surface].values ** 4
    text = f"{balance.surface} with emissivity {balance.emissivity:g}"
    return net_longwave / balance.emissivity + black, text


def _same_times(dataset: xr.Dataset, names: list[str]) -> None:
    """Raises InputError unless the streams have one interval, which is the shortest one."""
    step = float(dataset.attrs["time_step"])
    for name in names:
        interval = float(dataset[name].attrs.get("interval", step))
        if interval != step:
            raise InputError(
                f"the terms of the radiation balance every {step:g} s",
                f"{name} every {interval:g} s",
                "take them from files of one interval",
            )

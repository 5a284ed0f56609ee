"""Reader of FLUXNET and AmeriFlux tables of half hours or hours, and of days and weeks.

FLUXNET2015 and ONEFlux FULLSET (Pastorello et al. 2020, doi:10.1038/s41597-020-0534-3) and
AmeriFlux BASE, whose names end in a position _H_V_R. Times are local standard time, never
daylight saving; missing is -9999; `<name>_QC` is 0 measured, 1 to 3 filled (days and weeks:
`caliche.data.fluxnet_days`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
import xarray as xr

from caliche.data.assemble import Series, assemble, attributes, check_exists, in_si, screen
from caliche.data.fluxnet_days import Days, read_days, screen_share
from caliche.data.humidity import saturation_vapour_pressure, specific_humidity
from caliche.data.quality import check_scale, check_time
from caliche.data.source import Fluxnet, Source, TimeAxis
from caliche.data.table import CsvTable, interval_end_utc
from caliche.errors import InputError
from caliche.variables import FORCING, SIGMA, stream_name

# Stream -> unit in the file, names in the order they are looked for.
VARIABLE_MAP: dict[str, tuple[str, tuple[str, ...]]] = {
    "incoming_shortwave": ("W m-2", ("SW_IN_F", "SW_IN_F_MDS", "SW_IN")),
    "incoming_longwave": ("W m-2", ("LW_IN_F", "LW_IN_F_MDS", "LW_IN")),
    "air_temperature": ("degC", ("TA_F", "TA_F_MDS", "TA")),
    "air_pressure": ("kPa", ("PA_F", "PA")),
    "wind_speed": ("m s-1", ("WS_F", "WS")),
    "precipitation": ("mm", ("P_F", "P")),
    "outgoing_shortwave": ("W m-2", ("SW_OUT",)),
    "outgoing_longwave": ("W m-2", ("LW_OUT",)),
    "net_radiation": ("W m-2", ("NETRAD",)),
    "sensible_heat_flux": ("W m-2", ("H_F_MDS", "H")),
    "latent_heat_flux": ("W m-2", ("LE_F_MDS", "LE")),
}
CORRECTED = {"sensible_heat_flux": "H_CORR", "latent_heat_flux": "LE_CORR"}
RANDOM_UNCERTAINTY = {"sensible_heat_flux": "H_RANDUNC", "latent_heat_flux": "LE_RANDUNC"}
# Humidity, as vapour pressure deficit (hPa), relative humidity (%) or vapour pressure (kPa).
HUMIDITY = {"VPD_F": 100.0, "VPD": 100.0, "RH": 0.01, "eair": 1000.0}
SOIL, MOISTURE, PLATE = ("TS_F_MDS", "TS"), ("SWC_F_MDS", "SWC"), ("G_F_MDS", "G")
LONGEST = 3600.0  # s; longer means are laid out over days
MEAN_OVER = "mean_over"  # attribute: s before its stamp of which a value is the mean
_POSITION = re.compile(r"_(\d+)_(\d+)_(\d+)$")
_SITE = re.compile(r"(?:^|_)([A-Z]{2}-[A-Za-z0-9]{3})[_-]")


class _File:
    """An open table, its times, and how one of its columns becomes a series."""

    def __init__(self, source: Source, options: Fluxnet) -> None:
        check_exists(source.path)
        self.name, self.source, self.options = source.path.name, source, options
        self.table = CsvTable(source.path, ",", _is_read)
        self.columns = [str(column) for column in self.table.frame.columns]
        self.days: Days | None = None
        self.times, self.interval = self._times()

    def _times(self) -> tuple[np.ndarray, float]:
        """End of each interval (UTC) and its length in seconds."""
        stamps = {"end": "TIMESTAMP_END", "start": "TIMESTAMP_START"}
        found = {stamp: name for stamp, name in stamps.items() if name in self.columns}
        if not found and "TIMESTAMP" in self.columns:  # of days
            self.days = read_days(self.table, self.options.utc_offset)
            return self.days.times, 86400.0
        if not found:
            raise InputError(
                f"TIMESTAMP_END or TIMESTAMP_START in {self.name}", "neither",
                "give the half-hourly file (HH), or read it as a table",
            )  # fmt: skip
        offset, interval, ends = self.options.utc_offset, 0.0, []
        for stamp, column in found.items():
            axis = TimeAxis(column, stamp, offset)
            local = self.table.times(axis)
            usual = float(np.median(np.diff(local).astype(np.int64))) / 1e9 if len(local) > 1 else 0
            if usual > LONGEST:
                self.days = read_days(self.table, offset)
                return self.days.times, 86400.0
            interval = check_time(local, self.name, zone="")
            ends.append(interval_end_utc(local, interval, axis))
        if any((end != ends[0]).any() for end in ends):
            raise InputError(
                f"TIMESTAMP_START one interval before TIMESTAMP_END in {self.name}",
                "times that are not", "remove one of the two columns",
            )  # fmt: skip
        return ends[0], interval

    def find(self, names: Iterable[str]) -> str | None:
        """The first of the names that the file has, as it is or with the first position."""
        for name in names:
            if name in self.columns:
                return name
            placed = [c for c in self.columns if _POSITION.sub("", c) == name and c != name]
            if placed:
                return min(placed, key=_position)
        return None

    def series(self, column: str, stream: str, unit: str, flag: str | None = None) -> Series:
        """One column in SI, flags applied, its scale checked."""
        where = f"{column} of {self.name}"
        raw = self.raw(column, stream, flag)
        series = in_si(raw, stream, unit, self.interval, where)
        check_scale(series.values, stream, self.times, where, unit)
        return series

    def raw(self, column: str, stream: str, flag: str | None = None) -> Series:
        """One column in its own unit, sentinels and rejected values missing."""
        values = self.table.numbers(column)
        values[np.isin(values, list(self.source.missing))] = np.nan
        flag = flag or f"{column}_QC"
        flags = self.table.numbers(flag) if flag in self.columns else None
        if self.days is not None:
            if stream in FORCING:  # filled from a reanalysis where it was not measured
                return self.days.repeated(screen_share(values, None, 0.0))
            return self.days.at_end(screen_share(values, flags, self.options.least_measured))
        weather = self.options.accept_forcing
        mine = weather if stream in FORCING and weather is not None else self.source.accept_qc
        return screen(values, flags, mine)


def read_fluxnet(source: Source) -> xr.Dataset:
    """Read a FLUXNET or AmeriFlux table.

    Returns
    -------
    xr.Dataset as described at `open_source`. Where the file has a random uncertainty, a flux has
    it beside it as `<stream>_sigma` (W m-2, one standard deviation). A stream that may hold
    filled values without saying which has the attribute "quality".

    Raises
    ------
    InputError : a file that cannot be read, without times or without a known column, of months or
        years, more depths than sensors.
    """
    options = source.fluxnet
    if options is None:  # Source refuses this; said again for the type checker
        raise InputError("the UTC offset of a FLUXNET file", "none", "give utc_offset in hours")
    file = _File(source, options)
    streams, origin = _plain(file, options)
    streams |= _humidity(file, streams, origin)
    streams |= _soil(file, options, origin)
    streams |= _moisture(file, options, origin)
    if not streams:
        raise InputError(
            f"FLUXNET columns such as TA_F, SW_IN_F and H_F_MDS in {file.name}",
            f"{', '.join(file.columns[:5])} ...", "read it as a table, naming its columns",
        )  # fmt: skip
    match = _SITE.search(file.name)
    known: dict[str, object] = {
        "site": source.site or (match[1] if match else None),
        "utc_offset": float(options.utc_offset or 0.0),
        "latitude": options.latitude,
        "longitude": options.longitude,
    }
    dataset = assemble(file.times, streams, file.name, file.interval, known)
    for stream, column in origin.items():
        if "_F" in column and f"{column}_QC" not in file.columns:
            dataset[stream].attrs["quality"] = "no flags: filled and measured values look alike"
        dataset[stream].attrs["column"] = column
    if file.days is not None:
        for stream in dataset.data_vars:
            if stream not in FORCING:
                dataset[stream].attrs[MEAN_OVER] = file.days.length
    return dataset.assign(_uncertainty(file, streams))


def _plain(file: _File, options: Fluxnet) -> tuple[dict[str, Series], dict[str, str]]:
    """Streams that are one column each, and which column."""
    streams, origin = {}, {}
    for stream, (unit, names) in VARIABLE_MAP.items():
        column, flag = file.find(names), None
        if options.fluxes == "corrected" and stream in CORRECTED:
            flag = None if column is None else f"{column}_QC"  # corrected ones have none
            column = file.find([CORRECTED[stream]])
            if column is None:
                raise InputError(
                    f"the corrected flux {CORRECTED[stream]} in {file.name}", "no such column",
                    "set fluxes = 'measured'",
                )  # fmt: skip
        if column is not None:
            streams[stream], origin[stream] = file.series(column, stream, unit, flag), column
    return streams, origin


def _humidity(file: _File, streams: dict[str, Series], origin: dict[str, str]) -> dict[str, Series]:
    """Specific humidity from what the file has of it, temperature and pressure."""
    column = file.find(HUMIDITY)
    if column is None or not {"air_temperature", "air_pressure"} <= set(streams):
        return {}
    name = _POSITION.sub("", column)
    raw = file.raw(column, "specific_humidity")
    temperature, pressure = streams["air_temperature"], streams["air_pressure"]
    scaled, saturated = raw.values * HUMIDITY[name], saturation_vapour_pressure(temperature.values)
    vapour = {"VPD": saturated - scaled, "RH": scaled * saturated, "eair": scaled}
    actual = np.maximum(vapour[name.removesuffix("_F")], 0.0)  # a deficit rounded past saturation
    values = specific_humidity(actual, pressure.values)
    check_scale(values, "specific_humidity", file.times, f"{column} of {file.name}")
    origin["specific_humidity"] = column
    rejected = raw.rejected | pressure.rejected
    if name != "eair":
        rejected |= temperature.rejected
    return {"specific_humidity": Series(values, rejected)}


def _soil(file: _File, options: Fluxnet, origin: dict[str, str]) -> dict[str, Series]:
    """Soil temperatures and soil heat flux, named by the depths that were given for them."""
    streams = {}
    for stream, column in _at_depths(file, SOIL, "soil_temperature", options.soil_depths).items():
        streams[stream], origin[stream] = file.series(column, stream, "degC"), column
    plate = file.find(PLATE)
    if plate is not None and options.plate_depth is not None:
        stream = stream_name("ground_heat_flux", options.plate_depth)
        streams[stream], origin[stream] = file.series(plate, stream, "W m-2"), plate
    return streams


def _moisture(file: _File, options: Fluxnet, origin: dict[str, str]) -> dict[str, Series]:
    """Soil moistures, in % as the format has them, or fractions where none is above 1."""
    streams = {}
    for stream, column in _at_depths(
        file, MOISTURE, "soil_moisture", options.moisture_depths
    ).items():
        found = file.raw(column, stream).values
        fractions = np.isfinite(found).any() and np.nanmax(found) <= 1.0
        streams[stream] = file.series(column, stream, "1" if fractions else "%")
        origin[stream] = column
    return streams


def _at_depths(
    file: _File, bases: Sequence[str], name: str, depths: Sequence[float]
) -> dict[str, str]:
    """Stream -> column, for sensors at the depths that were given for them."""
    columns = soil_columns(file.columns, bases)
    if len(depths) > len(columns):
        words = name.replace("_", " ") + "s"
        key = "soil_depths" if bases == SOIL else "moisture_depths"
        raise InputError(
            f"as many {key} as {words} in {file.name}",
            f"{len(depths)} depths for {len(columns)} ({', '.join(columns) or 'none'})",
            "give one depth in metres for each, in the order of the columns",
        )
    return {stream_name(name, d): c for c, d in zip(columns, depths, strict=False)}


def soil_columns(columns: Sequence[str], bases: Sequence[str] = SOIL) -> list[str]:
    """Columns of a profile from the top down: TS_F_MDS_n, TS_n, or the first TS_H_V_R."""
    for base in bases:
        numbered = [c for c in columns if re.fullmatch(rf"{base}_\d+", c)]
        if numbered:
            return sorted(numbered, key=lambda c: int(c.rpartition("_")[2]))
        placed = sorted((c for c in columns if _POSITION.sub("", c) == base and c != base),
                        key=_position)  # fmt: skip
        if placed:
            first = _position(placed[0])[0]
            profile = {_position(c)[1]: c for c in reversed(placed) if _position(c)[0] == first}
            return [profile[vertical] for vertical in sorted(profile)]
    return []


def _uncertainty(file: _File, streams: dict[str, Series]) -> dict[str, tuple]:
    """The random uncertainty of each flux that the file has it for."""
    found = {}
    for stream, name in RANDOM_UNCERTAINTY.items():
        column = file.find([name])
        if column is None or stream not in streams:
            continue
        values = file.raw(column, stream).values
        values[~(values > 0.0) | np.isnan(streams[stream].values)] = np.nan
        series = Series(values, np.zeros(values.shape, dtype=bool))
        attrs = attributes(stream + SIGMA, series, file.name, file.interval, file.times)
        found[f"{stream}{SIGMA}"] = ("time", values, attrs)
    return found


def _position(column: str) -> tuple[int, ...]:
    """Horizontal, vertical and replicate number of a column."""
    match = _POSITION.search(column)
    return (0, 0, 0) if match is None else tuple(int(part) for part in match.groups())


_BASES = {
    *(name for _, names in VARIABLE_MAP.values() for name in names), *CORRECTED.values(),
    *RANDOM_UNCERTAINTY.values(), *HUMIDITY, *PLATE, "TIMESTAMP", "TIMESTAMP_START",
    "TIMESTAMP_END",
}  # fmt: skip


def _is_read(column: str) -> bool:
    """Whether a column is of any use here: a FULLSET file has hundreds of others."""
    base = _POSITION.sub("", column.removesuffix("_QC"))
    return base in _BASES or re.fullmatch(r"(TS|SWC)(_F_MDS)?(_\d+)?", base) is not None

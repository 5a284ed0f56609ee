"""Reader of FLUXNET and AmeriFlux tables of half hours or hours, and of days and weeks.

FLUXNET2015 and ONEFlux FULLSET (Pastorello et al. 2020, doi:10.1038/s41597-020-0534-3) and
AmeriFlux BASE, whose names end in a position _H_V_R. Times are local standard time, never
daylight saving; missing is -9999; `<name>_QC` is 0 measured, 1 to 3 filled (days and weeks:
`caliche.data.readers.fluxnet_days`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
import xarray as xr

from caliche.data.assemble import (
    Series,
    assemble,
    attributes,
    check_exists,
    filled_in,
    first_with_values,
    in_si,
    screen,
)
from caliche.data.humidity import contradiction, saturation_vapour_pressure, specific_humidity
from caliche.data.missing import without_missing
from caliche.data.origin import add_note
from caliche.data.quality import check_scale, check_time
from caliche.data.readers.csv_table import CsvTable
from caliche.data.readers.fluxnet_days import Days, read_days, screen_share
from caliche.data.readers.fluxnet_names import POSITION, SOIL, position, sensor, soil_profiles
from caliche.data.readers.table import interval_end_utc
from caliche.data.source import Fluxnet, Source, TimeAxis
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
FOR_HUMIDITY = ("air_temperature", "air_pressure")  # read for it even where not wanted themselves
MOISTURE, PLATE = ("SWC_F_MDS", "SWC"), ("G_F_MDS", "G")
UNFLAGGED = "no flags: filled and measured values look alike"
LARGEST_FRACTION = 1.1  # of a relative humidity, which is in % in these files
LONGEST = 3600.0  # s; longer means are laid out over days
MEAN_OVER = "mean_over"  # attribute: s before its stamp of which a value is the mean
_SITE = re.compile(r"(?:^|_)([A-Z]{2}-[A-Za-z0-9]{3})[_-]")


class _File:
    """An open table, its times, and how one of its columns becomes a series."""

    def __init__(self, source: Source, options: Fluxnet) -> None:
        check_exists(source.path)
        self.name, self.source, self.options = source.path.name, source, options
        self.table = CsvTable(source.path, ",", _is_read, source.missing)
        self.columns = [name for name in self.table.names if _is_read(name)]
        self.days: Days | None = None
        self.notes: dict[str, str] = {}  # of a stream whose first column is empty
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
                f"TIMESTAMP_END or TIMESTAMP_START in {self.name}",
                "neither",
                "give the half-hourly file (HH), or read it as a table",
            )
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
                "times that are not",
                "remove one of the two columns",
            )
        return ends[0], interval

    def find(self, names: Iterable[str], stream: str) -> str | None:
        """The first of the names that has values, as it is or with the first position."""
        there = []
        for name in names:
            there += [name] if name in self.columns else []
            placed = [c for c in self.columns if POSITION.sub("", c) == name and c != name]
            there += sorted(placed, key=position)
        preferred = self.options.prefer.get(stream)
        if preferred is not None and preferred not in there:
            raise InputError(
                f"a column of {stream} in {self.name} for prefer",
                repr(preferred),
                f"one of {', '.join(there) or 'none, there is no such column'}",
            )
        found, note = first_with_values(there, self.own, self.name)
        if preferred is not None:
            return preferred
        if note:
            self.notes[stream] = note
        return found

    def own(self, column: str) -> np.ndarray:
        """One column in its own unit (n rows of the file,), NaN where missing."""
        return without_missing(self.table.numbers(column), self.source.missing)

    def series(self, column: str, stream: str, unit: str, flag: str | None = None) -> Series:
        """One column in SI, flags applied, its scale checked."""
        where = f"{column} of {self.name}"
        raw = self.raw(column, stream, flag)
        series = in_si(raw, stream, unit, self.interval, where)
        check_scale(series.values, stream, self.times, where, unit, self.source.ranges)
        return series

    def raw(self, column: str, stream: str, flag: str | None = None) -> Series:
        """One column in its own unit, sentinels and rejected values missing."""
        values = self.own(column)
        flag = flag or f"{column}_QC"
        flags = self.table.numbers(flag) if flag in self.columns else None
        if self.days is not None:
            if stream in FORCING:  # filled from a reanalysis where it was not measured
                return self.days.repeated(screen_share(values, flags, -np.inf))
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
    for stream in options.prefer:
        if stream not in streams or stream.startswith(("soil_temperature", "soil_moisture")):
            raise InputError(
                f"streams of {file.name} with a choice of columns for prefer",
                stream,
                f"one of {', '.join([*VARIABLE_MAP, 'specific_humidity'])}",
            )
    streams = {stream: series for stream, series in streams.items() if source.wants(stream)}
    if not streams:
        raise InputError(
            f"FLUXNET columns such as TA_F, SW_IN_F and H_F_MDS in {file.name}",
            f"{', '.join(file.columns[:5])} ...",
            "read it as a table, naming its columns",
        )
    match = _SITE.search(file.name)
    known: dict[str, object] = {
        "site": source.site or (match[1] if match else None),
        "utc_offset": float(options.utc_offset or 0.0),
        "latitude": options.latitude,
        "longitude": options.longitude,
    }
    dataset = assemble(file.times, streams, file.name, file.interval, known)
    for stream in streams:
        dataset[stream].attrs["column"] = origin[stream]
        if stream in file.notes:
            add_note(dataset, stream, file.notes[stream])
        _tell_flags(file, dataset, stream, origin)
    _against_other_humidity(file, dataset)
    if file.days is not None:
        for stream in dataset.data_vars:
            if stream not in FORCING:
                dataset[stream].attrs[MEAN_OVER] = file.days.length
    return dataset.assign(_uncertainty(file, streams))


def _tell_flags(file: _File, dataset: xr.Dataset, stream: str, origin: dict[str, str]) -> None:
    """Say of a stream without flags whether its column may hold filled values."""
    others = FOR_HUMIDITY if stream == "specific_humidity" else ()
    columns = [origin[name] for name in (stream, *others)]
    bare = [column for column in columns if f"{column}_QC" not in file.columns]
    if any("_F" in column for column in bare):
        dataset[stream].attrs["quality"] = UNFLAGGED
        add_note(dataset, stream, UNFLAGGED)
    elif len(bare) == len(columns) and origin[stream] not in CORRECTED.values():
        dataset[stream].attrs["flags"] = "raw"


def _plain(file: _File, options: Fluxnet) -> tuple[dict[str, Series], dict[str, str]]:
    """Streams that are one column each, and which column."""
    streams, origin = {}, {}
    for stream, (unit, names) in VARIABLE_MAP.items():
        if not file.source.wants(stream) and stream not in FOR_HUMIDITY:
            continue
        column, flag = file.find(names, stream), None
        if options.fluxes == "corrected" and stream in CORRECTED:
            flag = None if column is None else f"{column}_QC"  # corrected ones have none
            file.notes.pop(stream, None)
            column = file.find([CORRECTED[stream]], "")
            if column is None:
                raise InputError(
                    f"the corrected flux {CORRECTED[stream]} in {file.name}",
                    "no such column",
                    "set fluxes = 'measured'",
                )
            if not np.isfinite(file.own(column)).any():
                file.notes[stream] = f"{column} is empty; fluxes = 'measured' reads another column"
        if column is not None:
            streams[stream], origin[stream] = file.series(column, stream, unit, flag), column
    return streams, origin


def _humidity(file: _File, streams: dict[str, Series], origin: dict[str, str]) -> dict[str, Series]:
    """Specific humidity from what the file has of it, temperature and pressure."""
    column = file.find(HUMIDITY, "specific_humidity")
    if column is None or not set(FOR_HUMIDITY) <= set(streams):
        return {}
    name = POSITION.sub("", column)
    raw = file.raw(column, "specific_humidity")
    temperature, pressure = streams["air_temperature"], streams["air_pressure"]
    scaled, saturated = raw.values * HUMIDITY[name], saturation_vapour_pressure(temperature.values)
    vapour = {"VPD": saturated - scaled, "RH": scaled * saturated, "eair": scaled}
    actual = np.maximum(vapour[name.removesuffix("_F")], 0.0)  # a deficit rounded past saturation
    values = specific_humidity(actual, pressure.values)
    where = f"{column} of {file.name}"
    if name == "RH" and np.isfinite(raw.values).any() and np.nanmax(raw.values) <= LARGEST_FRACTION:
        raise InputError(
            f"relative humidity in % in {where}",
            f"no value above {np.nanmax(raw.values):.3g}",
            "multiply it by 100",
        )
    ranges = file.source.ranges
    check_scale(values, "specific_humidity", file.times, where, ranges=ranges)
    origin["specific_humidity"] = column
    parts = (raw, pressure) if name == "eair" else (raw, pressure, temperature)
    rejected = np.logical_or.reduce([part.rejected for part in parts])
    return {"specific_humidity": Series(values, rejected, filled_in(parts))}


def _against_other_humidity(file: _File, dataset: xr.Dataset) -> None:
    """Note a relative humidity that is not that of the deficit or vapour pressure that was used."""
    column = file.find(["RH"], "")
    used = dataset["specific_humidity"].attrs["column"] if "specific_humidity" in dataset else None
    if column is None or used is None or column == used or file.days is not None:
        return
    sentence = contradiction(dataset, 0.01 * file.own(column), used, f"{column} of {file.name}")
    if sentence:
        add_note(dataset, "specific_humidity", sentence)


def _soil(file: _File, options: Fluxnet, origin: dict[str, str]) -> dict[str, Series]:
    """Soil temperatures and soil heat flux, named by the depths that were given for them."""
    streams = {}
    for stream, column in _at_depths(file, SOIL, "soil_temperature", options.soil_depths).items():
        streams[stream], origin[stream] = file.series(column, stream, "degC"), column
    if options.plate_depth is None:
        return streams
    stream = stream_name("ground_heat_flux", options.plate_depth)
    plate = file.find(PLATE, stream)
    if plate is not None:
        streams[stream], origin[stream] = file.series(plate, stream, "W m-2"), plate
    return streams


def _moisture(file: _File, options: Fluxnet, origin: dict[str, str]) -> dict[str, Series]:
    """Soil moistures, in % as the format has them, unless the source says otherwise."""
    streams, unit = {}, options.moisture_unit
    depths = options.moisture_depths
    for stream, column in _at_depths(file, MOISTURE, "soil_moisture", depths).items():
        found = file.own(column)
        if unit == "%" and np.isfinite(found).any() and np.nanmax(found) <= 1.0:
            told = file.notes[stream] + "\n" if stream in file.notes else ""
            most = f"{np.nanmax(found):.2g}"
            file.notes[stream] = (
                f"{told}{column} of {file.name} is read in %, as the format has it, and nowhere "
                f"exceeds {most} %; if these are fractions, give moisture_unit = '1'"
            )
        streams[stream], origin[stream] = file.series(column, stream, unit), column
    return streams


def _at_depths(
    file: _File, bases: Sequence[str], name: str, depths: Sequence[float]
) -> dict[str, str]:
    """Stream -> column, for sensors at the depths that were given for them."""
    profiles = soil_profiles(file.columns, bases)
    columns, notes = _first_alive(file, profiles, len(depths))
    if len(depths) > len(columns):
        words = name.replace("_", " ") + "s"
        key = "soil_depths" if bases == SOIL else "moisture_depths"
        raise InputError(
            f"as many {key} as {words} in {file.name}",
            f"{len(depths)} depths for {len(columns)} ({', '.join(columns) or 'none'})",
            "give one depth in metres for each, in the order of the columns",
        )
    streams = {stream_name(name, d): c for c, d in zip(columns, depths, strict=False)}
    file.notes |= {stream: notes[c] for stream, c in streams.items() if c in notes}
    return streams


def _first_alive(
    file: _File, profiles: Sequence[Sequence[str]], number: int
) -> tuple[list[str], dict[str, str]]:
    """The first profile with values, and for each column that is not the first choice a sentence.

    Within it, an empty column gives way to one of the same sensor (TS_1 for TS_F_MDS_1) or place
    (another replicate).
    """

    def alive(column: str) -> bool:
        return bool(np.isfinite(file.own(column)).any())

    wanted = [list(profile[:number]) for profile in profiles]
    first = next((p for p in wanted if any(alive(c) for c in p)), wanted[0] if wanted else [])
    notes = {}
    if first and first is not wanted[0]:
        dead = " and ".join(c for p in wanted[: wanted.index(first)] for c in p)
        notes = {c: f"{dead} of {file.name} are empty, so {c} was read" for c in first}
    found = list(profiles[wanted.index(first)]) if first else []
    for k, column in enumerate(first):
        others = [c for c in file.columns if c != column and sensor(c) == sensor(column)]
        other = None if alive(column) else next((c for c in others if alive(c)), None)
        if other is not None:
            found[k] = other
            notes[other] = f"{column} of {file.name} is empty, so {other} was read"
        elif not alive(column):
            there = [c for p in profiles for c in p if c not in first and alive(c)]
            hint = f"; {', '.join(there)} has values" if there else ""
            notes[column] = f"{column} of {file.name} is empty{hint}"
    return found, notes


def soil_columns(columns: Sequence[str], bases: Sequence[str] = SOIL) -> list[str]:
    """Columns of a profile from the top down: TS_F_MDS_n, TS_n, or the first TS_H_V_R."""
    return next(iter(soil_profiles(columns, bases)), [])


def _uncertainty(file: _File, streams: dict[str, Series]) -> dict[str, tuple]:
    """The random uncertainty of each flux that the file has it for."""
    found = {}
    for stream, name in RANDOM_UNCERTAINTY.items():
        column = file.find([name], "") if stream in streams else None
        if column is None:
            continue
        values = file.raw(column, stream).values
        values[~(values > 0.0) | np.isnan(streams[stream].values)] = np.nan
        series = Series(values, np.zeros(values.shape, dtype=bool))
        attrs = attributes(stream + SIGMA, series, file.name, file.interval, file.times)
        found[f"{stream}{SIGMA}"] = ("time", values, attrs)
    return found


_BASES = {
    *(name for _, names in VARIABLE_MAP.values() for name in names),
    *CORRECTED.values(),
    *RANDOM_UNCERTAINTY.values(),
    *HUMIDITY,
    *PLATE,
    "TIMESTAMP",
    "TIMESTAMP_START",
    "TIMESTAMP_END",
}


def _is_read(column: str) -> bool:
    """Whether a column is of any use here: a FULLSET file has hundreds of others."""
    base = POSITION.sub("", column.removesuffix("_QC"))
    return base in _BASES or re.fullmatch(r"(TS|SWC)(_F_MDS)?(_\d+)?", base) is not None

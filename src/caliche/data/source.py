"""Where a site's data come from: the declaration of one file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xarray import Dataset

from caliche.data.missing import NUMBERS as MISSING
from caliche.errors import InputError, nearest
from caliche.keys.declare import key
from caliche.variables import SIGMA, variable

STAMPS = ("start", "middle", "end")
FORMATS = ("urban-plumber", "fluxnet", "plumber2", "callmip", "table")
TOWERS = ("fluxnet", "plumber2")  # formats that say neither where nor when
FLUXES = ("measured", "corrected")
MOISTURE_UNITS = ("%", "1")


@dataclass(frozen=True)
class TimeAxis:
    """The time column of a table and what its stamps mean.

    Raises
    ------
    InputError : stamp or utc_offset left out (no default is safe: half an hour or half a day of
        shift looks like a physical lag) or not possible.
    """

    column: str = key("name of the column (CSV) or variable (netCDF) that holds the time")
    stamp: str | None = key(
        "part of the interval that the time of a row marks; has to be given", None, choices=STAMPS
    )
    utc_offset: float | None = key(
        "local time of the file = UTC + utc_offset; halves exist (5.5); has to be given",
        None,
        unit="hours",
        least=-14,
        most=14,
    )
    format: str | None = key(
        "strptime format of the times; without it ISO 8601 (2012-05-01 07:00:00) and the digits of "
        "FLUXNET (201205010700)",
        None,
    )

    def __post_init__(self) -> None:
        if self.stamp is None:
            raise InputError(
                "the part of the interval that the time stamps mark, which the file does not say",
                f"no stamp for the time column {self.column!r}",
                "give stamp = 'start', 'middle' or 'end'",
            )
        if self.stamp not in STAMPS:
            raise InputError(
                "a stamp of 'start', 'middle' or 'end'",
                repr(self.stamp),
                nearest(str(self.stamp), STAMPS),
            )
        if self.utc_offset is None:
            raise InputError(
                "the UTC offset of the time stamps, which the file does not say",
                f"no utc_offset for the time column {self.column!r}",
                "give utc_offset in hours, local time = UTC + utc_offset (0 for UTC)",
            )
        if not (math.isfinite(self.utc_offset) and -14.0 <= self.utc_offset <= 14.0):
            raise InputError(
                "a UTC offset between -14 and 14 hours",
                f"{self.utc_offset}",
                "give hours, local time = UTC + utc_offset; half hours are fractions (5.5)",
            )


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    name: str = key("name in the file")
    unit: str | None = key(
        "unit in the file; may be left out where a netCDF variable carries its own", None
    )
    qc: str | None = key("name of the column of quality flags", None)
    accept: Sequence[int] | None = key(
        "accepted flags, instead of those of the source", None, example="[0, 1]"
    )

    def __post_init__(self) -> None:
        if self.accept is not None:
            object.__setattr__(self, "accept", tuple(self.accept))


@dataclass(frozen=True)
class Fluxnet:
    """What a FLUXNET, AmeriFlux or PLUMBER2 file does not say of itself.

    Parameters
    ----------
    utc_offset : hours, local standard time = UTC + utc_offset.
    accept_forcing : accepted quality flags of the weather; None takes those of the Source. Fluxes
        and soil temperatures keep those of the Source, so that filled weather can drive a model
        that is compared with measured fluxes only.
    fluxes : "measured", or "corrected" for energy closure (H_CORR, LE_CORR).
    soil_depths : metres, of the soil temperatures in the order of their columns (TS_F_MDS_1 ...);
        without them these are not read.
    moisture_depths : likewise, of the soil moistures (SWC_F_MDS_1 ...).
    prefer : by stream, the column to read instead of the format's first, as P for precipitation.
    moisture_unit : "%", as the format has it, or "1" where a file departs from it.
    plate_depth : metres, of the soil heat flux G; without it this is not read.
    latitude, longitude : degrees north and east, for the check of the clock and for longwave
        radiation from the sky.
    least_measured : share of a day or week that has to be measured for its mean of a flux, soil
        temperature or moisture to count; in files of half hours `accept_qc` says that.
    stamp : "start", "middle" or "end" of the interval, needed for PLUMBER2 and for it alone.

    Raises
    ------
    InputError : utc_offset left out or impossible, an unknown choice of fluxes, depths below 0.
    """

    utc_offset: float | None = None
    accept_forcing: Sequence[int] | None = None
    fluxes: str = "measured"
    soil_depths: Sequence[float] = ()
    moisture_depths: Sequence[float] = ()
    plate_depth: float | None = None
    latitude: float | None = None
    longitude: float | None = None
    least_measured: float = 0.5
    stamp: str | None = None
    moisture_unit: str = "%"
    prefer: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        TimeAxis("TIMESTAMP_END", "end", self.utc_offset)  # checks the offset
        if self.fluxes not in FLUXES:
            raise InputError(
                "fluxes = 'measured' or 'corrected'",
                repr(self.fluxes),
                nearest(str(self.fluxes), FLUXES),
            )
        for depth in [*self.soil_depths, *self.moisture_depths, self.plate_depth or 0.0]:
            if not (math.isfinite(depth) and depth >= 0.0):
                raise InputError(
                    "depths of 0 m or more", f"{depth:g}", "give metres below the surface"
                )
        check_place(self.latitude, self.longitude)
        if self.moisture_unit not in MOISTURE_UNITS:
            raise InputError(
                "moisture_unit = '%' or '1'", repr(self.moisture_unit), "leave it out for %"
            )
        if not 0.0 <= self.least_measured <= 1.0:
            raise InputError(
                "least_measured from 0 to 1", f"{self.least_measured:g}", "give a share, as in 0.5"
            )


def check_place(latitude: float | None, longitude: float | None) -> None:
    """Raises InputError at a latitude or longitude (degrees north and east) that cannot be."""
    if longitude is not None and not -180.0 <= longitude <= 360.0:
        raise InputError("a longitude in degrees east", f"{longitude:g}", "give -112.1")
    if latitude is not None and not -90.0 <= latitude <= 90.0:
        raise InputError("a latitude in degrees north", f"{latitude:g}", "give 33.5")


@dataclass(frozen=True)
class Source:
    """One file and how to read it.

    Parameters
    ----------
    path : the file.
    format : "urban-plumber" and "callmip" (names, units and times are fixed by the format),
        "fluxnet" and "plumber2" (likewise, with `fluxnet`) or "table" (CSV or netCDF, told by the
        suffix, read through `time` and `columns`).
    time, columns : the time axis and, by stream name, the columns of a table.
    fluxnet : what a "fluxnet" or "plumber2" file leaves open.
    accept_qc : accepted quality flags, unless a column has its own.
    site : name of the site; None takes the file's.
    missing : numbers and texts that stand for a missing value, beside -9999, -6999, -999 and the
        usual texts (`caliche.data.missing`).
    latitude, longitude : degrees north and east, where the file does not have them.
    variables, leave_out : streams to read and no others, or streams not to read, so that several
        files with the same streams can be used together.
    ranges : by stream, the smallest and the largest value (SI) to believe, instead of those that
        caliche has; values outside are read as missing.
    data : what the file of a table would hold, in memory; `path` is then but a name.

    Raises
    ------
    InputError : unknown format or stream, `time` and `columns` given or left out against the
        format, or both `variables` and `leave_out`.
    """

    path: Path
    format: str
    time: TimeAxis | None = None
    columns: Mapping[str, Column] = field(default_factory=dict)
    accept_qc: Sequence[int] = (0,)
    site: str | None = None
    missing: Sequence[float | str] = MISSING
    fluxnet: Fluxnet | None = None
    latitude: float | None = None
    longitude: float | None = None
    variables: Sequence[str] = ()
    leave_out: Sequence[str] = ()
    ranges: Mapping[str, Sequence[float]] = field(default_factory=dict)
    data: Dataset | None = field(default=None, compare=False, repr=False)

    def wants(self, stream: str) -> bool:
        """Whether a stream is to be read, as `variables` and `leave_out` say.

        The uncertainty of a stream comes and goes with it, unless it is named itself.
        """
        names = {stream, stream.removesuffix(SIGMA)}
        if self.variables:
            return bool(names & set(self.variables))
        return not names & set(self.leave_out)

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))  # text is welcome too
        object.__setattr__(self, "accept_qc", tuple(self.accept_qc))
        object.__setattr__(self, "missing", tuple(self.missing))
        if self.format not in FORMATS:
            raise InputError(
                "a format of 'urban-plumber', 'fluxnet', 'plumber2', 'callmip' or 'table'",
                repr(self.format),
                nearest(str(self.format), FORMATS),
            )
        for stream in (*self.columns, *self.variables, *self.leave_out, *self.ranges):
            variable(stream)
        check_place(self.latitude, self.longitude)
        if self.variables and self.leave_out:
            raise InputError(
                "variables or leave_out of a source", "both", "name the streams in one of them"
            )
        for stream, ends in self.ranges.items():
            if len(ends) != 2 or not ends[0] < ends[1]:
                raise InputError(
                    f"the smallest and the largest value for ranges of {stream}",
                    f"{list(ends)}",
                    f"write ranges = {{ {stream} = [-700, 1200] }} in {variable(stream).unit}",
                )
        if self.format == "table":
            self._check_table()
        elif self.time is not None or self.columns:
            raise InputError(
                f"no time axis and no columns with format = {self.format!r}, which fixes them",
                "a time axis" if self.time is not None else f"columns {', '.join(self.columns)}",
                "leave them out, or use format = 'table'",
            )
        if (self.fluxnet is not None) != (self.format in TOWERS):
            raise InputError(
                f"utc_offset and the rest of Fluxnet for format = {' or '.join(map(repr, TOWERS))}"
                ", and for these alone",
                f"format = {self.format!r} {'with' if self.fluxnet else 'without'} them",
                "give utc_offset in hours, local standard time = UTC + utc_offset",
            )
        if self.format == "plumber2" and self.fluxnet and self.fluxnet.prefer:
            raise InputError(
                "prefer with format = 'fluxnet' alone", "format = 'plumber2'", "leave it out"
            )
        if self.format == "fluxnet" and self.fluxnet and self.fluxnet.stamp is not None:
            raise InputError(
                "no stamp with format = 'fluxnet', whose columns say it",
                self.fluxnet.stamp,
                "leave it out",
            )

    def _check_table(self) -> None:
        if self.time is None:
            raise InputError(
                "a time axis for a table, with its column, stamp and utc_offset",
                "none",
                "give column, stamp = 'start', 'middle' or 'end', and utc_offset in hours",
            )
        if not self.columns:
            raise InputError(
                "at least one column of the table",
                "none",
                "map a stream to a column, for instance air_temperature to TA_F in degC",
            )

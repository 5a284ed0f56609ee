"""The units that files use and their way to SI, the only place where units are converted."""

from __future__ import annotations

import difflib

import numpy as np

from caliche.constants import FREEZING_POINT
from caliche.errors import InputError
from caliche.variables import SIGMA, variable

PER_STEP = None  # scale of an amount per time step, known only with the interval

# canonical unit -> list of (spellings, scale, offset): SI value = scale * value + offset
UNITS: dict[str, list[tuple[tuple[str, ...], float | None, float]]] = {
    "K": [
        (("K", "kelvin", "Kelvin", "degK", "deg K"), 1.0, 0.0),
        (
            (
                "degC",
                "C",
                "°C",
                "deg C",
                "celsius",
                "Celsius",
                "degree_Celsius",
                "degrees_Celsius",
                "degree_C",
                "degrees_C",
            ),
            1.0,
            FREEZING_POINT,
        ),
    ],
    "W m-2": [
        (("W m-2", "W/m2", "W/m^2", "W m^-2", "W m**-2", "W/m²", "W m⁻²", "Wm-2"), 1.0, 0.0),
    ],
    "kg kg-1": [
        (("kg kg-1", "kg/kg", "kg kg^-1", "kg kg**-1", "kg kg⁻¹", "1"), 1.0, 0.0),
        (("g kg-1", "g/kg", "g kg^-1", "g kg**-1", "g kg⁻¹"), 1e-3, 0.0),
    ],
    "Pa": [
        (("Pa", "pascal"), 1.0, 0.0),
        (("hPa", "mbar", "mb", "millibar"), 1e2, 0.0),
        (("kPa",), 1e3, 0.0),
    ],
    "m s-1": [
        (("m s-1", "m/s", "m s^-1", "m s**-1", "m s⁻¹"), 1.0, 0.0),
    ],
    # 1 mm of water is 1 kg m-2
    "kg m-2 s-1": [
        (
            (
                "kg m-2 s-1",
                "kg/m2/s",
                "kg/m^2/s",
                "kg m^-2 s^-1",
                "kg m**-2 s**-1",
                "kg m⁻² s⁻¹",
                "mm s-1",
                "mm/s",
                "mm s^-1",
            ),
            1.0,
            0.0,
        ),
        (("mm h-1", "mm/h", "mm hr-1", "mm/hr", "mm h^-1"), 1.0 / 3600.0, 0.0),
        (("mm", "kg m-2", "kg/m2"), PER_STEP, 0.0),
    ],
    "kg m-2": [
        (("kg m-2", "kg/m2", "kg/m^2", "kg m^-2", "kg m**-2", "kg m⁻²", "mm"), 1.0, 0.0),
        (("cm",), 10.0, 0.0),
    ],
    "m3 m-3": [
        (("m3 m-3", "m3/m3", "m^3 m^-3", "m^3/m^3", "m³ m⁻³", "1"), 1.0, 0.0),
        (("%", "percent"), 0.01, 0.0),
    ],
}


def spellings(canonical: str) -> list[str]:
    """All accepted spellings of the units of a canonical unit."""
    return [name for names, _, _ in UNITS[canonical] for name in names]


def known_unit(text: str) -> bool:
    """Whether some stream can be given in a unit of this spelling."""
    return any(text in spellings(canonical) for canonical in UNITS)


def conversion(
    unit: str | None, stream: str, interval: float | None = None, where: str = ""
) -> tuple[float, float]:
    """Scale and offset that take a stream from the file's unit to SI.

    An uncertainty (`<stream>_sigma`) has the scale alone.

    Parameters
    ----------
    unit : unit in the file.
    stream : canonical name, which fixes the SI unit.
    interval : seconds between the file's rows; needed by amounts per step ("mm").
    where : the column and file, for the message.

    Raises
    ------
    InputError : the unit is absent or not known for this stream, or needs the interval.
    """
    canonical = variable(stream).unit
    expected = f"a unit of {stream}{' in ' + where if where else ''} that converts to {canonical}"
    text = " ".join((unit or "").split())
    if not text:
        raise InputError(expected, "none", "one of " + ", ".join(spellings(canonical)))
    for names, scale, offset in UNITS[canonical]:
        if text not in names:
            continue
        if stream.endswith(SIGMA):
            offset = 0.0
        if scale is not None:
            return scale, offset
        if not interval:
            raise InputError(
                f"the time step of the amounts {text!r} of {stream}",
                "none",
                "give the rate in kg m-2 s-1 or mm h-1",
            )
        return 1.0 / interval, offset
    accepted = spellings(canonical)
    close = difflib.get_close_matches(text, accepted, n=3, cutoff=0.4)
    raise InputError(expected, repr(unit), "one of " + ", ".join(close or accepted))


def to_si(
    values: np.ndarray,
    unit: str | None,
    stream: str,
    interval: float | None = None,
    where: str = "",
) -> np.ndarray:
    """Values of a stream, any shape, from the file's unit to the stream's SI unit.

    Raises
    ------
    InputError : as `conversion`.
    """
    scale, offset = conversion(unit, stream, interval, where)
    return scale * np.asarray(values, dtype=np.float64) + offset


def agreed_unit(
    declared: str | None, own: str | None, stream: str, interval: float, where: str
) -> str | None:
    """The unit to read a netCDF variable with: the declared one, or its own if none is declared.

    Raises
    ------
    InputError : both are there and do not mean the same.
    """
    own = (own or "").strip() or None
    if declared is None or own is None:
        return declared or own
    meant = conversion(declared, stream, interval, where)
    try:
        agree = conversion(own, stream, interval) == meant
    except InputError:
        agree = False
    if not agree:
        raise InputError(
            f"{where} in {declared}, as declared",
            f"the unit {own!r} written in the file",
            "leave the unit out to use the file's, or correct the one that is wrong",
        )
    return declared

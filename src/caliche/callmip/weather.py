"""Daily weather at CalLMIP's towers, for regressions on it: an entry's, or from PLUMBER2 files."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caliche.data.callmip_sites import WHERE, CallmipSite
from caliche.data.humidity import relative_humidity
from caliche.data.open import open_source
from caliche.data.source import Fluxnet, Source
from caliche.errors import InputError
from caliche.files.whole_file import write_text

PATTERN = "{site}_*_Met.nc"
FOLDER = "weather"  # of an entry
COLUMNS = ("SWdown", "Tair", "RH")
_STREAMS = ("incoming_shortwave", "air_temperature", "specific_humidity", "air_pressure")
_HOUR = 3600.0


@dataclass(frozen=True)
class DailyWeather:
    """Means over local standard days (n,), NaN where a day is not whole.

    days : datetime64[D].  shortwave : W m-2.  temperature : K.  humidity : relative, 0 to 1.
    """

    days: np.ndarray
    shortwave: np.ndarray
    temperature: np.ndarray
    humidity: np.ndarray

    def on(self, days: np.ndarray) -> dict[str, np.ndarray]:
        """What regressions are made of on other days (m,), NaN where nothing is known."""
        found = {}
        names = ("shortwave", "air temperature", "relative humidity")
        for name, values in zip(
            names, (self.shortwave, self.temperature, self.humidity), strict=True
        ):
            by_day = np.full(len(days), np.nan)
            if len(self.days):
                k = np.clip(np.searchsorted(self.days, days), 0, len(self.days) - 1)
                by_day = np.where(self.days[k] == days, values[k], np.nan)
            found[name] = by_day
        return found


def daily_means(
    ends: np.ndarray, values: np.ndarray, interval: float, utc_offset: float
) -> tuple[np.ndarray, np.ndarray]:
    """Means over whole local standard days: days (m,) and means (m,), NaN where a step is missing.

    Parameters
    ----------
    ends : (n,) datetime64, UTC, end of each step.
    interval : s of a step.  utc_offset : h, local standard time = UTC + utc_offset.
    """
    shift = np.timedelta64(round((utc_offset * _HOUR - 0.5 * interval) * 1e9), "ns")
    local = (ends.astype("datetime64[ns]") + shift).astype("datetime64[D]")
    days, first, count = np.unique(local, return_index=True, return_counts=True)
    sums = np.add.reduceat(values, first) if len(days) else np.array([])
    steps = round(24.0 * _HOUR / interval)
    return days, np.where(count == steps, sums / steps, np.nan)


def find_weather(site: str, folders: Sequence[Path]) -> Path:
    """The weather file of a tower in the first folder that has one.

    Raises
    ------
    InputError : none of the folders has one.
    """
    for folder in folders:
        found = sorted(folder.glob(PATTERN.format(site=site))) if folder.is_dir() else []
        if found:
            return found[-1]
    raise InputError(
        f"a weather file {PATTERN.format(site=site)} in {' or '.join(map(str, folders))}",
        "none",
        f"put it there: {WHERE}",
    )


def plumber2_weather(path: Path, site: CallmipSite) -> DailyWeather:
    """Daily weather from a PLUMBER2 file, filled values in.

    Raises
    ------
    InputError : a file that cannot be read.
    """
    about = Fluxnet(site.utc_offset, tuple(range(6)), stamp="start")
    data = open_source(Source(path, "plumber2", fluxnet=about, variables=_STREAMS))
    series = [data[name].values for name in _STREAMS]
    humidity = relative_humidity(series[2], series[3], series[1])
    return weather_by_day(
        data["time"].values,
        float(data.attrs["time_step"]),
        site.utc_offset,
        series[0],
        series[1],
        humidity,
    )


def weather_by_day(
    ends: np.ndarray,
    interval: float,
    utc_offset: float,
    shortwave: np.ndarray,
    temperature: np.ndarray,
    humidity: np.ndarray,
) -> DailyWeather:
    """Daily weather of a finer record; arguments as `daily_means`, units as `DailyWeather`."""
    means = [daily_means(ends, v, interval, utc_offset) for v in (shortwave, temperature, humidity)]
    return DailyWeather(means[0][0], *(mean for _, mean in means))


def write_weather(weather: DailyWeather, folder: Path, site: str) -> Path:
    """Keep the daily weather of an entry, for its scores."""
    lines = [",".join(("day", *COLUMNS))]
    for day, *values in zip(
        weather.days, weather.shortwave, weather.temperature, weather.humidity, strict=True
    ):
        lines.append(",".join([str(day), *(f"{value:.6g}" for value in values)]))
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    return write_text(folder / FOLDER / f"{site}.csv", "\n".join(lines) + "\n")


def read_weather(folder: Path, site: str) -> DailyWeather | None:
    """The daily weather that an entry kept, None if it did not.

    Raises
    ------
    InputError : a damaged file.
    """
    path = folder / FOLDER / f"{site}.csv"
    if not path.is_file():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    try:
        days = np.array([row["day"] for row in rows], "datetime64[D]")
        columns = [np.array([float(row[name]) for row in rows]) for name in COLUMNS]
    except (KeyError, ValueError, TypeError):
        raise InputError(
            f"days with {', '.join(COLUMNS)} in {path}", "something else", "run the entry again"
        ) from None
    return DailyWeather(days, *columns)

"""The command line run in this process, and a small tower to break one thing of at a time."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from caliche import cli

HOURS = 72
START = datetime(2024, 6, 1)


@dataclass(frozen=True)
class Outcome:
    """What a command left on the terminal."""

    code: int
    out: str
    err: str


@pytest.fixture
def caliche(monkeypatch, capsys) -> Callable[..., Outcome]:
    """Runs `caliche ARGUMENTS` through its entry point."""

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["caliche", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ending:
            cli.main()
        output = capsys.readouterr()
        assert isinstance(ending.value.code, int)
        return Outcome(ending.value.code, output.out, output.err)

    return run


def _daily(hour: float, mean: float, amplitude: float, lag: float = 0.0) -> float:
    return mean + amplitude * math.sin(2.0 * math.pi * (hour - 9.0) / 24.0 - lag)


@dataclass
class Tower:
    """A tower's file and its experiment, held as Python until `write`.

    Three smooth days, hourly, stamped at the end in UTC+1. Soil temperatures are a wave that is
    damped with depth, so that a calibration has something sensible to find.
    """

    folder: Path
    times: list[str] = field(init=False)
    columns: dict[str, list[Any]] = field(init=False)
    config: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        hours = range(1, HOURS + 1)
        self.times = [(START + timedelta(hours=h)).strftime("%Y-%m-%d %H:%M") for h in hours]
        self.columns = {
            "SW_IN": [round(max(0.0, _daily(h + 3, 0.0, 800.0)), 1) for h in hours],
            "LW_IN": [320.0 for _ in hours],
            "TA": [round(_daily(h, 18.0, 5.0), 3) for h in hours],
            "TS_1": [round(_daily(h, 20.0, 5.0, 0.5), 3) for h in hours],
            "TS_2": [round(_daily(h, 19.0, 1.5, 1.7), 3) for h in hours],
            "TS_1_QC": [0 for _ in hours],
            "H": [round(_daily(h + 2, 60.0, 80.0), 1) for h in hours],
            "LE": [round(_daily(h + 2, 80.0, 90.0), 1) for h in hours],
        }
        self.config = {
            "title": "A small tower",
            "site": {"utc_offset": 1.0},
            "window": {
                "start": datetime(2024, 6, 1, 1),
                "fit_until": datetime(2024, 6, 3, 1),
                "end": datetime(2024, 6, 4),
                "time_step": 3600,
            },
            "sources": {
                "tower": {
                    "path": "tower.csv",
                    "format": "table",
                    "time": {"column": "TIME", "stamp": "end", "utc_offset": 1.0},
                    "columns": {
                        "incoming_shortwave": {"name": "SW_IN", "unit": "W m-2"},
                        "incoming_longwave": {"name": "LW_IN", "unit": "W m-2"},
                        "air_temperature": {"name": "TA", "unit": "degC"},
                        "soil_temperature_0.05m": {
                            "name": "TS_1",
                            "unit": "degC",
                            "qc": "TS_1_QC",
                            "accept": [0, 1],
                        },
                        "soil_temperature_0.20m": {"name": "TS_2", "unit": "degC"},
                        "sensible_heat_flux": {"name": "H", "unit": "W m-2"},
                        "latent_heat_flux": {"name": "LE", "unit": "W m-2"},
                    },
                }
            },
            "model": {
                "depth": 1.0,
                "nodes": 21,
                "initial": "observed",
                "initial_depths": [0.05, 0.2],
            },
            "parameters": {
                "albedo": {"value": 0.2, "fixed": True},
                "combined_heat_transfer_coefficient": {"value": 20.0},
                "thermal_conductivity": {"value": 0.8},
                "bottom_temperature": {"prior": "normal", "mean": 290.0, "sd": 2.0},
            },
            "observations": {
                "soil_temperature_0.05m": {"sigma": 0.5},
                "soil_temperature_0.20m": {"sigma": 0.5},
                "turbulent_heat_flux": {"fit": False},
            },
            "method": {"name": "lm", "starts": 2},
        }

    @property
    def source(self) -> dict[str, Any]:
        return self.config["sources"]["tower"]

    @property
    def toml(self) -> Path:
        return self.folder / "tower.toml"

    def write(self) -> Path:
        """Write tower.csv and tower.toml; the path of the latter."""
        rows = [",".join(["TIME", *self.columns])]
        for row, time in enumerate(self.times):
            rows.append(",".join([time, *(str(values[row]) for values in self.columns.values())]))
        (self.folder / "tower.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
        self.toml.write_text(tomli_w.dumps(self.config), encoding="utf-8")
        return self.toml


@pytest.fixture
def tower(tmp_path, monkeypatch) -> Tower:
    """A tower that works, in the current folder, without CALICHE_DATA."""
    folder = tmp_path / "study"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("CALICHE_DATA", raising=False)
    return Tower(folder)

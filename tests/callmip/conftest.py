"""A good pair of output files of CalLMIP, and a way to spoil one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from caliche.data.raw_netcdf import read_raw
from callmip_files import write_raw, write_toy


@pytest.fixture(scope="session")
def good(tmp_path_factory) -> Path:
    """A folder with a good pair of files."""
    folder = tmp_path_factory.mktemp("good")
    write_toy(folder)
    return folder


@pytest.fixture
def spoiled(good, tmp_path) -> Callable:
    """A copy of the good folder in which one file is changed and renamed."""

    def make(change: Callable[[dict], object], stage: str = "Posterior", rename=None) -> Path:
        for path in good.glob("*.nc"):
            raw = read_raw(path)
            if path.name.endswith(f"{stage}.nc"):
                parts = {
                    "sizes": dict(raw.sizes),
                    "attrs": dict(raw.attrs),
                    "variables": {
                        k: dataclasses.replace(v, values=v.values.copy(), attrs=dict(v.attrs))
                        for k, v in raw.variables.items()
                    },
                }
                change(parts)
                name = path.name if rename is None else path.name.replace(*rename)
                write_raw(dataclasses.replace(raw, **parts), tmp_path / name)
            else:
                (tmp_path / path.name).write_bytes(path.read_bytes())
        return tmp_path

    return make

"""What a collection may look like, how little of it is read, and what is said of a bad one."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from sites_cases import read
from xarray.backends import BackendArray
from xarray.core import indexing

import caliche
from caliche import estimate_sites
from caliche.sites import open_collection

STREAMS = ["incoming_shortwave", "incoming_longwave", "air_temperature", "surface_temperature"]
ALMA = {
    "incoming_shortwave": "SWdown",
    "incoming_longwave": "LWdown",
    "air_temperature": "Tair",
    "surface_temperature": "AvgSurfT",
}


class Watched(BackendArray):
    """Values that count what is asked of them and refuse more than so many sites at once."""

    def __init__(self, values: np.ndarray, most: int, log: list[tuple[int, int]]) -> None:
        self.values, self.most, self.log = values, most, log
        self.shape, self.dtype = values.shape, values.dtype

    def __getitem__(self, key):
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._read
        )

    def _read(self, key):
        part = self.values[key]
        self.log.append(part.shape)
        assert part.shape[0] <= self.most, f"{part.shape[0]} sites read at once"
        return part


def test_no_more_than_a_batch_is_ever_read(write, twins):
    log: list[tuple[int, int]] = []
    lazy = xr.Dataset(coords=twins.coords)
    for name in [n for n in twins.data_vars if "time" in twins[n].dims]:
        array = indexing.LazilyIndexedArray(Watched(twins[name].values, 8, log))
        lazy[name] = xr.Variable(("site", "time"), array, twins[name].attrs)
    experiment = caliche.load_experiment(write())
    estimate_sites(experiment, lazy, "lazy", batch=8, lanes=8)
    estimate_sites(experiment, twins, "whole", batch=8, lanes=8)
    xr.testing.assert_identical(read("lazy"), read("whole"))
    for_the_fingerprint = 5 * 2
    assert sum(sites for sites, _ in log) == 5 * 20 + for_the_fingerprint


@pytest.mark.parametrize("kind", ["netcdf", "zarr", "dask"])
def test_every_kind_gives_the_same(write, twins, kind):
    """Other names, units, order of dimensions and precision mean the same data."""
    if kind != "netcdf":
        pytest.importorskip(kind)
    other = twins.rename(ALMA).transpose("time", "site")
    other["Tair"] = (other["Tair"] - 273.15).assign_attrs(units="degC")
    del other["SWdown"].attrs["units"]  # then it is SI
    if kind == "netcdf":
        other.to_netcdf("other.netcdf", engine="h5netcdf")
    elif kind == "zarr":
        other.chunk({"site": 8}).to_zarr("other.zarr", zarr_format=2, consolidated=True)
    source = other.chunk({"site": 7}) if kind == "dask" else f"other.{kind}"
    experiment = caliche.load_experiment(write())
    estimate_sites(experiment, source, "other", batch=8, lanes=8)
    estimate_sites(experiment, twins, "plain", batch=8, lanes=8)
    xr.testing.assert_allclose(read("other"), read("plain"), rtol=1e-9)


def test_part_of_the_record(write, twins):
    experiment = caliche.load_experiment(
        write(), ["sites.start=2000-06-01T06:00:00Z", "sites.end=2000-06-03T00:00:00Z"]
    )
    window = experiment.config.sites
    opened = open_collection(twins, STREAMS, 1800.0, window.start, window.end)
    assert opened.times[[0, -1]].tolist() == twins.time.values[[12, 96]].tolist()
    found = opened.read("air_temperature", 3, 5)
    np.testing.assert_array_equal(found, twins["air_temperature"].values[3:5, 12:97].T)


def test_names(twins):
    assert open_collection(twins, STREAMS, 1800.0).names[3] == "twin 3"
    bare = twins.drop_vars("site")
    assert open_collection(bare, STREAMS, 1800.0).names[3] == "site 3"
    numbered = twins.assign_coords(site=np.arange(20) * 10)
    assert open_collection(numbered, STREAMS, 1800.0).names[3] == "30"


def broken(twins: xr.Dataset) -> dict[str, tuple[xr.Dataset, str]]:
    celsius = twins.copy()
    celsius["air_temperature"] = twins["air_temperature"].assign_attrs(units="furlong")
    gap = twins.isel(time=np.r_[0:50, 52:145])
    return {
        "no sites": (twins.rename(site="tower"), "a dimension site in the collection. Got dim"),
        "no time": (twins.rename(time="t"), "a dimension time in the collection"),
        "no times": (twins.drop_vars("time"), "a coordinate time in the collection"),
        "variable": (
            twins.drop_vars("air_temperature"),
            "a variable air_temperature or Tair in the collection. Got variables incoming",
        ),
        "unit": (celsius, "a unit of air_temperature in air_temperature of the collection"),
        "gap": (gap, "a regular time step of 1800 s in the collection. Got a gap of 5400 s"),
        "step": (
            twins.isel(time=slice(None, None, 2)),
            "time step of 1800 s in the collection. Got 3600 s. Try: --set window.time_step=3600",
        ),
        "shape": (
            twins.assign(air_temperature=twins["air_temperature"].isel(site=0)),
            r"dimensions \(site, time\) of air_temperature in the collection. Got \(time\)",
        ),
        "twice": (twins.assign_coords(site=["a"] * 20), "a name of its own for each site"),
        "empty": (twins.isel(site=slice(0, 0)), r"Got dimensions site \(0\)"),
    }


@pytest.mark.parametrize(
    "what",
    list(
        broken(
            xr.Dataset(
                {n: (("site", "time"), np.zeros((20, 145))) for n in STREAMS},
                {"time": np.arange(145), "site": np.arange(20)},
            )
        )
    ),
)
def test_bad_collections(twins, what):
    dataset, message = broken(twins)[what]
    with pytest.raises(caliche.InputError, match=message):
        open_collection(dataset, STREAMS, 1800.0)


def test_bad_files(tmp_path, monkeypatch, twins):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(caliche.InputError, match=r"a collection at none.nc. Got nothing there"):
        open_collection("none.nc", STREAMS, 1800.0)
    Path("text.nc").write_text("no netCDF")
    with pytest.raises(caliche.InputError, match="a netCDF-4 file or a zarr store"):
        open_collection("text.nc", STREAMS, 1800.0)
    Path("store.zarr").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda _: None)
        with pytest.raises(caliche.InputError, match="Try: pip install zarr"):
            open_collection("store.zarr", STREAMS, 1800.0)
    with pytest.raises(caliche.InputError, match=r"sites.start on the times of the collection"):
        open_collection(twins, STREAMS, 1800.0, np.datetime64("1999-01-01", "ns"))
    late, early = twins.time.values[[50, 20]]
    with pytest.raises(caliche.InputError, match=r"sites.start before sites.end"):
        open_collection(twins, STREAMS, 1800.0, late, early)

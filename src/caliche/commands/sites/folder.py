"""The folder of a run over many sites: batches as they finish, and the one result at the end.

    run.json        what the run is: hashes of configuration and collection, size of the batches
    config.toml     the configuration, to run it again
    blocks/N.nc     the batches that are finished
    result.nc       all sites; summary.json: counts, medians, names of those that failed

Every file is written aside and moved into place, so that one that is there is whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5netcdf
import h5py
import numpy as np
import xarray as xr

from caliche.commands.sites.table import Column
from caliche.errors import InputError
from caliche.files.manifest import MANIFEST
from caliche.files.netcdf import open_arrays
from caliche.files.whole_file import clear, write_text, written_aside
from caliche.keys.records import Mismatch, checked
from caliche.runs.parts import Parts

# The keys of run.json that a run must share with the one it goes on from, in words.
SAME = {
    "configuration": "the same configuration",
    "collection": "the same collection",
    "batch": "batches of the same size",
}


REMEDY = "remove that file and give the command again"


@dataclass(frozen=True)
class Begun:
    """What run.json says of the size of batches."""

    batch: int

    def check(self) -> None:
        """Refuse batches of no site."""
        if self.batch < 1:
            raise Mismatch("batches of at least one site", f"{self.batch}")


class SitesFolder:
    """The folder of a run, made or taken up again.

    Parameters
    ----------
    path : does not exist, or is what an earlier run left.

    Raises
    ------
    InputError : a folder that holds something else, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._parts = Parts(path, "sites", "blocks", SAME)
        self.path, self.blocks = path, self._parts.parts

    def begun(self) -> dict[str, Any] | None:
        """What run.json says, if the run has begun."""
        return self._parts.begun

    def batch(self) -> int | None:
        """Sites of a batch, if the run has begun.

        Raises
        ------
        InputError : a run.json that says something else.
        """
        begun = self.begun()
        if begun is None:
            return None
        path = self.path / MANIFEST
        return checked(Begun, begun, path, "restore that file, or choose another --out").batch

    def begin(self, run: Mapping[str, Any], config: str) -> None:
        """Begin a run, or go on with it.

        Raises
        ------
        InputError : another run has begun here.
        """
        self._parts.begin(run, config)

    def block(self, number: int) -> Path:
        return self.blocks / f"{number:06d}.nc"

    def finished(self) -> set[int]:
        """Numbers of the batches that are there."""
        return {int(p.stem) for p in self.blocks.glob("*.nc") if p.stem.isdigit()}

    def write_block(self, number: int, dataset: xr.Dataset) -> None:
        with written_aside(self.block(number)) as scratch:
            dataset.to_netcdf(scratch, engine="h5netcdf")

    def each_block(self, n_batches: int) -> Iterator[xr.Dataset]:
        """The batches in order, one in memory at a time."""
        for number in range(n_batches):
            try:
                yield open_arrays(self.block(number), REMEDY)
            except InputError as error:
                whole = f"a whole file {self.block(number)}"
                raise InputError(whole, error.got, REMEDY) from None

    def merge(
        self,
        n_sites: int,
        n_batches: int,
        columns: Mapping[str, Column],
        coordinates: Mapping[str, list[str]],
        attributes: Mapping[str, str],
        look: Callable[[xr.Dataset], None],
    ) -> None:
        """Write result.nc from the batches, one after the other; `look` sees each of them."""
        sizes = {"site": n_sites, **{name: len(v) for name, v in coordinates.items()}}
        text = h5py.string_dtype()
        with (
            written_aside(self.path / "result.nc") as scratch,
            h5netcdf.File(scratch, "w") as file,
        ):
            file.dimensions = sizes
            file.attrs.update(attributes)
            for name, values in coordinates.items():
                file.create_variable(name, (name,), text, data=np.array(values, object))
            site = file.create_variable("site", ("site",), text)
            site.attrs["long_name"] = "name of the site"
            for name, column in columns.items():
                real = column.kind is np.float64
                made = file.create_variable(
                    name,
                    column.dims,
                    text if column.kind is str else column.kind,
                    fillvalue=np.nan if real else None,
                )
                made.attrs.update(column.attributes)
            first = 0
            for block in self.each_block(n_batches):
                rows = slice(first, first + block.sizes["site"])
                for name in ("site", *columns):
                    if name not in block.variables:
                        path = block.encoding.get("source", self.blocks)
                        raise InputError(f"{name} in {path}", "none", REMEDY)
                    file.variables[name][rows] = block[name].values
                look(block)
                first = rows.stop
        clear(self.blocks)

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        text = json.dumps(summary, indent=1, allow_nan=False)
        write_text(self.path / "summary.json", text + "\n")

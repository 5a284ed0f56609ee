"""Calibrate every site of a collection: streamed, resumable, shared between processes."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import xarray as xr

from caliche._version import __version__
from caliche.commands.sites.folder import SitesFolder
from caliche.commands.sites.ready import Needs, batches
from caliche.commands.sites.summary import Summary
from caliche.commands.sites.table import Table, attributes, columns, coordinates
from caliche.errors import InputError
from caliche.estimation.descent.levenberg_marquardt import LevenbergMarquardt
from caliche.estimation.devices import LANES, devices_for
from caliche.estimation.timing import Stopwatch
from caliche.experiments.experiment import Experiment
from caliche.problems.inverse import InverseProblem
from caliche.runs.folder import as_run
from caliche.sites.block_data import SiteData
from caliche.sites.blocks import TOLERANCE, BlockEstimator
from caliche.sites.collection import Collection, open_collection
from caliche.sites.processes import Share


@dataclass(frozen=True)
class Progress:
    """How far this process is: sites of its share that are done, all of them, how many of those
    done by this run did not converge, batches that are written, and seconds since the start.
    `fresh` is the number of sites that this run has done itself."""

    done: int
    total: int
    failed: int
    batches: int
    fresh: int
    seconds: float


Callback = Callable[[Progress], None]


@dataclass(frozen=True)
class SitesRun:
    """A finished call: its folder; the summary, or None while other processes have batches to do;
    and how many sites of this process's share did not converge."""

    folder: Path
    summary: Mapping[str, Any] | None
    failed: int


def estimate_sites(
    experiment: Experiment,
    collection: str | Path | xr.Dataset,
    out: str | Path,
    batch: int | None = None,
    lanes: int = LANES,
    tolerance: float | None = None,
    devices: int | None = None,
    share: Share | None = None,
    callback: Callback | None = None,
    command: str | None = None,
) -> SitesRun:
    """Calibrate every site of a collection with the model of an experiment.

    The experiment gives the model, the parameters, the fitted streams with their sigma, and the
    settings of Levenberg-Marquardt; its own data are not opened. Sites that cannot be calibrated
    are named in the result and disturb no other.

    Parameters
    ----------
    collection : see `open_collection`; of its time axis the part between `sites.start` and
        `sites.end` of the experiment.
    out : folder to write. If an earlier run of the same was stopped, this one goes on from there.
    batch : sites that are read, and written, together; default a block for all devices.
    lanes : sites in a block for each device.
    tolerance : in posterior standard deviations; default that of the experiment, else 1e-4.
    devices : how many to use; default all of this process.
    share : the part of this process, where there are several.
    callback : called whenever sites are done and after each batch is written.

    Raises
    ------
    InputError : anything wrong with configuration, collection or folder.
    """
    watch, began = Stopwatch(), time.perf_counter()
    share = share or Share()
    method = _method(experiment, tolerance)
    folder = SitesFolder(Path(out))
    opened, problem, needs = _open(experiment, collection)
    used = devices_for(problem.for_block(), _devices(devices))
    each = -(-len(opened) // (len(used) * share.processes))
    lanes = max(1, min(lanes, -(-each // 8) * 8))  # no wider than the sites fill
    if batch is not None and batch < 1:
        raise InputError("batches of at least one site", str(batch), "leave --batch out")
    size = batch or folder.batch() or lanes * len(used)
    n_batches = -(-len(opened) // size)
    folder.begin(_identity(experiment, opened, method, size), as_run(experiment, folder.path))
    mine = share.of(n_batches)
    todo = [number for number in mine if number not in folder.finished()]
    sizes = {number: min(size, len(opened) - number * size) for number in mine}
    work = _Work(folder, problem, size, sizes, todo, callback, began)
    if todo:
        work.tell()
        estimator = BlockEstimator(problem, method, lanes, used)
        for found in estimator.run(work.feed(opened, needs)):
            work.take(found)
    if len(folder.finished()) < n_batches:
        return SitesRun(folder.path, None, work.failed)
    summary = Summary(problem)
    everything = coordinates(problem), attributes(experiment.config.title, experiment.config.name)
    folder.merge(len(opened), n_batches, columns(problem), *everything, summary.look)
    written = summary.content(experiment.config, method.tolerance, watch.seconds(), command)
    folder.write_summary(written)
    return SitesRun(folder.path, written, written["sites"] - written["converged"])


class _Work:
    """Batches between being read and being written."""

    def __init__(
        self,
        folder: SitesFolder,
        problem: InverseProblem,
        size: int,
        sizes: Mapping[int, int],
        todo: list[int],
        callback: Callback | None,
        began: float,
    ) -> None:
        self.folder, self.problem, self.size, self.todo = folder, problem, size, todo
        self._callback, self._began = callback, began
        self._tables: dict[int, Table] = {}
        self._total = sum(sizes.values())
        self._before = sum(n for number, n in sizes.items() if number not in todo)
        self._n_written = len(sizes) - len(todo)
        self._fresh = self._failed_written = 0

    @property
    def failed(self) -> int:
        """Sites that did not converge, of those that this run has done."""
        return self._failed_written + sum(table.failed for table in self._tables.values())

    def feed(self, collection: Collection, needs: Needs) -> Iterator[SiteData]:
        """The data of the batches to do, and a table open for each."""
        for batch in batches(collection, needs, self.size, self.todo):
            self._tables[batch.number] = Table(self.problem, batch, self.size)
            self._fresh += len(batch.problems)
            self._write_complete()
            data = batch.data
            del batch  # the table needs no data
            if len(data.sites):
                yield data
            del data

    def take(self, found: Any) -> None:
        """Results of some sites, of whichever batches."""
        for number in {int(n) for n in found.sites // self.size}:
            self._tables[number].fill(found)
        self._fresh += len(found.sites)
        self.tell()
        self._write_complete()

    def _write_complete(self) -> None:
        for number in [n for n, table in self._tables.items() if table.complete]:
            table = self._tables[number]
            self.folder.write_block(number, table.dataset())
            del self._tables[number]
            self._failed_written += table.failed
            self._n_written += 1
            self.tell()

    def tell(self) -> None:
        """Tell the callback how far it is."""
        if self._callback is not None:
            done, seconds = self._before + self._fresh, time.perf_counter() - self._began
            self._callback(
                Progress(done, self._total, self.failed, self._n_written, self._fresh, seconds)
            )


def _open(
    experiment: Experiment, collection: str | Path | xr.Dataset
) -> tuple[Collection, InverseProblem, Needs]:
    config, fitted = experiment.config, experiment.fitted_streams
    forcing, initial = experiment.forcing_sources, experiment.initial_streams
    experiment.blank_problem(2)  # a configuration that cannot be is told before any file is opened
    opened = open_collection(
        collection,
        list(dict.fromkeys([*forcing.values(), *fitted, *initial])),
        config.window.time_step,
        config.sites.start,
        config.sites.end,
    )
    problem = experiment.blank_problem(len(opened.times))
    visible = problem.operator.visible(len(opened.times))
    return opened, problem, Needs(forcing, fitted, initial, visible)


def _method(experiment: Experiment, tolerance: float | None) -> LevenbergMarquardt:
    """The method of the configuration, which must be one for many sites."""
    c = experiment.config.method
    if c.name != "lm":
        raise InputError(
            "method lm for many sites", repr(c.name), "--set method.name=lm (without its options)"
        )
    if c.starts != 1:
        raise InputError(
            "one start for each site, the first guess",
            f"method.starts = {c.starts}",
            "--set method.starts=1",
        )
    if tolerance is not None and not 0.0 < tolerance < 1.0:
        raise InputError(
            "a tolerance between 0 and 1 standard deviations", f"{tolerance:g}", "1e-4"
        )
    options: dict[str, Any] = {"tolerance": TOLERANCE, **c.options}
    if tolerance is not None:
        options["tolerance"] = tolerance
    return LevenbergMarquardt(**options)


def _devices(number: int | None) -> list[Any]:
    there = jax.local_devices()
    if number is not None and not 1 <= number <= len(there):
        raise InputError(
            f"between 1 and {len(there)} devices, as many as this process has",
            str(number),
            "call caliche.configure(devices=...) right after the imports, or ask for fewer",
        )
    return there[:number]


def _identity(
    experiment: Experiment, collection: Collection, method: LevenbergMarquardt, batch: int
) -> dict[str, Any]:
    """What the batches of one result must have in common."""
    raw = experiment.config.raw
    said = {key: raw.get(key) for key in ("model", "parameters", "observations", "sites")}
    said |= {"time_step": experiment.config.window.time_step, "method": repr(method)}
    text = json.dumps(said, sort_keys=True, default=str)
    return {
        "caliche": __version__,
        "configuration": hashlib.sha256(text.encode()).hexdigest(),
        "collection": collection.fingerprint(),
        "sites": len(collection),
        "batch": batch,
    }

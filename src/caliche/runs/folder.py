"""What every run folder needs: a new name, its configuration, versions, one move."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Callable, Mapping
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tomli_w

from caliche._version import __version__
from caliche.cards.models import MODELS
from caliche.errors import InputError
from caliche.estimation import Result
from caliche.experiments.experiment import Experiment
from caliche.files.checkpoint import fingerprint
from caliche.files.manifest import MANIFEST, manifest, read_json, write_manifest
from caliche.files.whole_file import clear, clear_folders, folder_aside
from caliche.keys.records import Record, read_record

# Of a folder: what it is called while it is written is a little longer, and systems allow 255.
LONGEST_NAME = 200
_PLACES = ("lat", "lon", "latitude", "longitude")
PACKAGES = ("jax", "jaxlib", "equinox", "optax", "numpy", "scipy", "xarray", "h5netcdf")


def state_file(folder: Path) -> Path:
    """Where a run into a folder keeps its state until it is done: beside the folder."""
    return folder.with_name(f"{folder.name}.state.npz")


def write_whole(folder: Path, command: str, write: Callable[[Path], None], mark: str = "") -> None:
    """Write the folder of a command aside and move it into place when it is whole.

    Parameters
    ----------
    mark : what the run belongs to, see `finished_summary`.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            "a folder that can be made", f"{folder}: {error.strerror}", "choose another --out"
        ) from None
    if folder.exists():  # empty, or `new_folder` would have refused it
        folder.rmdir()
    clear_folders(folder)
    with folder_aside(folder) as inside:
        write_manifest(inside, command, {"mark": mark} if mark else {})
        write(inside)
        inside.replace(folder)


def mark_of(experiment: Experiment, *settings: object) -> str:
    """What a run of an experiment with these settings belongs to: the same mark, the same result.

    Raises
    ------
    InputError : a configuration or data that cannot be.
    """
    problems = experiment.problem(), experiment.scoring_problem()
    return fingerprint(experiment.config.raw, problems, settings)


def finished_summary(
    folder: Path | None, command: str, mark: str, form: type[Record], remedy: str
) -> Record | None:
    """What summary.json says where a folder holds the same run, whole: of this command and version,
    and with this mark of what it belongs to; None elsewhere. What a killed process has left there
    and beside it is removed.

    Raises
    ------
    InputError : a summary.json that is damaged.
    """
    said = None if folder is None else read_json(folder / MANIFEST)
    if folder is None or said is None:
        return None
    same = manifest(command, {"mark": mark})
    if any(said.get(key) != value for key, value in same.items()):
        return None
    clear(folder)
    clear_folders(folder)
    return read_record(form, folder / "summary.json", remedy)


def new_folder(out: Path | None, name: str) -> Path:
    """The folder of a new run, which must not exist or be empty. Makes nothing yet."""
    if out is None:
        out = Path("runs") / f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(
            "a folder for the run that does not exist yet",
            f"{out}, which does",
            "choose another --out, or move that folder away",
        )
    need_writable(out)
    return out


def need_writable(folder: Path) -> None:
    """Refuse a folder that cannot be written, or made where it is to be.

    Raises
    ------
    InputError : it cannot.
    """
    above = next(p for p in [folder, *folder.absolute().parents] if p.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise InputError("a folder that can be written", str(above), "choose another --out")
    if len(os.fsencode(folder.name)) > LONGEST_NAME:
        raise InputError(
            f"a folder with a name of at most {LONGEST_NAME} letters",
            f"{folder.name[:40]}...",
            "choose another --out",
        )


def as_run(experiment: Experiment, folder: Path, result: Result | None = None) -> str:
    """The configuration with what the command line changed, as TOML that can be run again.

    Files found beside the configuration are named relative to the run folder; those of
    CALICHE_DATA keep their names, so that the folder tells nothing of the machine. Data in memory
    are the files that `write_data` leaves.
    """
    raw = {"name": experiment.config.name, **experiment.config.raw}
    if result is not None:
        method = dict(raw.get("method", {}))
        if method.get("name", "lm") != result.method:
            method.pop("options", None)  # they belong to the method they were written for
        method |= {"name": result.method, "starts": len(result.starts), "seed": result.seed}
        raw["method"] = method
    base = experiment.config.folder
    sources = {}
    for name, source in raw.get("sources", {}).items():
        path = Path(source["path"])
        if name in experiment.config.data:
            path = Path(_data_file(name))
        elif not path.is_absolute() and (base / path).exists():
            path = Path(os.path.relpath(base / path, folder.absolute()))
        sources[name] = {**source, "path": path.as_posix()}
    if sources:
        raw["sources"] = sources
    raw["model"] = _located(raw.get("model", {}), base, folder)
    if not raw["model"]:
        del raw["model"]
    return tomli_w.dumps(raw)


def _located(model: Mapping[str, Any], base: Path, folder: Path) -> dict[str, Any]:
    """The table of a model with its paths relative to the run folder."""
    card = MODELS[model.get("name", next(iter(MODELS)))]
    found = {}
    for name in card.paths:
        path = base / model[name] if (base / model[name]).exists() else Path(model[name])
        found[name] = Path(os.path.relpath(path.absolute(), folder.absolute())).as_posix()
    return {**model, **found}


def write_data(experiment: Experiment, folder: Path) -> None:
    """Data that were given in memory, as the files that `as_run` names."""
    for name, source in experiment.config.sources.items():
        if source.data is not None and source.time is not None:
            columns = [part for c in source.columns.values() for part in (c.name, c.qc) if part]
            places = [name for name in _PLACES if name in source.data.variables]
            kept = source.data[[*dict.fromkeys([source.time.column, *columns, *places])]]
            kept.to_netcdf(folder / _data_file(name), engine="h5netcdf")


def _data_file(name: str) -> str:
    return f"data-{name}.nc"


def versions() -> dict[str, str]:
    """Versions that a result depends on."""
    packages = {name: version(name) for name in PACKAGES}
    return {"caliche": __version__, "python": platform.python_version(), **packages}


def finite(value: Any) -> Any:
    """The value with non-finite numbers replaced by None, for JSON."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value

"""Reads the configuration of an experiment: TOML in, dataclasses out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from caliche.errors import InputError, nearest
from caliche.experiments.config.parse import parse
from caliche.experiments.config.tables import ExperimentConfig
from caliche.experiments.config.toml import extended, load_raw, merge, parse_override


def read_config(experiment: str | Path, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """Configuration of a bundled name or a TOML path, with `key=value` overrides applied.

    Raises
    ------
    InputError : no such experiment; TOML that does not parse; a key that is missing, unknown or
        of the wrong kind.
    """
    raw, folder, name = load_raw(str(experiment))
    for text in overrides:
        raw = merge(raw, parse_override(text))
    return parse(raw, folder, name)


def config_from_dict(
    config: Mapping[str, Any],
    data: Any = None,
    name: str = "experiment",
    folder: Path | None = None,
) -> ExperimentConfig:
    """Configuration of a table such as TOML holds, see `Experiment.from_dict`.

    Raises
    ------
    InputError : as `read_config`; data of no source.
    """
    folder = Path.cwd() if folder is None else folder
    raw = extended(_as_toml(config), folder, name)
    held = _by_source(data, raw.get("sources", {}))
    sources = {
        source: {"path": source, "format": "table", **raw["sources"][source]} for source in held
    }
    return parse(merge(raw, {"sources": sources}) if sources else raw, folder, name, held)


def _by_source(data: Any, sources: Mapping[str, Any]) -> dict[str, Any]:
    """The data of each source that is in memory."""
    if data is None:
        return {}
    if hasattr(data, "dims") or hasattr(data, "columns"):  # one object for the only source
        if len(sources) != 1:
            raise InputError(
                "one table in sources for the data, or a mapping of data by source",
                f"{len(sources)} sources",
                "give data = {'NAME': ...}",
            )
        return {next(iter(sources)): data}
    if not isinstance(data, Mapping):
        raise InputError(
            "a pandas DataFrame, an xarray Dataset, or a mapping of such by source as data",
            type(data).__name__,
            "convert it, or write it to a file and name that",
        )
    for source in data:
        if source not in sources:
            known = "name a table in sources" if not sources else nearest(str(source), sources)
            raise InputError("data of a source of the experiment", repr(source), known)
    return dict(data)


def _as_toml(value: Any) -> Any:
    """A value with the types of TOML: lists for tuples and arrays, plain numbers, text, times."""
    if isinstance(value, Mapping):
        return {str(k): _as_toml(v) for k, v in value.items() if v is not None}
    if isinstance(value, np.datetime64):
        return datetime.fromisoformat(str(value.astype("datetime64[s]")))
    if isinstance(value, np.ndarray | np.generic):
        return _as_toml(value.tolist())
    if isinstance(value, list | tuple):
        return [_as_toml(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value

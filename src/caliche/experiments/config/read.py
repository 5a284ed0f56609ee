"""Reads the configuration of an experiment: TOML in, dataclasses out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from caliche.errors import InputError
from caliche.experiments.config.parse import parse
from caliche.experiments.config.tables import ExperimentConfig
from caliche.experiments.config.toml import load_raw, merge, parse_override


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
    if "seed" in raw:  # a common slip
        raise InputError("seed inside [method]", "seed at the top level", "move it to [method]")
    return parse(raw, folder, name)

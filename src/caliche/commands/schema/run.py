"""The JSON Schema of every file that a command reads."""

from __future__ import annotations

from typing import Any

from caliche._lazy import load
from caliche.commands.registry import COMMANDS
from caliche.errors import InputError, nearest
from caliche.keys.schema import schema_of

# Kind of file -> the table that declares its keys.
TABLES = {"experiment": "caliche.experiments.config.parse:ExperimentTable"} | {
    command.name: command.table for command in COMMANDS if command.table
}


def file_schema(kind: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a kind of file, one of `TABLES`.

    Raises
    ------
    InputError : another kind.
    """
    if kind not in TABLES:
        known = ", ".join(TABLES)
        raise InputError(f"a kind of file among {known}", repr(kind), nearest(kind, TABLES))
    return schema_of(load(TABLES[kind]), f"caliche, {kind}")

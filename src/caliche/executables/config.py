"""The configuration of an executable: a model of anybody's, its parameters and observations."""

from __future__ import annotations

import csv
import math
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from caliche.cards.methods import MEMBER_METHODS
from caliche.data.missing import NUMBERS as MISSING
from caliche.errors import InputError
from caliche.executables.outputs import number, rows_of
from caliche.experiments.config.methods import method_options, option_tables
from caliche.keys.declare import key
from caliche.keys.read import inside, read
from caliche.models.base import ParameterDeclaration
from caliche.parameters import FreeParameter
from caliche.parameters.priors import PRIORS, Flat, Prior
from caliche.wording import number_of

HERE = "{here}"  # in a command: the folder of the configuration
OUTPUTS = "outputs"  # the stream of values that nobody named one for


@dataclass(frozen=True, kw_only=True)
class DriveModelTable:
    """The program that is the model."""

    command: tuple[str, ...] = key(
        "program and arguments, run in each member's folder; {here} is the folder of this file",
        example='["python", "{here}/model.py"]',
    )
    timeout: float = key(
        "time after which a run is stopped and counts as failed", 3600.0, unit="s", above=0
    )
    workers: int = key("number of runs at the same time", 1, above=0)

    def check(self, where: str) -> None:
        if not self.command:
            raise InputError(
                f"a list of texts for command in {where}",
                "[]",
                'write command = ["python", "{here}/model.py"]',
            )


@dataclass(frozen=True, kw_only=True)
class DriveObservationsTable:
    """What was observed: values and sigma, or a file with two such columns."""

    file: str | None = key(
        "CSV file with the columns value and sigma, and stream where there are several", None
    )
    values: tuple[float, ...] = key(
        "observed values, as the program leaves its own; nan where missing", (), gaps=True
    )
    sigma: float | tuple[float, ...] | None = key(
        "standard deviation of their errors: one for all, or one for each", None, example="NUMBER"
    )
    streams: tuple[str, ...] = key(
        "name of each value's series, for metrics of values of one kind; all are one if left out",
        (),
    )
    missing: tuple[float, ...] = key("numbers that stand for a missing value", MISSING)

    def check(self, where: str) -> None:
        if self.file is not None:
            if self.values or self.streams or self.sigma is not None:
                raise InputError(f"values or file in {where}", "both", "leave one of them out")
            return
        if self.streams and len(self.streams) != len(self.values):
            raise InputError(
                f"a name for each of {number_of(len(self.values), 'value')} for streams in {where}",
                f"{len(self.streams)}",
                "name the stream of every value, or leave streams out",
            )
        if not self.values:
            raise InputError(f"values or file in {where}", "neither", "write values = [1.0, 2.0]")
        if self.sigma is None:
            raise InputError(f"sigma in {where}", "nothing", "add sigma = NUMBER")
        if isinstance(self.sigma, float) and not self.sigma > 0.0:
            raise InputError(
                f"a number above 0 for sigma in {where}", f"{self.sigma:g}", "write sigma = NUMBER"
            )


@dataclass(frozen=True, kw_only=True)
class DriveParameterTable:
    """A parameter of the program."""

    prior: str = key("kind of its prior", "flat", choices=tuple(PRIORS))
    lower: float | None = key("lower bound", None)
    upper: float | None = key("upper bound", None)
    mean: float | None = key("mean of a normal or log-normal prior", None)
    sd: float | None = key("standard deviation of that prior", None)
    start: tuple[float, float] | None = key("range of first guesses", None, example="[low, high]")
    value: float | None = key("first guess; the middle of its range or prior if left out", None)
    long_name: str | None = key("name in reports", None)
    unit: str = key("unit in reports", "1")

    def check(self, where: str) -> None:
        for name, value in (("mean", self.mean), ("sd", self.sd)):
            if self.prior != "flat" and value is None:
                raise InputError(f"{name} in {where}", "nothing", f"add {name} = NUMBER")
            if self.prior == "flat" and value is not None:
                raise InputError(
                    f"no {name} in {where}, whose prior is flat",
                    f"{name} = {value:g}",
                    "add prior = 'normal' or 'log-normal'",
                )


@dataclass(frozen=True, kw_only=True)
class DriveMethodTable:
    """A method without derivatives."""

    name: str = key(
        "name of the method, see docs/methods.md", "etki", choices=lambda: MEMBER_METHODS
    )
    seed: int = key("random seed of the members", 0, least=0)
    options: Mapping[str, Any] = key(
        "options of the method, see docs/methods.md", {}, by=lambda: option_tables(MEMBER_METHODS)
    )


@dataclass(frozen=True, kw_only=True)
class DriveTable:
    """A model that is an executable, its parameters and observations."""

    title: str | None = key("title, one line", None)
    model: DriveModelTable = key("the program")
    observations: DriveObservationsTable = key("what was observed")
    parameters: Mapping[str, DriveParameterTable] = key("parameters by name", {})
    method: DriveMethodTable = key("method of estimation", {})


@dataclass(frozen=True)
class DriveConfig:
    """What to run, and what to fit.

    Attributes
    ----------
    command : arguments, run in each member's folder.
    timeout : seconds after which a run is stopped and counts as failed.
    observed, sigma : (n,) values, NaN where nothing was seen, and their standard deviations.
    streams : (n,) the series that each value is of.
    name : of the file.
    missing : numbers that stand for none, in observations and outputs.
    """

    title: str
    folder: Path
    command: tuple[str, ...]
    timeout: float
    workers: int
    parameters: tuple[FreeParameter, ...]
    observed: np.ndarray
    sigma: np.ndarray
    method: str
    seed: int
    options: Mapping[str, Any]
    text: str
    missing: tuple[float, ...] = MISSING
    streams: tuple[str, ...] = ()
    name: str = "drive"


def read_drive(path: Path) -> DriveConfig:
    """The configuration in a TOML file.

    Raises
    ------
    InputError : no such file, no TOML, or a key that is missing, unknown or of the wrong kind.
    """
    try:
        text = path.read_text("utf-8")
        raw = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            "a configuration file for drive", f"{path}: {error}", "check the path"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"valid TOML in {path.name}", str(error), "correct that line") from None
    table, folder = read(DriveTable, raw, path.name), path.resolve().parent
    model, method = table.model, table.method
    seen = _observations(table.observations, inside(path.name, "observations"), folder)
    observed, sigma, streams = seen
    where = inside(path.name, "parameters")
    parameters = tuple(_parameter(n, s, inside(where, n)) for n, s in table.parameters.items())
    if not parameters:
        raise InputError(
            f"at least one parameter in {path.name}", "none", "add [parameters.NAME] with bounds"
        )
    options = method_options(
        method.options, method.name, inside(inside(path.name, "method"), "options")
    )
    return DriveConfig(
        table.title or path.stem,
        folder,
        tuple(part.replace(HERE, str(folder)) for part in model.command),
        model.timeout,
        model.workers,
        parameters,
        observed,
        sigma,
        method.name,
        method.seed,
        options,
        text,
        table.observations.missing,
        streams,
        path.stem,
    )


def is_drive(path: Path | str) -> bool:
    """Whether a file configures an executable, and not an experiment; one that cannot be read does
    not."""
    try:
        raw = tomllib.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    model = raw.get("model")
    return isinstance(model, Mapping) and "command" in model


def as_kept(config: DriveConfig, folder: Path) -> dict[str, Any]:
    """The content of the configuration for a file in another folder, with its observations in it
    and `{here}` led back by a relative path, so that it tells nothing of the machine."""
    raw = tomllib.loads(config.text)
    back = Path(os.path.relpath(config.folder, folder.absolute())).as_posix()
    command = [str(part) for part in raw["model"]["command"]]
    raw["model"]["command"] = [part.replace(HERE, f"{HERE}/{back}") for part in command]
    sigma = np.where(np.isfinite(config.observed), config.sigma, 1.0)
    seen: dict[str, Any] = {"values": config.observed.tolist(), "sigma": sigma.tolist()}
    if set(config.streams) != {OUTPUTS}:
        seen["streams"] = list(config.streams)
    raw["observations"] = {**seen, "missing": list(config.missing)}
    return raw


def _observations(
    table: DriveObservationsTable, where: str, folder: Path
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """`values` and `sigma`, or a `file` with two such columns; and the stream of each."""
    if table.file is not None:
        values, sigma, streams = _table(folder / table.file, where, table.missing)
    else:
        values, sigma = _lists(table, where)
        streams = table.streams or (OUTPUTS,) * len(values)
    lost = np.isfinite(values) & ~(np.isfinite(sigma) & (sigma > 0.0))
    if lost.any():
        k = int(np.flatnonzero(lost)[0])
        raise InputError(
            f"a sigma above 0 beside every value in {where}",
            f"{'none' if np.isnan(sigma[k]) else f'{sigma[k]:g}'} at value number {k + 1}",
            "give it, or leave the value empty too",
        )
    return values, sigma, streams


def _lists(table: DriveObservationsTable, where: str) -> tuple[np.ndarray, np.ndarray]:
    values = np.array(table.values)
    values = np.where(np.isin(values, table.missing), np.nan, values)
    sigma = np.atleast_1d(np.asarray(table.sigma, float))
    if len(sigma) not in (1, len(values)):
        raise InputError(
            f"one sigma in {where}, or one for each of {number_of(len(values), 'value')}",
            f"{len(sigma)}",
            "give as many as values",
        )
    return values, np.broadcast_to(sigma, values.shape)


def _table(
    path: Path, where: str, missing: Sequence[float]
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    try:
        header, *rows = rows_of(path.read_text("utf-8-sig")) or [[]]
    except (OSError, ValueError, csv.Error) as error:
        raise _no_table(where, f"{path.name}: {error}") from None
    if not {"value", "sigma"} <= set(header):
        raise _no_table(where, f"{path.name} with {', '.join(header) or 'nothing in it'}")
    found = np.full((len(rows), 2), np.nan)
    for k, row in enumerate(rows):
        try:
            if len(row) != len(header):
                raise ValueError(f"{len(row)} cells below {len(header)} names")
            found[k] = [number(row[header.index(name)], missing) for name in ("value", "sigma")]
        except ValueError as error:
            raise _no_table(where, f"{error}, in row {k + 1} of {path.name}") from None
    streams = (OUTPUTS,) * len(rows)
    if "stream" in header:
        streams = tuple(row[header.index("stream")] for row in rows)
    return found[:, 0], found[:, 1], streams


def _no_table(where: str, got: str) -> InputError:
    return InputError(
        f"a CSV file with numbers in the columns value and sigma for {where}",
        got,
        "leave value empty where nothing was observed",
    )


def _parameter(name: str, table: DriveParameterTable, where: str) -> FreeParameter:
    given = {"lower": table.lower, "upper": table.upper}
    bounds = {end: value for end, value in given.items() if value is not None}
    if table.mean is None or table.sd is None:
        prior: Prior = Flat(**bounds)
    else:
        prior = PRIORS[table.prior](table.mean, table.sd, **bounds)
    value, start = table.value, table.start
    if value is None:
        value = _middle(prior, where) if start is None else start[0] + 0.5 * (start[1] - start[0])
    declaration = ParameterDeclaration(
        name,
        table.long_name or name.replace("_", " "),
        table.unit,
        value,
        prior.lower,
        prior.upper,
        "the configuration",
    )
    return FreeParameter(declaration, prior, value, start)


def _middle(prior: Prior, where: str) -> float:
    """A first guess where none is given."""
    mean = getattr(prior, "mean", 0.5 * (prior.lower + prior.upper))
    if not math.isfinite(mean):
        raise InputError(
            f"value in {where}, as its prior has no middle", "nothing", "add value = NUMBER"
        )
    return mean

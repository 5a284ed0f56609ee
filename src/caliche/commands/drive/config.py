"""The configuration of `caliche drive`: a model of anybody's, its parameters and observations."""

from __future__ import annotations

import csv
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from caliche.cards.methods import MEMBER_METHODS
from caliche.commands.drive.tables import number, rows_of
from caliche.data.missing import NUMBERS as MISSING
from caliche.errors import InputError
from caliche.experiments.config.methods import method_options
from caliche.experiments.config.section import Section
from caliche.models.base import ParameterDeclaration
from caliche.parameters import FreeParameter
from caliche.parameters.priors import PRIORS, Flat, Prior
from caliche.wording import number_of

HERE = "{here}"  # in a command: the folder of the configuration


@dataclass(frozen=True)
class DriveConfig:
    """What to run, and what to fit.

    Attributes
    ----------
    command : arguments, run in each member's folder.
    timeout : seconds after which a run is stopped and counts as failed.
    observed, sigma : (n,) values, NaN where nothing was seen, and their standard deviations.
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
    top = Section(raw, path.name)
    folder = path.resolve().parent
    command, timeout, workers = _model(top.section("model"), folder)
    observed, sigma, missing = _observations(top.section("observations"), folder)
    parameters = tuple(_parameter(name, s) for name, s in top.sections("parameters").items())
    if not parameters:
        raise InputError(
            f"at least one parameter in {path.name}", "none", "add [parameters.NAME] with bounds"
        )
    section = top.section("method", {})
    method = section.choice("name", tuple(MEMBER_METHODS), "etki")
    options = method_options(section.section("options", {}), method)
    seed = section.get("seed", int, 0)
    section.finish()
    title = top.get("title", str, path.stem)
    top.finish()
    return DriveConfig(
        title,
        folder,
        command,
        timeout,
        workers,
        parameters,
        observed,
        sigma,
        method,
        seed,
        options,
        text,
        missing,
    )


def _model(section: Section, folder: Path) -> tuple[tuple[str, ...], float, int]:
    command = section.get("command", list)
    if not command or not all(isinstance(part, str) for part in command):
        raise InputError(
            f"a list of texts for command in {section.where}",
            repr(command),
            'write command = ["python", "{here}/model.py"]',
        )
    timeout = section.positive("timeout", float, 3600.0)
    workers = section.positive("workers", int, 1)
    section.finish()
    return tuple(part.replace(HERE, str(folder)) for part in command), timeout, workers


def _observations(
    section: Section, folder: Path
) -> tuple[np.ndarray, np.ndarray, tuple[float, ...]]:
    """`values` and `sigma`, or a `file` with two such columns, and what stands for missing."""
    name = section.get("file", str, None)
    missing = section.numbers("missing", MISSING)
    if name is not None:
        section.finish()
        values, sigma = _table(folder / name, section.where, missing)
    else:
        values, sigma = _lists(section, missing)
    lost = np.isfinite(values) & ~(np.isfinite(sigma) & (sigma > 0.0))
    if lost.any():
        k = int(np.flatnonzero(lost)[0])
        raise InputError(
            f"a sigma above 0 beside every value in {section.where}",
            f"{'none' if np.isnan(sigma[k]) else f'{sigma[k]:g}'} at value number {k + 1}",
            "give it, or leave the value empty too",
        )
    return values, sigma, missing


def _lists(section: Section, missing: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    given = section.get("values", list, [])
    # NaN is a missing value here; all else is checked as other lists are.
    gaps = [isinstance(v, float) and math.isnan(v) for v in given]
    filled = {"values": [0.0 if gap else v for v, gap in zip(given, gaps, strict=True)]}
    values = np.array(Section(filled, section.where).numbers("values"))
    if not len(values):
        raise InputError(
            f"values or file in {section.where}", "neither", "write values = [1.0, 2.0]"
        )
    values = np.where(np.array(gaps) | np.isin(values, missing), np.nan, values)
    given = section.table.get("sigma")
    sigma = (
        section.numbers("sigma") if isinstance(given, list) else section.positive("sigma", float)
    )
    section.finish()
    sigma = np.atleast_1d(np.asarray(sigma, float))
    if len(sigma) not in (1, len(values)):
        raise InputError(
            f"one sigma in {section.where}, or one for each of {number_of(len(values), 'value')}",
            f"{len(sigma)}",
            "give as many as values",
        )
    return values, np.broadcast_to(sigma, values.shape)


def _table(path: Path, where: str, missing: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
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
    return found[:, 0], found[:, 1]


def _no_table(where: str, got: str) -> InputError:
    return InputError(
        f"a CSV file with numbers in the columns value and sigma for {where}",
        got,
        "leave value empty where nothing was observed",
    )


def _parameter(name: str, section: Section) -> FreeParameter:
    kind = section.choice("prior", tuple(PRIORS), "flat")
    lower, upper = section.get("lower", float, None), section.get("upper", float, None)
    bounds = {"lower": lower, "upper": upper}
    bounds = {key: value for key, value in bounds.items() if value is not None}
    if kind == "flat":
        prior: Prior = Flat(**bounds)
    else:
        prior = PRIORS[kind](section.get("mean", float), section.get("sd", float), **bounds)
    start = section.numbers("start")
    if start and len(start) != 2:
        raise InputError(
            f"two numbers for start in {section.where}", f"{list(start)}", "write [low, high]"
        )
    value = section.get("value", float, None)
    if value is None:
        value = start[0] + 0.5 * (start[1] - start[0]) if start else _middle(prior, section)
    declaration = ParameterDeclaration(
        name,
        section.get("long_name", str, name.replace("_", " ")),
        section.get("unit", str, "1"),
        value,
        prior.lower,
        prior.upper,
        "the configuration",
    )
    section.finish()
    return FreeParameter(declaration, prior, value, (start[0], start[1]) if start else None)


def _middle(prior: Prior, section: Section) -> float:
    """A first guess where none is given."""
    mean = getattr(prior, "mean", 0.5 * (prior.lower + prior.upper))
    if not math.isfinite(mean):
        raise InputError(
            f"value in {section.where}, as its prior has no middle", "nothing", "add value = NUMBER"
        )
    return mean

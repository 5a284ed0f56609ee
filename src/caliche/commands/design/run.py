"""`caliche design`: which depths and other sensors would tell most about the parameters."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from caliche.errors import InputError, nearest
from caliche.evaluation.candidates import other_streams, sigma_of
from caliche.experiments.experiment import Experiment
from caliche.identifiability.linearised import Entry, linearised
from caliche.identifiability.sensors import (
    TYPICAL_SIGMA,
    Candidate,
    SensorSet,
    evaluated,
    factors,
    sensitivities,
    sensor_sets,
)
from caliche.runs.folder import finite, versions, write_whole
from caliche.runs.points import control
from caliche.variables import stream_name, variable

DEPTHS = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5)
SURFACE = "surface_temperature"


@dataclass(frozen=True)
class Design:
    """Sets of sensors and what each would determine.

    Attributes
    ----------
    entries : the parameters, as in `caliche.identifiability.linearised`.
    candidates : the sensors; `depths` those of them that measure temperature, by depth (m).
    sets : every set, in the order of their sizes.
    now : what the experiment's own observations determine, gaps included.
    """

    experiment: str
    title: str
    at: str
    steps: int
    autocorrelation: float
    added: bool
    entries: tuple[Entry, ...]
    candidates: tuple[Candidate, ...]
    depths: Mapping[float, str]
    sets: tuple[SensorSet, ...]
    now: SensorSet

    def best(self, by: str = "a", size: int | None = None) -> list[SensorSet]:
        """Sets, best first, by `a`, `d` or the standard deviation of a parameter."""
        names = [entry.name for entry in self.entries]
        if by not in ("a", "d", *names):
            raise InputError(
                "a, d or the name of a free parameter to rank by", repr(by), nearest(by, names)
            )
        chosen = [s for s in self.sets if size is None or len(s.streams) == size]
        return sorted(chosen, key=lambda s: _criterion(s, by, names))

    def of(self, *streams: str) -> SensorSet:
        """The set of just these sensors."""
        wanted = set(streams)
        return next(s for s in self.sets if set(s.streams) == wanted)


def _criterion(sensors: SensorSet, by: str, names: Sequence[str]) -> tuple[float, int, float]:
    if by == "a":
        # Where something stays unseen, the set that leaves the fewest parameters open is better.
        known = np.isfinite(sensors.sd)
        return sensors.a, int((~known).sum()), sensors.d
    return (sensors.d if by == "d" else float(sensors.sd[names.index(by)])), 0, sensors.a


def design_experiment(
    experiment: Experiment,
    depths: Sequence[float] | None = None,
    streams: Sequence[str] | None = None,
    sigma: Mapping[str, float] | None = None,
    largest: int | None = None,
    add: bool = False,
    autocorrelation: float = 0.0,
    at: str | None = None,
) -> Design:
    """Evaluate every set of up to `largest` sensors (3) in the fitted window of an experiment.

    Parameters
    ----------
    depths : of thermometers (m); 0 is the surface. Default: `DEPTHS` within the model's grid.
    streams : other sensors. Default: every further stream that the model gives.
    sigma : errors, by stream or by quantity (`soil_temperature`), instead of the experiment's own
        for the same quantity, and of typical ones for others.
    add : put the sensors beside those the experiment has, instead of judging them by themselves.
    autocorrelation : of successive errors of every candidate.
    at : see `caliche.commands.identify.run.identify_experiment`.

    Raises
    ------
    InputError : a depth or stream that the model does not have, sizes that cannot be.
    """
    problem = experiment.problem()
    u, where = control(experiment, problem, at)
    grid = problem.model.depths["soil_temperature"]
    chosen = [z for z in DEPTHS if z <= grid[-1]] if depths is None else sorted(set(depths))
    by_depth = {z: SURFACE if z == 0.0 else stream_name("soil_temperature", z) for z in chosen}
    thermometers = list(by_depth.values())
    if streams is None:
        others = [n for n in other_streams(problem.model, []) if variable(n).unit != "K"]
    else:
        others = [name for name in streams if name not in thermometers]
    names = [*thermometers, *dict.fromkeys(others)]
    if not names:
        raise InputError("at least one candidate", "none", "give --depths or --streams")
    largest = min(3, len(names)) if largest is None else largest
    if not 1 <= largest <= len(names):
        raise InputError(f"sets of 1 to {len(names)} sensors", f"{largest}", "change --size")
    candidates = [Candidate(name, _sigma(experiment, name, sigma or {})) for name in names]
    _check_sigmas(sigma or {}, names)
    linear = linearised(problem, u)
    slopes = sensitivities(problem, u, names)
    given = np.concatenate([linear.data, linear.prior]) if add else linear.prior
    sets = sensor_sets(names, factors(slopes, candidates, autocorrelation), given, linear, largest)
    own = tuple(s.name for s in problem.operator.streams)
    now = evaluated(own, np.concatenate([linear.data, linear.prior]), linear)
    return Design(
        experiment.config.name,
        experiment.config.title,
        where,
        len(slopes),
        autocorrelation,
        add,
        linear.entries,
        tuple(candidates),
        by_depth,
        tuple(sets),
        now,
    )


def _sigma(experiment: Experiment, stream: str, given: Mapping[str, float]) -> float:
    quantity = variable(stream).name
    if quantity not in TYPICAL_SIGMA:
        raise InputError(
            f"a candidate that can be observed of the model ({', '.join(TYPICAL_SIGMA)})",
            stream,
            nearest(stream, TYPICAL_SIGMA),
        )
    for name in (stream, quantity):
        if name in given:
            return given[name]
    return sigma_of(experiment, stream)


def _check_sigmas(given: Mapping[str, float], names: Sequence[str]) -> None:
    """An error that no candidate has is a slip."""
    known = {*names, *(variable(name).name for name in names)}
    for name in given:
        if name not in known:
            raise InputError("a sigma of a candidate", repr(name), nearest(name, known))


# -- the folder -----------------------------------------------------------------------------------


def write_design(design: Design, folder: Path) -> None:
    """Write design.json and design.csv; nothing is left if that fails."""

    def write(inside: Path) -> None:
        text = json.dumps(summarise(design), indent=1, allow_nan=False)
        (inside / "design.json").write_text(text + "\n", encoding="utf-8")
        with (inside / "design.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(table(design))

    write_whole(folder, "design", write)


def table(design: Design) -> list[list[Any]]:
    """Header and one row per set: its sensors, both criteria, the sd of each parameter.

    An sd that is infinite is written as `inf`.
    """
    header = ["sensors", "size", "a", "d", "condition"]
    header += [f"sd_{e.name} [{e.unit}]" for e in design.entries]
    rows: list[list[Any]] = [header]
    for s in design.sets:
        numbers = [f"{value:.6g}" for value in (s.a, s.d, s.condition, *s.sd)]
        rows.append([" + ".join(s.streams), len(s.streams), *numbers])
    return rows


def summarise(design: Design) -> dict[str, Any]:
    """The content of design.json; None where a standard deviation is infinite."""
    names = [entry.name for entry in design.entries]

    def of(s: SensorSet) -> dict[str, Any]:
        sd = dict(zip(names, s.sd.tolist(), strict=True))
        return {"sensors": list(s.streams), "a": s.a, "d": s.d, "condition": s.condition, "sd": sd}

    return finite(
        {
            "experiment": design.experiment,
            "title": design.title,
            "at": design.at,
            "steps": design.steps,
            "autocorrelation": design.autocorrelation,
            "added": design.added,
            "parameters": {
                e.name: {
                    "value": e.value,
                    "unit": e.unit,
                    "long_name": e.long_name,
                    "prior": e.prior,
                    "yardstick": e.yardstick,
                    "ratio_scale": e.ratio_scale,
                }
                for e in design.entries
            },
            "candidates": {c.stream: c.sigma for c in design.candidates},
            "depths": {f"{z:g}": stream for z, stream in design.depths.items()},
            "now": of(design.now),
            "sets": [of(s) for s in design.best()],
            "versions": versions(),
        }
    )

"""How much the estimates of an experiment depend on choices that nobody estimated.

`run_variants` calibrates an experiment again with other choices, one at a time: `variant_families`
says which, `variant_config` what the experiment then is, `variant_fit` fits it, `variant_compare`
holds it against the base, `variant_words` says it, and `variant_folder` keeps it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from caliche.commands.variants.compare import compare, effective_size
from caliche.commands.variants.config import Variant, as_text, own_variants, variant_config
from caliche.commands.variants.families import FAMILIES, default_variants
from caliche.commands.variants.fit import fit, variant_experiment
from caliche.commands.variants.folder import VariantsFolder, identity, runnable
from caliche.commands.variants.words import conclusion, sentences
from caliche.errors import InputError, nearest
from caliche.experiments.experiment import Experiment
from caliche.runs.folder import finite, versions

STARTS = 5
BASE = Variant("base", "base", "own", "the experiment as it is")
Callback = Callable[[int, int, Mapping[str, Any], bool], None]
"""Called for each finished variant with its number (0 for the base), how many there are, its
record, and whether it was finished before."""


@dataclass(frozen=True)
class VariantsRun:
    """A finished run: its folder, and the content of variants.json."""

    folder: Path
    summary: Mapping[str, Any]

    @property
    def converged(self) -> bool:
        """Whether the base, and every variant that could run, converged."""
        records = [self.summary["base"], *self.summary["variants"]]
        return all(r["status"] != "did not converge" for r in records)


def chosen_variants(
    experiment: Experiment,
    values: Mapping[str, float],
    only: Sequence[str] = (),
    own: Sequence[str] = (),
) -> list[Variant]:
    """The variants to run: those of the families `only` (default all), and one's own.

    Parameters
    ----------
    values : every parameter by name, where it is free at its estimate.
    only : names of families (`FAMILIES`), of variants, or `own`.
    own : "name: key=value; key=value", beside the tables [variants.NAME] of the configuration.

    Raises
    ------
    InputError : an unknown family, a variant that cannot be read, two of one name.
    """
    mine = own_variants(experiment.config, own)
    every = [*default_variants(experiment.config, values), *mine]
    names = [v.name for v in every]
    for name in names:
        if names.count(name) > 1:
            raise InputError("variants of different names", f"two called {name}", "rename one")
    known = [*FAMILIES, "own", *names]
    for word in only:
        if word not in known:
            raise InputError(
                f"families of variants, of {', '.join([*FAMILIES, 'own'])}",
                repr(word),
                nearest(word, known),
            )
    # Whoever writes a variant on the command line wants it run.
    typed = {v.name for v in mine[len(mine) - len(own) :]}
    return [v for v in every if not only or {v.family, v.name} & {*only} or v.name in typed]


def first_guesses(experiment: Experiment) -> dict[str, float]:
    """Every parameter at its first guess, or where it is fixed."""
    space = experiment.space
    fixed = {name: float(value) for name, value in space.fixed.items()}
    return space.tied({**{p.name: p.initial for p in space.free}, **fixed})


def run_variants(
    experiment: Experiment,
    out: Path,
    only: Sequence[str] = (),
    own: Sequence[str] = (),
    starts: int = STARTS,
    callback: Callback | None = None,
    command: str | None = None,
) -> VariantsRun:
    """Calibrate an experiment and its variants, and compare them.

    The base is fitted from the configuration's starts; each variant from the base's optimum, its
    own first guess, and points drawn around it, `starts` in all. A variant that cannot be, or that
    the data do not allow, is kept with the reason. If the base does not converge, no variant is
    fitted.

    Parameters
    ----------
    out : folder to write. If an earlier run of the same was stopped, this one goes on from there.
    only, own : see `chosen_variants`.
    starts : starting points of each variant.

    Raises
    ------
    InputError : anything wrong with the base's configuration or data, the choice of variants, or
        the folder.
    """
    if starts < 1:
        raise InputError("at least one start", str(starts), "leave --starts out")
    chosen_variants(experiment, first_guesses(experiment), only, own)
    folder = VariantsFolder(Path(out))
    experiment.problem()  # bad data are told before anything is written
    began = identity(experiment, starts)
    folder.begin(began, runnable(experiment, "base", folder.path))
    work = _Work(experiment, folder, starts, callback)
    base = work.do(0, BASE, None)
    values = {name: p["estimate"] for name, p in base["parameters"].items()}
    variants = []
    if base["status"] == "converged":
        work.variants = chosen_variants(experiment, values, only, own)
        variants = [work.do(k + 1, v, base) for k, v in enumerate(work.variants)]
    scale = compare(base, variants)
    summary = finite(_summary(experiment, base, variants, scale, command))
    folder.close(summary)
    return VariantsRun(folder.path, summary)


class _Work:
    """Fits variants one by one, those that are finished already left as they are."""

    def __init__(
        self, base: Experiment, folder: VariantsFolder, starts: int, callback: Callback | None
    ) -> None:
        self._base, self._folder, self._starts, self._callback = base, folder, starts, callback
        self.variants: list[Variant] = []

    def do(self, number: int, variant: Variant, base: Mapping[str, Any] | None) -> dict[str, Any]:
        """The record of a variant."""
        changes = "; ".join(as_text(variant.changes))
        record = self._folder.record(variant.name, changes)
        before = record is not None
        if record is None:
            record = self._fit(variant, base, changes)
        # What it is called may change with the family's other members.
        record |= self._told(variant)
        if self._callback is not None:
            self._callback(number, len(self.variants), record, before)
        return record

    @staticmethod
    def _told(variant: Variant) -> dict[str, Any]:
        keys = ("name", "family", "kind", "what", "finer")
        return {key: getattr(variant, key) for key in keys}

    def _fit(
        self, variant: Variant, base: Mapping[str, Any] | None, changes: str
    ) -> dict[str, Any]:
        began = time.perf_counter()
        record: dict[str, Any] = {**self._told(variant), "changes": changes}
        config = None
        try:
            if variant.impossible:
                raise InputError("another experiment", variant.impossible, "leave it out")
            experiment = self._base
            if base is not None:
                changed = variant_config(self._base.config, variant.changes)
                experiment = variant_experiment(self._base, changed)
            method = self._base.config.method
            starts = method.starts if base is None else self._starts
            record |= fit(experiment, base, starts, method.seed)
            if record["n_effective_parameters"] is not None:
                record["n_effective_parameters"] += variant.taken
            config = runnable(experiment, variant.name, self._folder.path / "finished")
        except InputError as error:
            if base is None:
                raise
            record |= {"status": "cannot run", "reason": variant.impossible or str(error)}
        except (ArithmeticError, RuntimeError, np.linalg.LinAlgError) as error:
            # A solver that breaks down under odd choices must not cost the variants after it.
            if base is None:
                raise
            told = str(error).strip().splitlines() or [type(error).__name__]
            record |= {"status": "cannot run", "reason": f"it failed: {told[0]}"}
        record["seconds"] = time.perf_counter() - began
        self._folder.keep(record, config)
        # As it is read again by a run that goes on from here.
        return json.loads(json.dumps(record))


def _summary(
    experiment: Experiment,
    base: dict[str, Any],
    variants: list[dict[str, Any]],
    scale: dict[str, Any],
    command: str | None,
) -> dict[str, Any]:
    """The content of variants.json."""
    settled, twin = base["status"] == "converged", experiment.config.synthetic is not None
    return {
        "experiment": experiment.config.name,
        "title": experiment.config.title,
        "description": experiment.config.description,
        "truth": dict(experiment.truth or {}) or None,
        "effective_observations": effective_size(scale),
        "effective_observations_of": scale["name"],
        "base": base,
        "variants": variants,
        "sentences": sentences(base, variants) if settled else [],
        "conclusion": conclusion(base, variants, twin) if settled else [],
        "seconds": sum(r["seconds"] for r in (base, *variants)),
        "versions": versions(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
    }

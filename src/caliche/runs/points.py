"""The points at which an experiment can be linearised: a truth, a guess, a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from caliche.errors import InputError
from caliche.experiments.experiment import Experiment
from caliche.keys.records import read_record
from caliche.problems.inverse import InverseProblem
from caliche.runs.run_summary import REMEDY, Estimates


def control(
    experiment: Experiment, problem: InverseProblem, at: str | None
) -> tuple[np.ndarray, str]:
    """The control vector (P,) that `at` means, and its name in words."""
    if at is None:
        at = "initial" if experiment.truth is None else "truth"
    if at == "initial":
        return np.asarray(problem.space.initial()), "the first guess"
    if at == "truth":
        if experiment.truth is None:
            raise InputError(
                "a twin, whose truth is known",
                f"{experiment.config.name}, which is not one",
                "--at initial, or --at the folder of a run",
            )
        known = dict(_first_guesses(problem))
        values, where = {**known, **experiment.truth}, "the truth"
    else:
        values, where = (
            _estimates(Path(at), problem.space.names),
            f"the estimate of {Path(at).name}",
        )
    try:
        u = np.asarray(problem.space.to_whitened({k: jnp.asarray(v) for k, v in values.items()}))
    except KeyError as error:
        raise InputError(
            f"a value of every free parameter at {where}",
            f"none of {error.args[0]}",
            "--at initial",
        ) from None
    if not np.isfinite(u).all():
        outside = problem.space.names[int(np.flatnonzero(~np.isfinite(u))[0])]
        raise InputError(
            f"values inside the bounds at {where}",
            f"{outside} = {float(values[outside]):g}",
            "widen the bounds, or choose another point",
        )
    return u, where


def _first_guesses(problem: InverseProblem) -> Mapping[str, float]:
    values = np.asarray(problem.space.vector(problem.space.initial()))
    return dict(zip(problem.space.names, values.tolist(), strict=True))


def _estimates(folder: Path, names: Sequence[str]) -> dict[str, float]:
    if not (folder / "summary.json").is_file():
        raise InputError(
            "truth, initial or the folder of a run with its summary.json",
            str(folder),
            "--at initial",
        )
    found = read_record(Estimates, folder / "summary.json", f"{REMEDY}, or --at initial").parameters
    return {name: found[name].estimate for name in names if name in found}

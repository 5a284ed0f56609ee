"""Towers calibrated together: one operational set of parameters, with what is left of its doubt."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from caliche._version import __version__
from caliche.commands.callmip.config import Entry
from caliche.commands.callmip.towers import Tower
from caliche.estimation.descent.levenberg_marquardt import LevenbergMarquardt
from caliche.estimation.hyperparameters import Hyperparameters
from caliche.estimation.information import with_information
from caliche.estimation.method import CONVERGED, Outcome
from caliche.estimation.result import Result
from caliche.estimation.timing import Stopwatch
from caliche.evaluation.prediction import predict_slopes
from caliche.files.checkpoint import fingerprint
from caliche.files.manifest import read_json
from caliche.files.whole_file import write_text
from caliche.names import at_site
from caliche.parameters.shared import Sharing, share
from caliche.problems.inverse import InverseProblem
from caliche.problems.joint import JointProblem
from caliche.sites.joint_fit import fit_joint, fit_site, joint_result
from caliche.wording import listing, number_of

KEPT = "fits.json"
TOLERANCE = 1e-3
Callback = Callable[[str], None]


@dataclass(frozen=True)
class Calibration:
    """What was found.

    result : of the joint calibration.  problem : that it is of.
    model_error : tower -> stream -> standard deviation of what the model misses, W m-2.
    left_out : tower -> stream -> RMSE on all its days, calibrated without it.
    without_effect : sentences on parameters that no fitted flux depends on.
    """

    result: Result
    problem: JointProblem
    model_error: Mapping[str, Mapping[str, float]]
    left_out: Mapping[str, Mapping[str, float]]
    without_effect: tuple[str, ...]

    def at(self, entry: Entry, tower: Tower) -> tuple[np.ndarray, np.ndarray]:
        """Control vector (P,) of a tower and its covariance: shared values are those of the
        calibration, what is its own and was not calibrated is that of the prior."""
        space, names = tower.experiment.space, self.problem.space.names
        u = np.array(space.initial())
        covariance = np.diag(space.informative.astype(float))
        joint = {name: k for k, name in enumerate(names)}
        mine, theirs = [], []
        for k, name in enumerate(space.names):
            row = joint.get(at_site(name, entry.label(name, tower.site.code)))
            if row is not None:
                mine.append(k)
                theirs.append(row)
        u[mine] = np.asarray(self.result.u)[theirs]
        covariance[np.ix_(mine, mine)] = self.result.covariance_u[np.ix_(theirs, theirs)]
        return u, covariance


class _Kept:
    """Fits that are done, in one small file, so that a run that was stopped goes on."""

    def __init__(self, folder: Path, mark: str) -> None:
        self._path, self._mark = folder / KEPT, mark
        said = read_json(self._path) or {}
        self.fits: dict[str, Any] = said.get("fits", {}) if said.get("mark") == mark else {}

    def put(self, name: str, u: np.ndarray, found: Hyperparameters | None = None) -> None:
        self.fits[name] = {"u": np.asarray(u).tolist(), "found": found and asdict(found)}
        text = json.dumps({"mark": self._mark, "fits": self.fits}, default=np.ndarray.tolist)
        write_text(self._path, text + "\n")

    def get(self, name: str) -> tuple[np.ndarray, Hyperparameters | None] | None:
        fit = self.fits.get(name)
        if fit is None:
            return None
        found = fit["found"]
        return np.array(fit["u"]), None if found is None else Hyperparameters.from_dict(found)


def calibrate(
    entry: Entry, towers: Sequence[Tower], leave_out: bool, tell: Callback
) -> Calibration:
    """Calibrate an entry.

    Each tower is first fitted by itself, which tells the size of its errors (those of the
    measurement with those of the model) and how much its days say, given how long errors persist.
    With these all towers are fitted under one cost, in which no tower counts for more than the
    median one.
    """
    method = LevenbergMarquardt(entry.table.max_iterations, TOLERANCE)
    mine = [tower for tower in towers if tower.calibrates]
    plain = {tower.site.code: tower.problem() for tower in mine}
    mark = fingerprint(entry.text, __version__, list(plain.values()))
    kept = _Kept(entry.folder, mark)
    problems, starts, errors = {}, {}, {}
    for tower in mine:
        code = tower.site.code
        fit = kept.get(code)
        if fit is None:
            _, outcome, found = fit_site(plain[code], tower.experiment.unknown, method)
            fit = np.asarray(outcome.final.u[0]), found
            kept.put(code, *fit)
            tell(f"{code} by itself: {_line(outcome)}")
        starts[code], found = fit
        problems[code] = _with_errors(plain[code], tower, found)
        errors[code] = _model_error(tower, problems[code])
    if entry.table.weights == "towers":
        problems = _evened(problems)
    spaces = [problem.space for problem in problems.values()]
    free = list(dict.fromkeys(name for space in spaces for name in space.names))
    sharing = {name: Sharing(tuple(entry.label(name, code) for code in problems)) for name in free}
    shared = share(list(problems), spaces, sharing)
    joint = JointProblem.build(problems, shared)
    watch = Stopwatch()
    fit = kept.get("together")
    start = _start(joint, shared.rows, list(starts.values())) if fit is None else fit[0]
    outcome = fit_joint(joint, method, jnp.asarray(start))
    kept.put("together", np.asarray(outcome.final.u[0]))
    tell(f"together: {_line(outcome)}")
    result = joint_result(joint, outcome, method, watch)
    left = {}
    if leave_out and len(problems) > 1:
        for code in problems:
            fit = kept.get(f"without {code}")
            if fit is None:
                other = fit_joint(joint.without(code), method, jnp.asarray(result.u))
                fit = np.asarray(other.final.u[0]), None
                kept.put(f"without {code}", *fit)
                tell(f"without {code}: {_line(other)}")
            left[code] = _errors_at(joint, code, plain[code], fit[0])
    return Calibration(result, joint, errors, left, _without_effect(joint, result))


def _line(outcome: Outcome) -> str:
    done = "converged" if int(outcome.final.status[0]) == CONVERGED else "did not converge"
    return f"{done}, J {outcome.final.cost[0]:.6g}, {number_of(outcome.n_iterations, 'iteration')}"


def _with_errors(
    plain: InverseProblem, tower: Tower, found: Hyperparameters | None
) -> InverseProblem:
    """The problem with errors of the size found, and days that count for what they say."""
    if found is None:
        return plain
    whole = tower.experiment.calibrated(found).problem()
    sigma = whole.observations.sigma
    problem = dataclasses.replace(
        plain, observations=dataclasses.replace(plain.observations, sigma=sigma)
    )
    return with_information(problem, found.information, whole=False)


def _model_error(tower: Tower, problem: InverseProblem) -> dict[str, float]:
    """What is left of the errors of each fitted stream without those of the measurement: the
    declared part that is the model's, scaled as the whole was."""
    declared = tower.problem().observations.scale
    errors = {}
    for k, name in enumerate(problem.stream_names):
        seen = np.asarray(problem.observations.mask[:, k])
        ratio = np.asarray(problem.observations.scale)[:, k] / np.asarray(declared)[:, k]
        factor = float(np.median(ratio[seen] if len(ratio) == len(seen) else ratio))
        errors[name] = factor * float(tower.experiment.config.observations[name].sigma or 0.0)
    return errors


def _evened(problems: Mapping[str, InverseProblem]) -> dict[str, InverseProblem]:
    """Streams that count for no more, in independent days, than those of the median tower."""
    counts: dict[str, list[float]] = {}
    for problem in problems.values():
        powers = np.asarray(problem.observations.root)[0] ** 2
        for k, name in enumerate(problem.stream_names):
            days = float(np.asarray(problem.observations.mask[:, k]).sum())
            counts.setdefault(name, []).append(float(powers[k]) * days)
    middle = {name: float(np.median(values)) for name, values in counts.items()}
    found = {}
    for code, problem in problems.items():
        powers = np.asarray(problem.observations.root)[0] ** 2
        for k, name in enumerate(problem.stream_names):
            mine = float(powers[k]) * float(np.asarray(problem.observations.mask[:, k]).sum())
            powers[k] *= min(1.0, middle[name] / mine) if mine else 1.0
        observations = dataclasses.replace(problem.observations, information=jnp.asarray(powers))
        found[code] = dataclasses.replace(problem, observations=observations)
    return found


def _start(
    joint: JointProblem, rows: Sequence[Sequence[int]], controls: Sequence[np.ndarray]
) -> np.ndarray:
    """Means over towers of their own estimates, where they share a value."""
    total, count = np.zeros(joint.space.size), np.zeros(joint.space.size)
    for mine, u in zip(rows, controls, strict=True):
        total[list(mine)] += u
        count[list(mine)] += 1.0
    return total / np.maximum(count, 1.0)


def _errors_at(
    joint: JointProblem, code: str, plain: InverseProblem, v: np.ndarray
) -> dict[str, float]:
    """RMSE of each fitted stream of a tower at a joint control vector."""
    rows = list(joint.rows[joint.sites.index(code)])
    u = (np.asarray(joint.mix) @ v)[rows]
    made, _ = predict_slopes(plain, u)
    off = made - np.asarray(plain.observations.values)
    mask = np.asarray(plain.mask)
    return {
        name: float(np.sqrt(np.mean(off[mask[:, k], k] ** 2)))
        for k, name in enumerate(plain.stream_names)
    }


def _without_effect(joint: JointProblem, result: Result) -> tuple[str, ...]:
    """Parameters on which no fitted flux of any tower depends."""
    seen = np.zeros(joint.space.size, bool)
    for problem, rows in zip(joint.problems, joint.rows, strict=True):
        u = np.asarray(result.u)[list(rows)]
        _, slopes = predict_slopes(problem, u)
        mask = np.asarray(problem.mask)
        moves = np.atleast_1d(np.any(np.abs(slopes) * mask[:, :, None] > 0.0, axis=(0, 1)))
        for row, moved in zip(rows, moves, strict=True):
            seen[row] |= bool(moved)
    without = [name for name, moved in zip(joint.space.names, seen, strict=True) if not moved]
    if not without:
        return ()
    verb = "has" if len(without) == 1 else "have"
    return (f"{listing(without)} {verb} no effect on any fitted flux: nothing was calibrated.",)

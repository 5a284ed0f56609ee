"""Emulators and history matching, measured: each part writes a JSON file, the page is made of them.

    python scripts/emulation.py runs --problem twin-two-depths --repeats 10
    python scripts/emulation.py nroy --problem metolius-lad
    python scripts/emulation.py twin --problem puechabon-lad --seeds 100 --emulated 20
    python scripts/emulation.py times
    python scripts/emulation.py page --out docs/results/emulation.md

`runs`: how many runs an emulator needs, with slopes and without. `nroy`: what emulators leave,
against the model itself. `twin`: a twin of LaD under the weather of Puechabon, with one metric and
with several, beside a variational posterior. `times`: seconds of fits, with threads and without.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import caliche

caliche.configure()

import equinox as eqx  # noqa: E402
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from scipy.stats import chi2, qmc, t  # noqa: E402

from caliche.emulators.box import box_of  # noqa: E402
from caliche.emulators.components import components_of  # noqa: E402
from caliche.emulators.design import latin_hypercube  # noqa: E402
from caliche.emulators.emulator import fit_emulator  # noqa: E402
from caliche.emulators.fit import Options as Fitting  # noqa: E402
from caliche.emulators.model_runs import ModelRunner, runs_from  # noqa: E402
from caliche.emulators.runs import Runs  # noqa: E402
from caliche.estimation.curvature import posterior  # noqa: E402
from caliche.evaluation.experiment_metrics import match_metrics  # noqa: E402
from caliche.experiments import load_experiment  # noqa: E402
from caliche.history_matching.implausibility import usual_rule  # noqa: E402
from caliche.history_matching.match import choose, search_model  # noqa: E402
from caliche.history_matching.observed import observed_targets  # noqa: E402
from caliche.history_matching.ranges import Ranges  # noqa: E402
from caliche.history_matching.recorder import Recorder  # noqa: E402
from caliche.history_matching.simulator import Simulator  # noqa: E402
from caliche.history_matching.study import Options, Study  # noqa: E402
from caliche.history_matching.waves import match_in_waves, statistic  # noqa: E402

COMPONENTS = 4
TESTED = 256  # points by which emulators are judged
SIZES = {
    "twin-two-depths": ((10, 20, 40, 50, 80, 160), (5, 10, 20, 40)),
    "twin-lad": ((20, 40, 70, 80, 160), (5, 8, 14, 20)),
    "west-phoenix-best": ((20, 40, 80, 150), (5, 10, 20, 30)),
}


Keep = Callable[[dict[str, Any]], None]


def load_now() -> float:
    """Load of the machine, for the seconds that are told."""
    return os.getloadavg()[0]


# -- runs for equal error --------------------------------------------------------------------------


def study_runs(name: str, repeats: int, keep: Keep) -> dict[str, Any]:
    """Error and coverage of emulators of so many runs, by number of runs, with slopes and without:
    medians over outputs and repeats."""
    problem = load_experiment(name).problem()
    box, runner = box_of(problem.space), ModelRunner(problem)
    pilot = runner.fields(latin_hypercube(64, box, 999))
    fine = np.all(np.isfinite(pilot[:, np.asarray(problem.mask)]), axis=1)
    scores = components_of(problem, pilot[fine])
    number = min(COMPONENTS, len(scores.names))
    names = scores.names[:number]
    scores = replace(scores, names=names, weights=scores.weights[:number])
    tested = latin_hypercube(TESTED, box, 998)
    truth = scores.of_fields(runner.fields(tested))
    good = np.all(np.isfinite(truth), axis=1)
    spread = truth[good].std(axis=0)
    costs = runner.costs(scores, True)
    values, slopes = SIZES[name]
    found: dict[str, Any] = {"costs": vars(costs), "parameters": box.size, "rows": []}
    for kind, sizes in (("values", values), ("slopes", slopes)):
        for n in sizes:
            errors, covered, seconds = [], [], []
            for repeat in range(repeats):
                u = latin_hypercube(n, box, repeat)
                fields = runner.fields(u)
                made = None
                if kind == "slopes":
                    made = runner.slopes(scores, u, costs.mode)
                runs = runs_from(scores, u, fields, made)
                began = time.process_time()
                emulator = fit_emulator(runs, box, names, Fitting(remedies=False, seed=repeat))
                seconds.append(time.process_time() - began)
                mean, variance = _predicted(emulator, tested[good])
                errors.append(np.sqrt(np.mean((mean - truth[good]) ** 2, axis=0)) / spread)
                freedom = np.array([float(fit.process.freedom) for fit in emulator.fits])
                half = t.ppf(0.975, freedom) * np.sqrt(variance * (freedom - 2.0) / freedom)
                covered.append(np.mean(np.abs(mean - truth[good]) <= half, axis=0))
            found["rows"].append(
                {
                    "kind": kind,
                    "runs": n,
                    "error": float(np.median(errors)),
                    "least": float(np.min(np.median(errors, axis=1))),
                    "largest": float(np.max(np.median(errors, axis=1))),
                    "covered": float(np.mean(covered)),
                    "seconds": float(np.median(seconds)) / number,
                    "load": load_now(),
                    "repeats": repeats,
                }
            )
            print(name, found["rows"][-1], flush=True)
            keep(found)
    return found


def _predicted(emulator: Any, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance, of refused outputs as well."""
    from caliche.emulators.surface import moments_of

    x = emulator.box.to_unit(u)
    mean, variance = moments_of(emulator.surface, jnp.asarray(x))
    return np.asarray(mean), np.asarray(variance)


# -- emulated against exact ------------------------------------------------------------------------

KEPT_POINTS = 2**12


def study_nroy(name: str, audit: int, keep: Keep) -> dict[str, Any]:
    """What two waves of emulators leave, against the model itself."""
    experiment = load_experiment(name)
    problem, starts = experiment.problem(), name != "metolius-lad"
    metrics, _ = match_metrics(experiment, starts=starts)
    metrics, targets, _, _ = observed_targets(problem, metrics)
    ranges, rule = Ranges(problem.space, starts), usual_rule(len(targets))
    simulator = Simulator(problem, metrics, ranges, Recorder(None))
    options = Options("model", points=KEPT_POINTS, members=1000, starts=starts, audit=audit)
    study = Study(simulator, ranges, targets, rule, options)
    began = time.process_time()
    exact = search_model(study)
    found: dict[str, Any] = {
        "metrics": len(targets),
        "parameters": ranges.size,
        "exact": exact.fraction,
        "exact_error": exact.error,
        "exact_runs": simulator.runs,
        "exact_seconds": time.process_time() - began,
        "load": load_now(),
        "rows": [],
    }
    costs = simulator.costs(True)
    found["costs"] = [None if c is None else float(c) for c in costs]
    inside = exact.searched_statistic[: exact.cube] <= exact.cutoff
    kept = exact.searched[: exact.cube][inside]
    judged = exact.searched_statistic[: exact.cube][inside]
    for gradients, number in (("never", 10 * ranges.size), ("always", max(8, 2 * ranges.size))):
        simulator = Simulator(problem, metrics, ranges, Recorder(None))
        options = Options(
            "emulator", None, 2, number, gradients, 1000, KEPT_POINTS, starts, audit=audit
        )
        study = Study(simulator, ranges, targets, rule, options)
        began = time.process_time()
        made = match_in_waves(study, costs)
        seconds = time.process_time() - began
        lost = statistic(study, list(made.judges), kept) > study.cutoff
        checked = made.audit
        assert checked is not None
        found["rows"].append(
            {
                "gradients": gradients,
                "runs": [wave.runs for wave in made.waves],
                "fraction": made.nroy.fraction,
                "kept": 1.0 - float(lost.mean()),
                "tested": len(kept),
                "lowest_lost": float(judged[lost].min()) if lost.any() else None,
                "cutoff": study.cutoff,
                "audit": dict(vars(checked)),
                "share": made.waves[-1].emulator_share,
                "refused": [len(wave.refused) for wave in made.waves],
                "stop": made.waves[-1].sentence,
                "seconds": seconds,
                "load": load_now(),
            }
        )
        print(name, found["rows"][-1], flush=True)
        keep(found)
    return found


# -- a twin at Puechabon ---------------------------------------------------------------------------

# Settings, whether start ranges are searched, and the metric that is matched alone.
TWINS = {
    "puechabon-lad": (
        (
            "window.start=2014-06-01T01:00:00",
            "window.fit_until=2014-06-21T00:00:00",
            "window.end=2014-06-21T23:30:00",
        ),
        False,
        "latent_heat_flux: mean",
    ),
    "twin-two-depths": ((), True, "soil_temperature_0.05m: mean"),
}
ERROR = 0.1  # of a series' standard deviation
INSIDE = 0.1, 0.9  # of each range, where truths are drawn


def study_twin(name: str, seeds: int, emulated: int, keep: Keep, waves: int = 10) -> dict[str, Any]:
    """Truth kept and what is left, with one metric and with several; beside it a posterior."""
    settings, starts, single = TWINS[name]
    experiment = load_experiment(name, list(settings))
    problem = experiment.problem()
    ranges = Ranges(problem.space, starts)
    metrics, _ = match_metrics(experiment, starts=starts)
    mask = np.asarray(problem.mask)
    every = Simulator(problem, metrics, ranges, Recorder(None))
    cube = qmc.Sobol(ranges.size, rng=np.random.default_rng(0)).random_base2(10)
    began = time.process_time()
    values = every.values(cube)
    told: dict[str, Any] = {
        "parameters": ranges.size,
        "single": single,
        "metrics": list(metrics.names),
        "points": len(cube),
        "seconds_points": time.process_time() - began,
        "seeds": [],
    }
    for seed in range(seeds):
        rng = np.random.default_rng([seed, 11])
        x = rng.uniform(*INSIDE, (1, ranges.size))
        u = ranges.to_u(x)[0]
        clean = np.asarray(_forward(problem, jnp.asarray(u)))
        sd = np.array([clean[mask[:, k], k].std() for k in range(mask.shape[1])])
        noisy = np.where(mask, clean + ERROR * sd * rng.standard_normal(clean.shape), 0.0)
        twin = eqx.tree_at(
            lambda p: (p.observations.values, p.observations.sigma),
            problem,
            (jnp.asarray(noisy), jnp.asarray(ERROR * sd)),
        )
        row = _one_twin(twin, metrics, ranges, x, single, cube, values, waves, seed < emulated)
        row["posterior"] = _variational(twin, u)
        told["seeds"].append({"seed": seed, **row})
        print(seed, row, flush=True)
        keep(told)
    return told


@jax.jit
def _forward(problem: Any, u: Any) -> Any:
    return problem.forward(u)


def _one_twin(
    problem: Any,
    made: Any,
    ranges: Ranges,
    truth: np.ndarray,
    single: str,
    cube: np.ndarray,
    values: np.ndarray,
    waves: int,
    emulate: bool,
) -> dict[str, Any]:
    row: dict[str, Any] = {}
    metrics, targets, _, _ = observed_targets(problem, made)
    numbers = np.array([made.names.index(name) for name in metrics.names])
    alone = np.array([name == single for name in metrics.names])
    for word, few in (("one", alone), ("several", np.ones(len(alone), bool))):
        mine, goals = metrics.only(few), targets.only(few)
        rule = usual_rule(len(goals))
        cutoff = rule.cutoff(len(goals))
        simulator = Simulator(problem, made.only(numbers), ranges, Recorder(None))
        exact = rule.combine(goals, simulator.values(truth)[:, few])
        row[word] = {
            "truth": float(exact[0]) / cutoff,
            "fraction": float(np.mean(rule.combine(goals, values[:, numbers[few]]) <= cutoff)),
        }
        if not emulate:
            continue
        simulator = Simulator(problem, mine, ranges, Recorder(None))
        options = Options("emulator", None, waves, None, "never", 500, 2**12)
        study = Study(simulator, ranges, goals, rule, options)
        began = time.process_time()
        _, _, costs = choose(study)
        found = match_in_waves(study, costs)
        judged = statistic(study, list(found.judges), truth)
        row[word] |= {
            "emulated_truth": float(judged[0]) / cutoff,
            "emulated_fraction": found.nroy.fraction,
            "waves": len(found.waves),
            "runs": simulator.runs,
            "seconds": time.process_time() - began,
            "load": load_now(),
        }
    return row


def _variational(problem: Any, u: np.ndarray) -> dict[str, Any]:
    """Whether the 95 % regions of a variational posterior hold the truth."""
    result = caliche.estimate(problem, "lm")
    curvature = posterior(problem, jnp.asarray(result.u))
    away = np.asarray(result.u) - u
    covariance = np.asarray(curvature.covariance)
    sd = np.sqrt(np.diag(covariance))
    distance = float(away @ np.linalg.solve(covariance, away))
    return {
        "converged": bool(result.converged),
        "outside": int(np.sum(np.abs(away) > 1.96 * sd)),
        "jointly_outside": bool(distance > chi2.ppf(0.95, len(u))),
    }


# -- seconds ---------------------------------------------------------------------------------------

FLAG = "--xla_cpu_multi_thread_eigen=false"


def study_times() -> dict[str, Any]:
    """Seconds of fits with threads and without, each in a process of its own."""
    rows = []
    for blas in ("1", "2"):
        for eigen in (True, False):
            flags = os.environ.get("XLA_FLAGS", "") + ("" if eigen else f" {FLAG}")
            environment = {**os.environ, "OPENBLAS_NUM_THREADS": blas, "XLA_FLAGS": flags}
            said = subprocess.run(
                [sys.executable, __file__, "fit"],
                env=environment,
                check=True,
                capture_output=True,
                text=True,
            )
            rows.append(
                {"blas": blas, "eigen": eigen, "load": load_now(), **json.loads(said.stdout)}
            )
            print(rows[-1], flush=True)
    return {"rows": rows}


def fits() -> dict[str, float]:
    """Seconds of a fit at 160 and 500 rows, and of 10^5 implausibilities of four outputs."""
    found = {}
    for n in (160, 500):
        box = _box(5)
        u = latin_hypercube(n, box, 1)
        runs = Runs(u, _smooth(u)[:, :1])
        for _ in range(2):
            began = time.process_time()
            fit_emulator(runs, box, ("smooth",), Fitting(remedies=False))
            found[str(n)] = time.process_time() - began
    box = _box(5)
    u = latin_hypercube(50, box, 1)
    emulator = fit_emulator(Runs(u, _smooth(u)), box, ("a", "b", "c", "d"))
    many = np.random.default_rng(0).uniform(-1.0, 1.0, (100_000, 5))
    for _ in range(2):
        began = time.process_time()
        emulator.predict(many)
        found["implausibilities"] = time.process_time() - began
    return found


def _box(size: int) -> Any:
    from caliche.emulators.box import Box

    return Box(-np.ones(size), np.ones(size))


def _smooth(u: np.ndarray) -> np.ndarray:
    """(n, 4) smooth outputs of five parameters."""
    wave = np.sin(1.5 * u[:, 0] + 0.8 * u[:, 1]) + u[:, 2] * u[:, 3]
    more = np.exp(0.5 * u[:, 4]), np.tanh(u[:, 0] - u[:, 2]), u[:, 1] ** 2
    return np.stack([wave + 0.3 * np.exp(u[:, 4]), *(wave * m for m in more)], axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description="Emulators and history matching, measured.")
    parser.add_argument("part", choices=("runs", "nroy", "twin", "times", "fit", "page"))
    parser.add_argument("--problem", default="twin-two-depths")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--emulated", type=int, default=20)
    parser.add_argument("--audit", type=int, default=1000)
    parser.add_argument("--work", type=Path, default=Path("runs/emulation"))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.part == "fit":
        print(json.dumps(fits()))
        return
    if options.part == "page":
        from emulation_page import page

        text = page(options.work)
        options.out.write_text(text, encoding="utf-8") if options.out else print(text)
        return
    options.work.mkdir(parents=True, exist_ok=True)
    alone = options.part == "times"
    path = options.work / f"{options.part}{'' if alone else '-' + options.problem}.json"

    def keep(found: dict[str, Any]) -> None:
        path.write_text(json.dumps(found, indent=1), encoding="utf-8")

    parts = {
        "runs": lambda: study_runs(options.problem, options.repeats, keep),
        "nroy": lambda: study_nroy(options.problem, options.audit, keep),
        "twin": lambda: study_twin(options.problem, options.seeds, options.emulated, keep),
        "times": study_times,
    }
    keep(parts[options.part]())


if __name__ == "__main__":
    main()

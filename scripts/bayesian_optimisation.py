"""Bayesian optimisation on functions whose minima are known, beside lm, cma and ga, in runs.

Ten seeds each of Branin's function and of Hartmann's in six dimensions, by values and with slopes,
and a twin on which `lm` needs no help. The functions are those of the tests. Writes one page:

    python scripts/bayesian_optimisation.py --work F --out docs/results/bayesian-optimisation.md

What is finished is kept in the folder, and the same command goes on with the rest; with --finished
it writes the page from what is there.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import caliche

caliche.configure()
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import numpy as np  # noqa: E402

from caliche.cards.methods import method_of  # noqa: E402
from caliche.experiments import load_experiment  # noqa: E402
from caliche.optimisation.bayes import Bayes  # noqa: E402
from caliche.problems.inverse import InverseProblem  # noqa: E402
from caliche.wording import number_of  # noqa: E402
from oracle_models import Branin, Hartmann  # noqa: E402

SEEDS = 10


@dataclass(frozen=True)
class Case:
    """A problem, its lowest J, and after which runs regrets are shown, by values and slopes.

    seeds : of each method.
    """

    name: str
    words: str
    problem: Callable[[], InverseProblem]
    lowest: float
    by_values: tuple[int, ...]
    by_slopes: tuple[int, ...]
    seeds: int = SEEDS
    rivals: tuple[str, ...] = ("lm", "cma", "ga")
    given: dict[str, Any] = field(default_factory=dict)


def twin() -> InverseProblem:
    return load_experiment("twin-two-depths").problem()


CASES = (
    Case(
        "Branin",
        "Two parameters, three minima that are equally low.",
        Branin.problem,
        0.0,
        (10, 15, 20, 24, 25),
        (10, 12, 15, 18),
    ),
    Case(
        "Hartmann-6",
        "Six parameters, several minima; the second is 0.119 above the first.",
        Hartmann.problem,
        Hartmann.left,
        (20, 30, 40, 59, 60),
        (10, 15, 20, 30, 40),
    ),
    Case(
        "twin-two-depths",
        "A twin of the soil's temperature: five parameters, 202 observations, one optimum.",
        twin,
        117.454285,
        (),
        (10, 20, 40, 60),
        seeds=1,
        rivals=("lm",),
    ),
)


def run(case: Case, name: str, seed: int) -> dict[str, Any]:
    """One method from one seed: J after each evaluation, and model runs at the end."""
    problem = case.problem()
    start = problem.space.draw_starts(max(case.seeds, 2), 0)[seed : seed + 1]
    method = method_of("bo" if name.startswith("bo") else name, options(case, name))
    found = method.search(problem, start, seed=seed)
    way = found.history.misfit[0].tolist()
    evaluations = int(found.final.model_runs[0])
    if isinstance(method, Bayes):
        # The design is one iteration, of so many runs.
        design = max(4, problem.space.size + 2)
        way = [float("nan")] * (design - 1) + way
        evaluations = len(way)
    elif name == "lm":
        evaluations = found.n_iterations
    else:
        members = evaluations // found.n_iterations
        way = np.repeat(way, members).tolist()
    return {
        "way": way,
        "evaluations": evaluations,
        "runs": int(found.final.model_runs[0]),
        "misfit": float(found.final.cost[0]),
        "reason": found.reasons[0],
    }


def options(case: Case, name: str) -> dict[str, Any]:
    if name == "bo by values":
        # To its budget, and without lm, to see what the search itself does.
        return {
            "gradients": "never",
            "budget": case.by_values[-1],
            "finish": False,
            "tolerance": 1e-12,
        }
    return {}


def methods(case: Case) -> list[str]:
    return ["bo with slopes", *case.rivals, *(["bo by values"] if case.by_values else [])]


def kept(case: Case, name: str, seed: int, work: Path, finished: bool) -> dict[str, Any] | None:
    """The run, made unless it is there or only `finished` ones are asked for."""
    file = work / f"{case.name}-{name.replace(' ', '-')}-{seed}.json"
    if not file.is_file():
        if finished:
            return None
        found = run(case, name, seed)
        work.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(found))
        regret = found["misfit"] - case.lowest
        print(f"{case.name}, {name}, seed {seed}: {regret:.3g} {found['runs']} runs", flush=True)
    return json.loads(file.read_text())


# -- the page ----------------------------------------------------------------------------------


def regrets(found: Sequence[dict[str, Any]], after: int, lowest: float) -> np.ndarray:
    """How far above the lowest J each seed is after so many evaluations, or at its end."""
    return np.array([np.nanmin([*one["way"][:after], np.inf]) - lowest for one in found])


def small(value: float) -> str:
    return "0" if abs(value) < 1e-15 else f"{value:.2g}"


def section(case: Case, work: Path, finished: bool) -> list[str]:
    """One problem as Markdown."""
    made = {
        name: [kept(case, name, seed, work, finished) for seed in range(case.seeds)]
        for name in methods(case)
    }
    found = {name: [one for one in own if one is not None] for name, own in made.items()}
    found = {name: own for name, own in found.items() if own}
    lines = [f"## {case.name}", "", case.words, ""]
    for name, checks in (("bo by values", case.by_values), ("bo with slopes", case.by_slopes)):
        if not checks or name not in found:
            continue
        way = {n: np.maximum(regrets(found[name], n, case.lowest), 0.0) for n in checks}
        lines += [
            f"Above the lowest J, `{name}`, {number_of(len(found[name]), 'seed')}:",
            "",
            "| after evaluations | " + " | ".join(map(str, checks)) + " |",
            "|---|" + "---|" * len(checks),
            "| median | " + " | ".join(small(float(np.median(r))) for r in way.values()) + " |",
            "| worst | " + " | ".join(small(float(r.max())) for r in way.values()) + " |",
            "",
        ]
    lines += [
        "| method | at the lowest minimum | evaluations | model runs, a tangent counted as one |",
        "|---|---|---|---|",
    ]
    for name, own in found.items():
        end = np.array([one["misfit"] for one in own]) - case.lowest
        within = int(np.sum(end < 0.05))
        lines.append(
            f"| `{name}` | {within} of {len(own)} | "
            f"{np.median([one['evaluations'] for one in own]):.0f} | "
            f"{np.median([one['runs'] for one in own]):,.0f} |"
        )
    return [*lines, ""]


def page(work: Path, words: str, finished: bool) -> str:
    """The whole page."""
    head = [
        "# Bayesian optimisation on functions whose minima are known",
        "",
        "Written by `python scripts/bayesian_optimisation.py --work F --out "
        "docs/results/bayesian-optimisation.md` with "
        + ", ".join(f"{name} {version(name)}" for name in ("caliche", "jax", "numpy"))
        + ". `bo by values` runs to its budget, without `lm` at its end; `bo with slopes` is the "
        "method as it is, with `lm` from the basin that it found. Each is a sum of squares, as "
        "every misfit is. A seed draws the design and the first guess. At the lowest minimum: J "
        "within 0.05 of it. Evaluations and runs are medians over the seeds.",
        "",
    ]
    return "\n".join(
        [*head, *(line for case in CASES for line in section(case, work, finished)), words]
    )


WORDS = """## What it says

Numbers are those of the tables above; the text is written by hand.

- **Branin, by values**: below 0.05 in ten of ten seeds after 25 runs, the worst at 0.041. Much of
  it comes with the last run, which is made where the emulator's mean is lowest.
- **Branin, with slopes**: below 1e-10 in ten of ten seeds after 18 evaluations. The search ends
  after 12 to 16; the rest are steps of `lm` from the basin that it found.
- **`lm` needs 5 to 7 evaluations** on Branin's function, from every seed: its three minima are
  equally low, so that any basin will do. There `bo` is a waste of runs. `cma` makes 400 to 1,170
  runs, `ga` about 2,000.
- **Hartmann-6**: five of ten seeds end in the lowest minimum, with slopes and without, in 34 and 46
  evaluations; the other five in the second, and stop there. `cma` finds the lowest in 8 of 10 with
  27 times the runs, `ga` in 7. Two or three seeds of `bo` are the check. The function has one
  residual that is not zero at the minimum, so that the steps of `lm` are of little use.
- **twin-two-depths**: 450 runs, where `lm` makes 36. After 60 evaluations the best run is still
  7,400 above the lowest J; `lm` does the rest in the last few.
- Seconds are not shown: a run of these functions takes none, a proposal a good part of a second.
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--finished", action="store_true")
    given = parser.parse_args()
    given.out.write_text(page(given.work, WORDS, given.finished), encoding="utf-8")


if __name__ == "__main__":
    main()

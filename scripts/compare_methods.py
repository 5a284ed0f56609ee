"""Every method on real problems: what it reaches, how far from the optimum, and what it costs.

Three seeds of each method on two towers and a twin, by `caliche compare`. Writes one page:

    CALICHE_DATA=... python scripts/compare_methods.py --work FOLDER --out docs/results/methods.md

What is finished is kept in the folder, and the same command goes on with the rest.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import caliche
from caliche.commands.compare.cli import held_words
from caliche.commands.compare.run import Row, compare_methods, read_methods
from caliche.experiments import load_experiment
from caliche.runtime import usable_cores

GIVEN_FLAGS = os.environ.get("XLA_FLAGS", "")
caliche.configure(cache=False)  # so that compile times are those of a first run

EXPERIMENTS = ("twin-two-depths", "west-phoenix-best", "metolius-lad")
METHODS = (
    "lm",
    "lbfgs",
    "4denvar",
    "4denvar:iterated=true",
    "eki",
    "eki:steps=20",
    "etki",
    "etki:steps=20",
    "etki:members=400",
    "uki",
    "ga",
    "cma",
)
# A run of the year of LaD takes 25 times as long as one of the weeks of the others.
CHEAPER = {"metolius-lad": {"ga": "ga:max_iterations=100"}}
SEEDS = 3

WORDS = """## What it says

Numbers are those of the tables above; the text is written by hand.

- **`lm`** ends at one optimum on all three, from every seed, with the fewest runs of those that get
  there, and so does `lbfgs`.
- **`cma`** finds the same optima, at 40, 18 and 9 times the runs of `lm`. It learns the
  correlations of the parameters from its steps. Without derivatives it is the one to trust.
- **`4denvar`** in one go fails everywhere, and says so: over such priors no model is straight.
  **Iterated** it reaches every optimum: to 0.01 sd, to 0.12 to 0.31 sd, and to 0.03 to 0.06 in J on
  LaD. On the towers it does not count as converged, as its members do not stand for the posterior
  beside bounds.
- **`eki` and `etki`** come within 0.2 sd with 5 parameters and 50 members. With 15 they end 2.6 to
  24 above in J, 3 to 6.4 sd away, and 400 members do not help: it is the curvature of the model,
  not the error of sampling. Some of these count as converged. Nor are equal steps safe: on the twin
  one seed of three ends 81 (`eki`) or 6.5 (`etki`) above, as the first step from so wide a prior is
  too long; both are told.
- **On `metolius-lad`** T = 1 is reached in one step. The members are run once more there, and by
  their own slopes the optimum is 6 to 10 sd away, so that none of these counts as converged; more
  members do not help. Twenty equal steps end 0.8 to 2.5 above, and say that their members do not
  stand for the posterior, as parameters are near bounds. Hold J against that of `lm`, or of a
  search, before the spread of such an ensemble is called an error bar.
- **`uki`** has no chance in it: all seeds are one. One sd off with 5 parameters, 11 with 15, and 12
  above in J on LaD; the last two are told.
- **`ga`** does well with 5 parameters, for hundreds of times the runs of `lm`. With 15 it is 990 to
  1,000 above after 30,000 runs, 66 to 68 sd off, and with LaD's 8 it is 0.4 to 0.8 above after
  10,000: its crossover knows nothing of narrow, oblique valleys. It says that it has not converged.
- Seconds were taken on a machine that others used too; the same work varies by a factor of two or
  more.
"""


def tell(row: Row, there: bool) -> None:
    reached = row.error or f"J {row.misfit:.6g}, {row.model_runs} runs, {row.run_seconds:.1f} s"
    print(f"{row.method}, seed {row.seed}: {reached}{' (done before)' * there}", flush=True)


# -- the page ----------------------------------------------------------------------------------


def section(summary: Mapping[str, Any]) -> list[str]:
    """One experiment as Markdown."""
    rows = summary["rows"]
    methods = dict.fromkeys(row["method"] for row in rows)
    lowest = min(row["misfit"] for row in rows if row["misfit"] is not None)
    size, n = len(summary["parameters"]), summary["n_observations"]
    lines = [
        f"## {summary['experiment']}",
        "",
        f"{size} parameters, {n:,} observations; lowest J {lowest:.6g}. "
        f"{held_words(summary['hyperparameters'])}",
        "",
    ]
    twin = any(row["from_truth"] is not None for row in rows)
    header = ["method", "J above the lowest", "farthest parameter, sd"]
    header += ["from the truth, sd"] if twin else []
    header += ["model runs", "run, s", "compile, s", "converged"]
    lines += [f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    for method in methods:
        own = [row for row in rows if row["method"] == method]
        if all(row["error"] for row in own):
            lines.append(f"| `{method}` | {own[0]['error']} |" + " |" * (len(header) - 2))
            continue
        cells = [
            f"`{method}`",
            _each([_small(row["misfit"] - lowest) for row in own]),
            _each([_small(row["farthest"]) for row in own]),
        ]
        if twin:
            cells.append(_each([f"{row['from_truth']:.2f}" for row in own]))
        cells += [
            _each([f"{row['model_runs']:,}" for row in own]),
            _each([f"{row['run_seconds']:.2g}" for row in own]),
            f"{max(row['compile_seconds'] for row in own):.0f}",
            f"{sum(row['converged'] for row in own)} of {len(own)}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def _each(values: Sequence[str]) -> str:
    """The seeds' values; once if they are all the same."""
    return values[0] if len(set(values)) == 1 else "; ".join(values)


def _small(value: float) -> str:
    if abs(value) < 5e-4:
        return "0"
    return f"{value:.2g}" if abs(value) < 100.0 else f"{value:,.0f}"


def page(summaries: Sequence[Mapping[str, Any]], command: str) -> str:
    """The whole page."""
    head = [
        "# Methods side by side",
        "",
        f"Written by `{command}` on {usable_cores()} shared cores with "
        + ", ".join(f"{name} {version(name)}" for name in ("caliche", "jax", "numpy"))
        + (f", compiled with XLA_FLAGS={GIVEN_FLAGS}" if GIVEN_FLAGS else "")
        + f". {SEEDS} seeds of every method; where they differ, all values are shown. Seed 0 of a "
        "search or of a method with gradients begins at the first guess, the others where "
        "multi-start would; seeds of an ensemble draw other members from the prior. All minimise "
        "the same J: sizes of errors and smoothness that the experiment leaves open are found by "
        "`lm` first, and held. Farthest parameter: largest distance of a parameter from the best "
        "fit, in its posterior standard deviations. Model runs: a tangent counts as one. "
        "Run: seconds without compiling; the first seed compiles, for so long as the column says.",
        "",
    ]
    body = [line for summary in summaries for line in section(summary)]
    return "\n".join([*head, *body, WORDS]).rstrip() + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Every method on real problems.")
    parser.add_argument("--work", type=Path, required=True, help="folder that keeps what is done")
    parser.add_argument("--experiments", default=",".join(EXPERIMENTS))
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--out", type=Path, help="a Markdown file; default: the terminal")
    options = parser.parse_args()
    summaries = []
    for name in options.experiments.split(","):
        print(name, flush=True)
        folder, cheaper = options.work / name, CHEAPER.get(name, {})
        methods = [str(cheaper.get(method, method)) for method in options.methods.split(",")]
        asked = read_methods(",".join(methods))
        compare_methods(load_experiment(name), asked, SEEDS, folder, tell)
        summaries.append(json.loads((folder / "compare.json").read_text("utf-8")))
    command = "python scripts/compare_methods.py --work FOLDER --out docs/results/methods.md"
    text = page(summaries, command)
    if options.out is None:
        print(text)
    else:
        options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

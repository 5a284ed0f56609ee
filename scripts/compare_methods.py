"""Every method on real problems: what it reaches, how far from the optimum, and what it costs.

Three seeds of each method on two towers and a twin, by `caliche compare`. Writes one page:

    CALICHE_DATA=... python scripts/compare_methods.py --work FOLDER --out docs/results/methods.md

What is finished is kept in the folder, and the same command goes on with the rest.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import caliche
from caliche.cli_compare import held_words
from caliche.experiments import load_experiment
from caliche.experiments.compare import Row, compare_methods, read_methods
from caliche.runtime import usable_cores

caliche.configure(cache=False)  # so that compile times are those of a first run

EXPERIMENTS = ("twin-two-depths", "west-phoenix-best", "metolius-lad")
METHODS = (
    "lm", "lbfgs", "4denvar", "4denvar:iterated=true", "eki", "eki:steps=20", "etki",
    "etki:steps=20", "etki:members=400", "uki", "ga", "cma",
)  # fmt: skip
# A run of the year of LaD takes 25 times as long as one of the weeks of the others.
CHEAPER = {"metolius-lad": {"ga": "ga:max_iterations=100"}}
SEEDS = 3

WORDS = """"""


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
        f"## {summary['experiment']}", "",
        f"{size} parameters, {n:,} observations; lowest J {lowest:.6g}. "
        f"{held_words(summary['hyperparameters'])}", "",
    ]  # fmt: skip
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
        "# Methods side by side", "",
        f"Written by `{command}` on {usable_cores()} shared cores with "
        + ", ".join(f"{name} {version(name)}" for name in ("caliche", "jax", "numpy"))
        + f". {SEEDS} seeds of every method; where they differ, all values are shown. Seed 0 of a "
        "search or of a method with gradients begins at the first guess, the others where "
        "multi-start would; seeds of an ensemble draw other members from the prior. All minimise "
        "the same J: sizes of errors and smoothness that the experiment leaves open are found by "
        "`lm` first, and held. Farthest parameter: largest distance of a parameter from the best "
        "fit, in its (naive) posterior standard deviations. Model runs: a tangent counts as one. "
        "Run: seconds without compiling; the first seed compiles, for so long as the column says.",
        "",
    ]  # fmt: skip
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
        methods = [cheaper.get(method, method) for method in options.methods.split(",")]
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

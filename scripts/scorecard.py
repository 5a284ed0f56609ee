"""Four towers calibrated together by a scorecard, against the sum of squares.

The control run is the joint calibration of the bundled four towers by `lm`. From there Bayesian
optimisation lowers a scorecard: every stream under every condition at every tower. Writes one page:

    CALICHE_DATA=... python scripts/scorecard.py --work FOLDER --out docs/results/scorecard.md

What is finished is kept in the folder, and the same command goes on with the rest.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

import caliche

caliche.configure()

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
from jaxtyping import Array  # noqa: E402

from caliche.commands.joint.config import read_joint  # noqa: E402
from caliche.commands.joint.run import calibrate_jointly  # noqa: E402
from caliche.estimation.density import physical  # noqa: E402
from caliche.evaluation.scorecard.card import SAME, Scorecard  # noqa: E402
from caliche.evaluation.scorecard.objective import scorecard_objective  # noqa: E402
from caliche.files.checkpoint import Checkpoint  # noqa: E402
from caliche.optimisation.bayes import Bayes  # noqa: E402
from caliche.problems.base import Problem  # noqa: E402
from caliche.report.scorecard import percent, row_label, sentences  # noqa: E402

CONTROL = "the sum of squares"


@jax.jit
def forward(problem: Problem, u: Array) -> Array:
    return problem.forward(u)


def table(card: Scorecard) -> list[str]:
    """The matrix as Markdown; changes that are significant in bold."""
    lines = ["| | " + " | ".join(card.columns) + " |", "|---|" + "---|" * len(card.columns)]
    for row in card.rows:
        cells = []
        for column in card.columns:
            cell = card.cell(row, column)
            if cell is None:
                cells.append("")
                continue
            text = percent(cell.change)
            ratio = f"{cell.sd_ratio_control:.2f} → {cell.sd_ratio:.2f}"
            cells.append(f"{text if cell.verdict == SAME else f'**{text}**'} ({ratio})")
        lines.append(f"| {row_label(row)} | " + " | ".join(cells) + " |")
    return lines


def parameters(
    names: Sequence[str], before: np.ndarray, after: np.ndarray, sd: np.ndarray
) -> list[str]:
    """What moved, in naive standard deviations of the control."""
    lines = ["| parameter | " + CONTROL + " | scorecard | moved by, sd |", "|---|---|---|---|"]
    for name, one, other, own in zip(names, before, after, sd, strict=True):
        lines.append(f"| `{name}` | {one:.4g} | {other:.4g} | {(other - one) / own:+.1f} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--budget", type=int, default=80)
    given = parser.parse_args()
    fit, _ = calibrate_jointly(
        read_joint("four-towers"), given.work / "joint", False, lambda line: print(line, flush=True)
    )
    problem, u = fit.problem, np.asarray(fit.result.u)
    control = np.asarray(forward(problem, jnp.asarray(u)))
    objective = scorecard_objective(
        problem, {site.name: site.experiment for site in fit.sites}, control
    )
    print(f"{len(objective.places)} cells, {problem.space.size} parameters", flush=True)
    method = Bayes(budget=given.budget, side=0.1, trust_region="always").minimising(objective)
    state = given.work / "bo.npz"
    found = method.search(
        problem,
        jnp.asarray(u)[None],
        lambda k, value, _: print(f"{k}: {value:.5f}", flush=True),
        Checkpoint(state, state.is_file()),
    )
    best = np.asarray(found.final.u[0])
    card = objective.card(np.asarray(forward(problem, jnp.asarray(best))))
    names = problem.space.names
    values = [physical(problem.space, row) for row in (u, best)]
    sd = np.array([fit.result.parameters[name].sd_naive or np.nan for name in names], float)
    misfit = [float(fit.result.starts[0].misfit), float(found.final.cost[0])]
    lines = [
        "# Four towers by a scorecard, against the sum of squares",
        "",
        "Written by `CALICHE_DATA=... python scripts/scorecard.py --work FOLDER --out "
        "docs/results/scorecard.md` with "
        + ", ".join(f"{name} {version(name)}" for name in ("caliche", "jax", "numpy"))
        + ". The control run is the joint calibration `four-towers` by `lm`; from there "
        f"{len(names)} parameters by `bo`, {int(found.final.model_runs[0])} runs of all four "
        "towers. Fitted window; what a validation period would say is another question.",
        "",
        *sentences(card, CONTROL),
        "",
        f"Objective: {found.reasons[0]}. J rose from {misfit[0]:.6g} to {misfit[1]:.6g}.",
        "",
        "## Cells",
        "",
        "Change of the RMSE in per cent (negative is better; bold is significant), and the ratio "
        "of standard deviations, modelled over observed, before and after.",
        "",
        *table(card),
        "",
        "## Parameters",
        "",
        *parameters(names, *values, sd),
        "",
        WORDS,
    ]
    given.out.write_text("\n".join(lines), encoding="utf-8")


WORDS = """## What it says

"""


if __name__ == "__main__":
    main()

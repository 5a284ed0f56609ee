"""The page of `scripts/emulation.py`: docs/results/emulation.md from the files of its parts."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

PROBLEMS = ("twin-two-depths", "twin-lad", "west-phoenix-best", "metolius-lad")
TWINS = {
    "puechabon-lad": "LaD under twenty days of June at Puechabon",
    "twin-two-depths": "A column of soil under made-up weather, 100 hours",
}


def page(work: Path) -> str:
    """The whole page, with what was not measured named at its end."""
    lines = [
        "# Emulators and history matching, measured",
        "",
        "Each part is made by `python scripts/emulation.py PART --problem NAME`, this page by "
        "`python scripts/emulation.py page --out docs/results/emulation.md`, with "
        + ", ".join(f"{name} {version(name)}" for name in ("caliche", "jax", "numpy"))
        + ". Seconds are of processor time on two cores that others used at the same time; the "
        "load beside them is how many processes wanted a core. Errors and counts do not depend on "
        "it.",
        "",
    ]
    missing: list[str] = []
    for name in TWINS:
        lines += _part(work, f"twin-{name}", missing, lambda d, name=name: twin(name, d))
    for name in ("twin-two-depths", "west-phoenix-best", "metolius-lad"):
        lines += _part(work, f"nroy-{name}", missing, lambda d, name=name: nroy(name, d))
    for name in ("twin-two-depths", "twin-lad", "west-phoenix-best"):
        lines += _part(work, f"runs-{name}", missing, lambda d, name=name: runs(name, d))
    lines += _part(work, "times", missing, times)
    if missing:
        lines += [
            "## Not measured",
            "",
            f"The parts {', '.join(f'`{name}`' for name in missing)} are in the script and were "
            "not run for this page.",
            "",
        ]
    return "\n".join(lines)


def _part(work: Path, name: str, missing: list[str], write: Any) -> list[str]:
    path = work / f"{name}.json"
    if not path.is_file():
        missing.append(name.replace("-", " ", 1))
        return []
    return write(json.loads(path.read_text("utf-8")))


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table, numbers to the right."""
    line = "|---|" + "---:|" * (len(header) - 1)
    return [f"| {' | '.join(header)} |", line, *(f"| {' | '.join(row)} |" for row in rows), ""]


def _percent(share: float, digits: int = 3) -> str:
    return f"{100.0 * share:.{digits}g} %"


def twin(name: str, found: Mapping[str, Any]) -> list[str]:
    """Truth kept, with one metric and with several, and a posterior beside it."""
    seeds = found["seeds"]
    rows = []
    for word, title in (("one", found["single"]), ("several", "all metrics")):
        fractions = sorted(row[word]["fraction"] for row in seeds)
        kept = sum(row[word]["truth"] <= 1.0 for row in seeds)
        worst = max(row[word]["truth"] for row in seeds)
        rows.append(
            [
                f"{title}, the model itself",
                f"{kept} of {len(seeds)}",
                f"{worst:.2f}",
                _percent(fractions[len(fractions) // 2]),
                f"{_percent(fractions[0])} to {_percent(fractions[-1])}",
            ]
        )
        made = [row[word] for row in seeds if "emulated_truth" in row[word]]
        if made:
            fractions = sorted(row["emulated_fraction"] for row in made)
            kept = sum(row["emulated_truth"] <= 1.0 for row in made)
            rows.append(
                [
                    f"{title}, waves of emulators",
                    f"{kept} of {len(made)}",
                    f"{max(row['emulated_truth'] for row in made):.2f}",
                    _percent(fractions[len(fractions) // 2]),
                    f"{_percent(fractions[0])} to {_percent(fractions[-1])}",
                ]
            )
    smaller = sum(row["several"]["fraction"] < row["one"]["fraction"] for row in seeds)
    posteriors = [row["posterior"] for row in seeds if "posterior" in row]
    number = found["parameters"]
    text = [
        f"## A twin of Raoult et al.: {TWINS[name]}",
        "",
        f"{len(seeds)} seeds, each with a truth of its own in the inner 80 % of every range of "
        f"{number} parameters, and errors of a tenth of each series' standard deviation. The model "
        f"was run at {found['points']} points, which serve all seeds. Metrics: "
        f"{', '.join(found['metrics'])}. Truth: its implausibility over the cut-off, the largest "
        "of all seeds.",
        "",
        *table(["matched", "truth kept", "truth at most", "left, median", "least to most"], rows),
        f"Several metrics leave less than one in {smaller} of {len(seeds)} seeds.",
        "",
    ]
    if posteriors:
        outside = sum(p["outside"] for p in posteriors)
        some = sum(p["outside"] > 0 for p in posteriors)
        jointly = sum(p["jointly_outside"] for p in posteriors)
        converged = sum(p["converged"] for p in posteriors)
        text += [
            f"Beside it the variational posterior (`lm`, Laplace, errors as declared, which here "
            f"they are; {converged} of {len(posteriors)} converged): {outside} of "
            f"{len(posteriors) * number} intervals of 95 % miss the truth "
            f"({_percent(outside / (len(posteriors) * number), 2)}), in {some} seeds at least one "
            f"does, and in {jointly} the joint ellipsoid of 95 % misses it (one in twenty is what "
            "it promises). A posterior with the right errors should miss as often as it says. "
            "History matching allows for a discrepancy that the twin does not have, so that it "
            "keeps the truth more often than asked. Posteriors that miss the truth for other "
            "reasons, as those of Raoult et al. did, need local minima or errors that are not as "
            "declared; this twin has neither.",
            "",
        ]
    return text


def nroy(name: str, found: Mapping[str, Any]) -> list[str]:
    """What emulators leave against the model itself."""
    rows = []
    for row in found["rows"]:
        lost, audit = row["lowest_lost"], row["audit"]
        rows.append(
            [
                "with slopes" if row["gradients"] == "always" else "values",
                " + ".join(map(str, row["runs"])),
                _percent(row["fraction"]),
                _percent(row["kept"], 4),
                "none lost" if lost is None else f"{lost:.2f}",
                _percent(audit["wrongly_excluded"], 2),
                f"{row['share']:.2f}",
                "" if row["seconds"] is None else f"{row['seconds']:.0f} ({row['load']:.0f})",
            ]
        )
    cutoff = found["rows"][0]["cutoff"]
    costs = found["costs"]
    told = f"{found['parameters']} parameters, {found['metrics']} metrics, cut-off {cutoff:.2f}. "
    told += f"The model itself leaves {_percent(found['exact'])} "
    told += f"(± {_percent(found['exact_error'], 1)}) of the ranges"
    if found["exact_runs"] is not None:
        told += f" ({found['exact_runs']} runs, {found['exact_seconds']:.0f} s, "
        told += f"load {found['load']:.0f})"
    told += ". "
    if costs is not None:
        told += f"A run takes {1e3 * costs[0]:.2g} ms, with slopes {1e3 * costs[1]:.2g} ms forward "
        told += f"and {1e3 * costs[2]:.2g} ms in reverse. "
    told += (
        f"Kept: of {found['rows'][0]['tested']} points that the model keeps. Lost: the lowest "
        "exact implausibility of those that are not. Audit: share of the model's own that was "
        "ruled out, by direct runs."
    )
    if len(found["rows"]) == 1:
        told += " Runs with slopes were not measured: this part was stopped after its first half, "
        told += "and the numbers are those that it had told by then."
    return [
        f"## {name}: emulators against the model itself",
        "",
        told,
        "",
        *table(
            [
                "emulators of",
                "runs by wave",
                "left",
                "kept",
                "lowest lost",
                "audit",
                "emulator sd / other",
                "s (load)",
            ],
            rows,
        ),
    ]


def runs(name: str, found: Mapping[str, Any]) -> list[str]:
    """Runs for equal error with slopes and without, and coverage."""
    rows = found["rows"]
    values = [row for row in rows if row["kind"] == "values"]
    lines = []
    for row in rows:
        worth = ""
        if row["kind"] == "slopes":
            equal = _equal(values, row["error"])
            worth = "" if equal is None else f"{equal / row['runs']:.1f}"
        lines.append(
            [
                "with slopes" if row["kind"] == "slopes" else "values",
                str(row["runs"]),
                f"{row['error']:.2g} ({row['least']:.2g} to {row['largest']:.2g})",
                _percent(row["covered"]),
                worth,
                f"{row['seconds']:.2g} ({row['load']:.0f})",
            ]
        )
    costs = found["costs"]
    return [
        f"## {name}: runs for equal error",
        "",
        f"Four principal components of the predictions, {found['parameters']} parameters, Matérn "
        f"5/2, {rows[0]['repeats']} designs, 256 points that were not run. Error: root mean square "
        "over the spread, median of outputs and designs (least to largest of designs). Covered: by "
        "the 95 % bands. Worth: plain runs that one with slopes replaces at equal error. Slopes "
        f"cost {costs['forward'] / costs['value']:.1f} runs by forward tangents"
        + (
            f" and {costs['reverse'] / costs['value']:.1f} in reverse"
            if math.isfinite(costs["reverse"])
            else ""
        )
        + ", the run itself beside them.",
        "",
        *table(["runs", "number", "error", "covered", "worth", "s of a fit (load)"], lines),
    ]


def _equal(values: Sequence[Mapping[str, Any]], error: float) -> float | None:
    """How many plain runs have this error, between those that were measured."""
    for one, other in pairwise(values):
        if one["error"] >= error >= other["error"]:
            span = math.log(one["error"] / other["error"])
            share = math.log(one["error"] / error) / span if span else 0.0
            return one["runs"] * (other["runs"] / one["runs"]) ** share
    return None


def times(found: Mapping[str, Any]) -> list[str]:
    """Seconds of fits with threads and without."""
    rows = [
        [
            f"OpenBLAS {row['blas']}, XLA {'several' if row['eigen'] else 'one'}",
            *(f"{row[key]:.2g}" for key in ("160", "500", "implausibilities")),
            f"{row['load']:.0f}",
        ]
        for row in found["rows"]
    ]
    return [
        "## Seconds of fits",
        "",
        "One output of five parameters, fitted to values alone, after compilation; and 10⁵ "
        "predictions with variances of four outputs from 50 runs. Wall clock.",
        "",
        *table(["threads", "160 rows", "500 rows", "10⁵ predictions", "load"], rows),
    ]

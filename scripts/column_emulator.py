"""docs/results/column-emulator.md: networks that take the steps of SoilHeat and of Land Dynamics.

    python scripts/column_emulator.py --work FOLDER --out docs/results/column-emulator.md

Trains each network of `CASES` in the folder, unless it is there already (minutes each), holds it
against its model on weather and parameters that it never saw, and estimates the parameters of twins
through it. Times are of a processor.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import caliche

caliche.configure()

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

from caliche.column_networks import weather  # noqa: E402
from caliche.column_networks.checks import measure_costs  # noqa: E402
from caliche.column_networks.data import DataSettings  # noqa: E402
from caliche.column_networks.training import TrainingSettings  # noqa: E402
from caliche.commands.emulate_column.page import write_column_page  # noqa: E402
from caliche.commands.emulate_column.run import ColumnSettings, emulate_column  # noqa: E402
from caliche.commands.emulate_column.summary import ColumnSummary  # noqa: E402
from caliche.estimation import estimate  # noqa: E402
from caliche.evaluation.exact_model import HeldAgainst, hold_against  # noqa: E402
from caliche.experiments import load_experiment  # noqa: E402
from caliche.keys.records import read_record  # noqa: E402

NODES = "[0.0,0.01,0.025,0.05,0.08,0.12,0.18,0.26,0.36,0.5,0.7,1.0]"
SOIL = (f"model.node_depths={NODES}", "window.time_step=1800")
LAND = (
    "parameters.albedo.start=[0.12,0.3]",
    "parameters.stomatal_resistance.start=[40.0,160.0]",
    "parameters.log_roughness_ratio.start=[1.5,5.0]",
    "parameters.thermal_conductivity.start=[0.7,1.6]",
    "parameters.volumetric_heat_capacity.start=[1.7e6,3.0e6]",
    "parameters.available_water_capacity.sd=25.0",
    "parameters.initial_root_zone_saturation.sd=0.1",
)
TWINS = 3  # seeds of the noise of the twins that are estimated


READING = """
What they say:

- Values along trajectories alone teach nothing of the Jacobian, although single steps are near:
  profiles are smooth, and what a change at one node does is never seen. Estimates through such a
  network miss the exact optimum by many standard deviations. One exact derivative for each step
  mends that, and so do, in part, states beside the trajectories.
- Derivatives through a network can be right to 1 %, and its optimum is still more than a standard
  deviation from the model's: observations with errors of 0.1 K ask for more than it knows. The
  exact finish (Gauss-Newton steps of the exact problem) takes all of that away in a few steps.
- Land Dynamics is refused: its root zone and groundwater drift, and its column, closed below,
  gathers what energy the network makes up.
- The exact columns are as fast or faster, in a batch by far: no network is of use in their place.
""".splitlines()


@dataclass(frozen=True)
class Case:
    """A network to train."""

    what: str
    experiment: str
    changes: tuple[str, ...]
    derivatives: float
    beside: float = 0.5
    epochs: int = 60

    @property
    def settings(self) -> ColumnSettings:
        data = DataSettings(days=10.0, samples=40_000, beside=self.beside)
        return ColumnSettings(
            data, TrainingSettings(epochs=self.epochs, derivatives=self.derivatives)
        )

    @property
    def command(self) -> str:
        """How to train it on the command line."""
        parts = [f"caliche emulate-column {self.experiment}"]
        parts += [f"--set '{change}'" for change in self.changes]
        parts += ["--samples 40000 --days 10", f"--derivatives {self.derivatives:g}"]
        parts += [f"--beside {self.beside:g}"] * (self.beside != 0.5)
        parts += [f"--epochs {self.epochs}"] * (self.epochs != 60)
        return " ".join(parts)


CASES = {
    "soil-heat-line-0.0": Case(
        "values, states on trajectories", "twin-two-depths", SOIL, 0.0, beside=0.0
    ),
    "soil-heat-line-1.0": Case(
        "values and derivatives, states on trajectories", "twin-two-depths", SOIL, 1.0, beside=0.0
    ),
    "soil-heat-0.0": Case("values, half of the states beside", "twin-two-depths", SOIL, 0.0),
    "soil-heat-1.0": Case(
        "values and derivatives, half of the states beside", "twin-two-depths", SOIL, 1.0
    ),
    "soil-heat-3.0": Case(
        "the same, derivatives of three times the weight, 100 epochs",
        "twin-two-depths",
        SOIL,
        3.0,
        epochs=100,
    ),
    "lad-0.0": Case("values, half of the states beside", "twin-lad", LAND, 0.0),
    "lad-1.0": Case("values and derivatives, half of the states beside", "twin-lad", LAND, 1.0),
}


def train(work: Path, name: str, case: Case) -> ColumnSummary:
    """The summary of a network, trained unless it is there."""
    folder = work / name
    if not (folder / "summary.json").is_file():
        experiment = load_experiment(case.experiment, case.changes)
        emulate_column(experiment, case.settings, (), folder, print, command=case.command)
        write_column_page(folder)
    return read_record(ColumnSummary, folder / "summary.json", "train it again")


def reestimate(folder: Path) -> list[HeldAgainst]:
    """Twins estimated through a network, and held against the exact model."""
    found, kept = [], folder / "twins.json"
    if kept.is_file():
        return [HeldAgainst(**one) for one in json.loads(kept.read_text())]
    for seed in range(TWINS):
        experiment = load_experiment(folder / "emulated.toml", [f"synthetic.seed={seed}"])
        problem = experiment.problem()
        result = estimate(problem, "lm", starts=3)
        assert experiment.exact is not None
        values = {n: float(result.parameters[n].estimate) for n in problem.space.names}
        found.append(hold_against(experiment.exact.problem(), values))
        print(folder.name, seed, f"{found[-1].distance:.3g} sd", flush=True)
    kept.write_text(json.dumps([vars(one) for one in found]))
    return found


def costs(folder: Path) -> Any:
    """Processor time of steps of the network and of its exact column."""
    experiment = load_experiment(folder / "emulated.toml")
    model: Any = experiment.model
    forcing = {n: np.asarray(v) for n, v in experiment.problem().forcing.items()}
    stretches = weather.cut([forcing], model.exact.time_step)
    made = weather.weather(stretches, True, 1, 2000, np.random.default_rng(0))
    space = experiment.space
    params = space.to_physical(space.initial())
    params = {d.name: jnp.asarray(params[d.name]) for d in model.declarations}
    return measure_costs(model, params, {n: v[0] for n, v in made.items()})


def two(value: float) -> str:
    """A number with two digits, without a power of ten."""
    return f"{float(f'{value:.2g}'):g}"


def page(
    work: Path, summaries: Mapping[str, ColumnSummary], twins: Mapping[str, list[HeldAgainst]]
) -> Iterator[str]:
    """The lines of the page."""
    yield "# Networks that take the steps of a column"
    yield ""
    yield "Made by `python scripts/column_emulator.py --work FOLDER`; see"
    yield "[the guide](../column-emulator.md) for what the numbers mean. All errors are on weather"
    yield "and parameters that were held out. Networks have two hidden layers of 64 and learn from"
    yield "40 000 single steps."
    yield from READING
    for title, key in (("SoilHeat, 12 nodes, 30 minutes", "soil"), ("Land Dynamics", "lad")):
        names = [n for n in summaries if n.startswith(key)]
        if not names:
            continue
        yield from ["", f"## {title}", ""]
        yield (
            "| trained on | single step, % of sd | Jacobian, % wrong | after 1, 10, 30, 365 days: "
            "worst state, % of its spread | mean imbalance of a run, W m-2 | twins, sd from the "
            "exact optimum: through the network, after the exact finish |"
        )
        yield "|---|---|---|---|---|---|"
        for name in names:
            s = summaries[name]
            step = np.sqrt(np.mean(np.square(list(s.one_step.values()))))
            shares = np.array(s.drift.errors) / np.where(
                np.array(s.drift.spread) > 0.0, s.drift.spread, np.inf
            )
            drift = ", ".join(two(100 * v) for v in shares.max(1))
            apart = ", ".join(two(h.distance) for h in twins.get(name, [])) or "–"
            done = "0" if twins.get(name) else "–"
            if any(not h.converged for h in twins.get(name, [])):
                done = "not converged"
            yield (
                f"| {CASES[name].what} | {two(100 * step)} | {two(100 * s.jacobian.error)} "
                f"| {drift} | {two(s.drift.mean_imbalance)} | {apart}; {done} |"
            )
        yield from ["", "Commands:", "", "```sh", *(CASES[n].command for n in names), "```"]
    yield from ["", "## Cost of a step", ""]
    yield "Processor time of a step and column, µs."
    yield ""
    yield "| column | network, alone | in a batch of 64 | exact, alone | in a batch of 64 |"
    yield "|---|---|---|---|---|"
    for title, name in (("SoilHeat", "soil-heat-1.0"), ("Land Dynamics", "lad-1.0")):
        if name in summaries:
            c = costs(work / name)
            yield (
                f"| {title} | {c.single:.2g} | {c.batch:.2g} | {c.exact_single:.2g} | "
                f"{c.exact_batch:.2g} |"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=list(CASES))
    given = parser.parse_args()
    summaries = {name: train(given.work, name, CASES[name]) for name in given.cases}
    twins = {name: reestimate(given.work / name) for name in given.cases}
    text = "\n".join(page(given.work, summaries, twins)) + "\n"
    if given.out is None:
        print(text)
    else:
        given.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

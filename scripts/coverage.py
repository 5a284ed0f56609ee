"""How often do the 95 % intervals contain the truth?

Draws the noise of a twin experiment many times, calibrates every draw in one batch, and counts how
often each parameter's interval covers its true value. Writes one page of Markdown:

    python scripts/coverage.py --out docs/results/coverage.md

Other noise and other error models are options: --noise ar1 --rho 0.8 --errors independent.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import caliche
from caliche.estimation.held_fits import Fits
from caliche.estimation.least_squares import LevenbergMarquardt
from caliche.estimation.method import CONVERGED, RUNNING, settled
from caliche.estimation.posterior import posterior
from caliche.estimation.profile import quantile
from caliche.experiments import load_experiment
from caliche.inverse_problem import InverseProblem

caliche.configure()

QUANTILE = 1.959963984540054  # of the normal distribution, 97.5 %


# -- noise and error models --------------------------------------------------------------------


def white(generator: np.random.Generator, shape: tuple[int, ...], rho: float) -> np.ndarray:
    """Independent standard normal errors (time, stream)."""
    return generator.standard_normal(shape)


def ar1(generator: np.random.Generator, shape: tuple[int, ...], rho: float) -> np.ndarray:
    """Stationary first-order autoregressive errors of unit variance, independent streams."""
    innovation = generator.standard_normal(shape)
    error = np.empty(shape)
    error[0] = innovation[0]
    for k in range(1, len(error)):
        error[k] = rho * error[k - 1] + np.sqrt(1.0 - rho**2) * innovation[k]
    return error


NOISE: Mapping[str, Callable[[np.random.Generator, tuple[int, ...], float], np.ndarray]] = {
    "white": white,
    "ar1": ar1,
}
# What the calibration assumes of the errors: name -> (what it does to a problem).
ERRORS: Mapping[str, Callable[[InverseProblem], InverseProblem]] = {
    "independent": lambda problem: problem,
}


# -- many calibrations at once -----------------------------------------------------------------


def with_values(problem: InverseProblem, values: Any) -> InverseProblem:
    """The problem with other observed values (time + 1, stream)."""
    return eqx.tree_at(lambda p: p.observations.values, problem, values)


@functools.partial(jax.jit, static_argnums=0)
def calibrate(
    method: LevenbergMarquardt, problem: InverseProblem, values: jax.Array, start: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """u, misfit and status of every draw of values (draw, time + 1, stream), from one start."""

    def advance(y: jax.Array, state: Any) -> Any:
        return method.advance(with_values(problem, y), state)

    def step(carry: tuple) -> tuple:
        iteration, state = carry
        running = state.iterate.status == RUNNING
        new = jax.vmap(advance)(values, state)

        def keep(old: jax.Array, after: jax.Array) -> jax.Array:
            return jnp.where(running.reshape(-1, *[1] * (old.ndim - 1)), after, old)

        return iteration + 1, settled(jax.tree.map(keep, state, new))

    def more(carry: tuple) -> jax.Array:
        return (carry[0] < method.max_iterations) & jnp.any(carry[1].iterate.status == RUNNING)

    init = settled(jax.vmap(lambda _: method.init(problem, start))(values))
    _, state = jax.lax.while_loop(more, step, (jnp.asarray(0), init))
    return state.iterate.u, state.iterate.cost, state.iterate.status


@jax.jit
def perfect(problem: InverseProblem, u: jax.Array) -> jax.Array:
    return problem.forward(u)


@dataclass(frozen=True)
class Study:
    """Counts of one study; covered and width are by kind of interval, arrays (draw, P)."""

    title: str
    command: str
    names: Sequence[str]
    converged: int
    draws: int
    twice_misfit: float
    freedom: int
    spread: np.ndarray  # of the estimates over the draws, in declared standard deviations
    covered: Mapping[str, np.ndarray]
    width: Mapping[str, np.ndarray]
    seconds: float


def study(experiment: str, noise: str, rho: float, errors: str, draws: int, seed: int) -> Study:
    """Calibrate `draws` twins and count."""
    began = time.perf_counter()
    loaded = load_experiment(experiment, ["synthetic.noise=false"])
    problem = ERRORS[errors](loaded.problem())
    assert loaded.truth is not None
    truth = np.asarray(problem.space.to_whitened(loaded.truth))
    sigma = np.asarray(problem.observations.sigma)
    clean = np.asarray(perfect(problem, jnp.asarray(truth)))
    generator = np.random.default_rng(seed)
    values = np.stack(
        [clean + sigma * NOISE[noise](generator, clean.shape, rho) for _ in range(draws)]
    )
    start = problem.space.initial()
    u, cost, status = (
        np.asarray(x) for x in calibrate(LevenbergMarquardt(), problem, jnp.asarray(values), start)
    )
    covered = {kind: np.zeros(u.shape, bool) for kind in ("declared", "inflated", "profile")}
    width = {kind: np.zeros(u.shape) for kind in ("declared", "inflated")}
    everything = np.arange(u.shape[1])
    for i in range(draws):
        one = with_values(problem, jnp.asarray(values[i]))
        curvature = posterior(one, u[i])
        for kind, naive in (("declared", True), ("inflated", False)):
            sd = np.array([curvature.sd(row, naive) for row in np.eye(len(truth))])
            covered[kind][i] = np.abs(u[i] - truth) <= QUANTILE * sd
            width[kind][i] = sd
        held = np.where(np.eye(len(truth), dtype=bool), truth, u[i])
        fits = Fits(one, None).run(everything, held)
        rise = 2.0 * (np.array([fit.cost for fit in fits]) - cost[i])
        covered["profile"][i] = rise <= quantile(0.95)
    declared = width["declared"].mean(axis=0)
    noisy = f"AR(1) noise, rho = {rho:g}" if noise == "ar1" else "white noise"
    options = f"--noise {noise}{f' --rho {rho:g}' if noise == 'ar1' else ''} --errors {errors}"
    return Study(
        f"{experiment}: {sigma[0]:g} K of {noisy}, errors taken as {errors}",
        f"python scripts/coverage.py --experiment {experiment} {options} --draws {draws}",
        problem.space.names, int((status == CONVERGED).sum()), draws,
        float(2.0 * cost.mean()), problem.n_observations - len(truth),
        u.std(axis=0, ddof=1) / declared, covered, width, time.perf_counter() - began,
    )  # fmt: skip


# -- the page ----------------------------------------------------------------------------------


def section(result: Study) -> list[str]:
    """One study as Markdown."""
    share = {kind: 100.0 * c.mean(axis=0) for kind, c in result.covered.items()}
    wider = result.width["inflated"].mean(axis=0) / result.width["declared"].mean(axis=0)
    lines = [
        f"## {result.title}", "",
        f"`{result.command}`: {result.converged} of {result.draws} calibrations converged; "
        f"mean of 2 J {result.twice_misfit:.1f} for {result.freedom} degrees of freedom.", "",
        "| parameter | declared | inflated | profile | spread of estimates | inflated / declared |",
        "|---|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    for k, name in enumerate(result.names):
        cells = [f"{share[kind][k]:.1f} %" for kind in ("declared", "inflated", "profile")]
        cells += [f"{result.spread[k]:.2f}", f"{wider[k]:.2f}"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return [*lines, ""]


def page(results: Sequence[Study]) -> str:
    """The whole page."""
    draws = results[0].draws
    chance = 100.0 * np.sqrt(0.95 * 0.05 / draws)
    head = [
        "# Coverage of the 95 % intervals", "",
        "A twin experiment is calibrated with many draws of its noise. Each row says how often the "
        "95 % interval of a parameter contained its true value: by the declared errors alone "
        "(Laplace), inflated by the size and lag-1 autocorrelation of the residuals (what "
        "`caliche estimate` reports), and by profile with the declared errors. By chance alone "
        f"{draws} draws of a right interval give 95 ± {chance:.1f} % (one standard deviation). "
        "The spread of the estimates over the draws, and the mean width of the inflated interval, "
        "are relative to the declared standard deviation.", "",
        "Written by `scripts/coverage.py` with "
        + ", ".join(f"{name} {version(name)}" for name in ("caliche", "jax", "numpy"))
        + ".", "",
    ]  # fmt: skip
    return "\n".join([*head, *(line for result in results for line in section(result))])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiment", default="twin-two-depths")
    parser.add_argument("--noise", choices=NOISE, help="default: both")
    parser.add_argument("--rho", type=float, default=0.8, help="lag-1 autocorrelation of ar1")
    parser.add_argument("--errors", choices=ERRORS, default="independent")
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="a Markdown file; default: the terminal")
    options = parser.parse_args()
    kinds = [options.noise] if options.noise else list(NOISE)
    results = []
    for kind in kinds:
        result = study(
            options.experiment, kind, options.rho, options.errors, options.draws, options.seed
        )
        print(f"{result.title}: {result.seconds:.1f} s")
        results.append(result)
    text = page(results)
    if options.out is None:
        print(text)
    else:
        options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

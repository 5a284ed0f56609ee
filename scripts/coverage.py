"""How often do the 95 % intervals contain the truth?

Draws the noise of a twin experiment many times, calibrates every draw in one batch, and counts how
often each parameter's interval covers its true value. Writes one page of Markdown:

    python scripts/coverage.py --out docs/results/coverage.md

Other noise and other error models are options: --noise ar1 --rho 0.8 --errors independent. A last
study holds a part of each record out and sets NUTS and the ensembles beside Laplace; --posteriors
is its number of draws, 0 leaves it out.
"""

from __future__ import annotations

import argparse
import dataclasses
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
from caliche.estimation.density import moved, physical
from caliche.estimation.held_fits import Fits
from caliche.estimation.least_squares import LevenbergMarquardt
from caliche.estimation.method import CONVERGED, RUNNING, settled
from caliche.estimation.posterior import posterior
from caliche.estimation.profile import quantile
from caliche.estimation.sampling import Settings, sample
from caliche.experiments import load_experiment
from caliche.experiments.posterior import gaussian_draws
from caliche.experiments.posterior_ensembles import ensemble_entries, ensemble_posterior
from caliche.experiments.predictive import bands
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


def remembered(problem: InverseProblem, rho: float) -> InverseProblem:
    """The problem with errors of this lag-1 autocorrelation."""
    memory = jnp.full(problem.observations.values.shape[1], rho)
    observations = dataclasses.replace(problem.observations, autocorrelation=memory)
    return dataclasses.replace(problem, observations=observations)


# What the calibration assumes of the errors: name -> what it does to a problem.
ERRORS: Mapping[str, Callable[[InverseProblem, float], InverseProblem]] = {
    "independent": lambda problem, rho: problem,
    "ar1": remembered,
}
STUDIES = (("white", "independent"), ("ar1", "independent"), ("ar1", "ar1"))


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
    problem = ERRORS[errors](loaded.problem(), rho)
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


# -- posteriors side by side --------------------------------------------------------------------

HELD_OUT = ["synthetic.noise=false", "synthetic.fit_hours=80"]
SAMPLED = Settings(chains=4, warmup=300, draws=400)
# Column -> method and number of members.
COLUMNS: Mapping[str, tuple[str, int]] = {
    "ETKI, 50": ("etki", 50), "ETKI, 200": ("etki", 200), "EKI, 50": ("eki", 50),
    "EKI, 200": ("eki", 200), "4DEnVar, 50": ("4denvar", 50),
}  # fmt: skip


@dataclass(frozen=True)
class Posteriors:
    """Of each kind of posterior: covered and width (draw, P), skill (draw, stream, 3), seconds."""

    names: Sequence[str]
    draws: int
    covered: Mapping[str, np.ndarray]
    width: Mapping[str, np.ndarray]
    skill: Mapping[str, np.ndarray]
    usable: Mapping[str, int]
    seconds: Mapping[str, float]


def posteriors(experiment: str, draws: int, seed: int) -> Posteriors:
    """Calibrate `draws` twins of which the end is held out, by every kind of posterior."""
    loaded = load_experiment(experiment, HELD_OUT)
    problem, scoring = loaded.problem(), loaded.scoring_problem()
    assert loaded.truth is not None
    names = problem.space.names
    truth = np.array([loaded.truth[name] for name in names])
    streams = [stream.name for stream in scoring.operator.streams]
    sigma = np.array([loaded.config.observations[name].sigma for name in streams])
    at = jnp.asarray(problem.space.to_whitened(loaded.truth))
    clean = np.asarray(perfect(scoring, at))
    generator = np.random.default_rng(seed)
    values = clean + sigma * generator.standard_normal((draws, *clean.shape))
    fitted = jnp.asarray(values[:, : loaded.n_fit])
    optima = np.asarray(
        calibrate(LevenbergMarquardt(), problem, fitted, problem.space.initial())[0]
    )
    kinds = ["Laplace", "NUTS", *COLUMNS]
    covered = {kind: np.zeros((draws, len(names)), bool) for kind in kinds}
    width = {kind: np.zeros((draws, len(names))) for kind in kinds}
    skill = {kind: np.zeros((draws, len(streams), 3)) for kind in kinds}
    usable, seconds = dict.fromkeys(kinds, 0), dict.fromkeys(kinds, 0.0)
    for i in range(draws):
        one = with_values(problem, fitted[i])
        for kind in kinds:
            began = time.perf_counter()
            u, low, high, fine = one_posterior(kind, one, optima[i], seed=i)
            seconds[kind] += time.perf_counter() - began
            usable[kind] += fine
            covered[kind][i] = (low <= truth) & (truth <= high)
            width[kind][i] = high - low
            found = bands(scoring, u, sigma, values[i], seed=i, n_fit=loaded.n_fit)
            for k, name in enumerate(streams):
                held = found[name].skill["holdout"]
                skill[kind][i, k] = held.rmse, held.crps, held.covered
    return Posteriors(names, draws, covered, width, skill, usable, seconds)


def one_posterior(
    kind: str, problem: InverseProblem, optimum: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
    """Draws u (..., P), ends (P,) of the 95 % intervals, and whether the method is content."""
    space = problem.space
    if kind == "Laplace":
        curvature = posterior(problem, optimum)
        half = QUANTILE * np.sqrt(np.diag(curvature.covariance_naive))
        low, high = (moved(space, optimum, optimum + way * half) for way in (-1.0, 1.0))
        return gaussian_draws(curvature, False, seed), low, high, True
    if kind == "NUTS":
        samples = sample(problem, optimum, dataclasses.replace(SAMPLED, seed=seed))
        values = physical(space, samples.u).reshape(-1, len(optimum))
        low, high = np.quantile(values, [0.025, 0.975], axis=0)
        return samples.u, low, high, samples.usable
    method, members = COLUMNS[kind]
    u, said = ensemble_posterior(problem, method, members, seed, None)
    assert u is not None, said["verdict"]
    entries = ensemble_entries(problem, method, u)
    low, high = np.array([entries[name]["interval95"] for name in space.names]).T
    return u, low, high, said["usable"]


# -- the page ----------------------------------------------------------------------------------


def posteriors_section(experiment: str, result: Posteriors) -> list[str]:
    """The side-by-side study as Markdown."""
    kinds = list(result.covered)
    lines = [
        f"## {experiment}: posteriors side by side", "",
        f"`python scripts/coverage.py --experiment {experiment} --posteriors {result.draws}`, last "
        f"section: {result.draws} draws of white noise, 80 h fitted and 20 h held out, errors as "
        f"declared. NUTS: {SAMPLED.chains} chains of {SAMPLED.draws} draws after {SAMPLED.warmup} "
        "steps of adaptation; beside an ensemble, its number of members; 4DEnVar iterated. "
        "Coverage of the parameters' 95 % intervals, by chance "
        f"± {100.0 * np.sqrt(0.95 * 0.05 / result.draws):.1f} %:", "",
        "| parameter |" + "".join(f" {kind} |" for kind in kinds), "|---|" + "---:|" * len(kinds),
    ]  # fmt: skip
    for k, name in enumerate(result.names):
        cells = [f"{100.0 * result.covered[kind][:, k].mean():.0f} %" for kind in kinds]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    laplace = result.width["Laplace"]
    mean = [f"{100.0 * result.covered[kind].mean():.1f} %" for kind in kinds]
    wide = [result.width[kind] / laplace for kind in kinds]
    lines += [
        f"| **all** | {' | '.join(mean)} |",
        f"| width / Laplace's, mean | {' | '.join(f'{w.mean():.2f}' for w in wide)} |",
        f"| its sd over the draws | {' | '.join(f'{w.std(ddof=1):.2f}' for w in wide)} |",
        f"| content with itself | {' | '.join(str(result.usable[kind]) for kind in kinds)} |",
        f"| s a draw | {' | '.join(f'{result.seconds[k] / result.draws:.2g}' for k in kinds)} |",
        "", "The same draws on the hold-out, means over draws and streams:", "",
        "| |" + "".join(f" {kind} |" for kind in kinds), "|---|" + "---:|" * len(kinds),
    ]  # fmt: skip
    for k, (name, form) in enumerate(
        (("RMSE of the mean, K", "{:.4f}"), ("CRPS, K", "{:.4f}"), ("in the 95 % band", "{:.1%}"))
    ):
        cells = [form.format(result.skill[kind][:, :, k].mean()) for kind in kinds]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return [*lines, ""]


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


def page(results: Sequence[Study], last: Sequence[str] = ()) -> str:
    """The whole page."""
    draws = results[0].draws if results else 200
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
    return "\n".join([*head, *(line for result in results for line in section(result)), *last])


def main() -> None:
    parser = argparse.ArgumentParser(description="Coverage of 95 %% intervals.")
    parser.add_argument("--experiment", default="twin-two-depths")
    parser.add_argument("--noise", choices=NOISE, help="default: both")
    parser.add_argument("--rho", type=float, default=0.8, help="lag-1 autocorrelation of ar1")
    parser.add_argument("--errors", choices=ERRORS, help="default: independent, then ar1 for ar1")
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--posteriors", type=int, default=100, help="draws of the last study")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="a Markdown file; default: the terminal")
    options = parser.parse_args()
    results = []
    for kind, errors in STUDIES:
        if options.noise not in (None, kind) or options.errors not in (None, errors):
            continue
        result = study(options.experiment, kind, options.rho, errors, options.draws, options.seed)
        print(f"{result.title}: {result.seconds:.1f} s")
        results.append(result)
    last = []
    if options.posteriors:
        last = posteriors_section(
            options.experiment, posteriors(options.experiment, options.posteriors, options.seed)
        )
    text = page(results, last)
    if options.out is None:
        print(text)
    else:
        options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

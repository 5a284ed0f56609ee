"""How often do the 95 % intervals contain the truth?

Draws the noise of a twin experiment many times, calibrates every draw in one batch, and counts how
often each parameter's interval covers its true value. Writes one page of Markdown:

    python scripts/coverage.py --out docs/results/coverage.md

A last study holds a part of each record out and sets NUTS and the ensembles beside Laplace;
--posteriors is its number of draws, 0 leaves it out.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import caliche
from caliche.commands.posterior.ensembles import ensemble_entries, ensemble_posterior
from caliche.estimation.curvature import posterior
from caliche.estimation.density import moved, physical
from caliche.estimation.descent.levenberg_marquardt import LevenbergMarquardt
from caliche.estimation.hyperparameters import Unknown, information_at
from caliche.estimation.information import with_information
from caliche.estimation.intervals import intervals, quadratic_at
from caliche.estimation.method import CONVERGED, RUNNING, settled
from caliche.evaluation.predictive import bands
from caliche.experiments import load_experiment
from caliche.posterior.gaussian_draws import gaussian_draws
from caliche.posterior.profile import profile
from caliche.posterior.sampling import Settings, sample
from caliche.problems.inverse import InverseProblem

caliche.configure()

QUANTILE = 1.959963984540054  # of the normal distribution, 97.5 %


# -- what is studied -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A study. memory : hours in which the correlation of errors falls by e, 0 for white noise.
    step : s.  prior : sd of informative priors in declared standard deviations, of which each
    draw's truth is one; None for flat ones.  inside : how many true standard deviations an upper
    bound of the conductivity lies above its truth.  ar1 : whether the errors' memory is declared.
    """

    memory: float = 0.0
    step: float = 3600.0
    prior: float | None = None
    inside: float | None = None
    ar1: bool = False

    @property
    def rho(self) -> float:
        """Correlation of errors one step apart."""
        return float(np.exp(-self.step / 3600.0 / self.memory)) if self.memory else 0.0

    @property
    def title(self) -> str:
        said = f"errors of {self.memory:g} h memory" if self.memory else "white noise"
        said += f", every {self.step:g} s"
        if self.prior is not None:
            said += f", priors of {self.prior:g} declared sd"
        if self.inside is not None:
            said += f", a bound {self.inside:g} sd above the true conductivity"
        return said + (", memory declared" if self.ar1 else "")


CASES = (
    Case(),
    Case(1.5),
    Case(4.5),
    Case(9.0),
    Case(step=1800.0),
    Case(4.5, 1800.0),
    Case(4.5, 7200.0),
    Case(prior=1.5),
    Case(4.5, prior=1.5),
    Case(inside=0.5),
    Case(4.5, inside=0.5),
    Case(4.5, inside=0.0),
    Case(4.5, ar1=True),
)
BOUNDED = "thermal_conductivity"


def noise(generator: np.random.Generator, shape: tuple[int, ...], rho: float) -> np.ndarray:
    """Stationary first-order autoregressive errors of unit variance, independent streams."""
    innovation = generator.standard_normal(shape)
    error = np.empty(shape)
    error[0] = innovation[0]
    for k in range(1, len(error)):
        error[k] = rho * error[k - 1] + np.sqrt(1.0 - rho**2) * innovation[k]
    return error


def remembered(problem: InverseProblem, rho: float) -> InverseProblem:
    """The problem with errors of this lag-1 autocorrelation."""
    memory = jnp.full(problem.observations.values.shape[1], rho)
    observations = dataclasses.replace(problem.observations, autocorrelation=memory)
    return dataclasses.replace(problem, observations=observations)


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
    """Counts of one study; covered and width (in physical units) are by kind of interval, arrays
    (draw, P). best : (P,) width of an interval that knows the spread of the estimates."""

    case: Case
    names: Sequence[str]
    converged: int
    draws: int
    covered: Mapping[str, np.ndarray]
    width: Mapping[str, np.ndarray]
    best: np.ndarray
    wider_than_prior: int
    seconds: float


def study(experiment: str, case: Case, draws: int, seed: int, profiles: int = 0) -> Study:
    """Calibrate `draws` twins and count; profiles are made of the first `profiles` of them."""
    began = time.perf_counter()
    settings = ["synthetic.noise=false", f"window.time_step={case.step:g}"]
    loaded = load_experiment(experiment, settings)
    assert loaded.truth is not None
    problem, names = loaded.problem(), loaded.space.names
    truth = np.array([loaded.truth[name] for name in names])
    sigma, generator = np.asarray(problem.observations.sigma), np.random.default_rng(seed)
    at = problem.space.to_whitened(loaded.truth)
    declared = physical_sd(with_values(problem, perfect(problem, at)), np.asarray(at))
    truths = np.tile(truth, (draws, 1))
    if case.prior is not None:
        free = [
            f'parameters.{n}={{prior="normal",mean={x!r},sd={case.prior * sd!r},value={x!r}}}'
            for n, x, sd in zip(names, truth.tolist(), declared.tolist(), strict=True)
        ]
        problem = load_experiment(experiment, [*settings, *free]).problem()
        truths = truth + case.prior * declared * generator.standard_normal((draws, len(names)))
    controls = [
        problem.space.to_whitened(dict(zip(names, x, strict=True))) for x in truths.tolist()
    ]
    clean = np.stack([np.asarray(perfect(problem, u)) for u in controls])
    values = clean + sigma * np.stack([noise(generator, clean[0].shape, case.rho) for _ in clean])
    if case.ar1:
        problem = remembered(problem, case.rho)
    # The bound changes neither model nor data: the estimates without it tell the true sd.
    u, _, status = fitted(problem, values)
    spread = np.std(physical(problem.space, u) - truths, axis=0, ddof=1)
    if case.inside is not None:
        k = names.index(BOUNDED)
        upper = truth[k] + max(case.inside, 1e-6) * spread[k]
        free = f"parameters.{BOUNDED}={{value={float(0.9 * truth[k])!r},upper={float(upper)!r}}}"
        problem = load_experiment(experiment, [*settings, free]).problem()
        u, _, status = fitted(problem, values)
    kinds = ("declared", "reported", "profile")
    covered = {
        kind: np.zeros((draws if kind != "profile" else profiles, len(names)), bool)
        for kind in kinds
    }
    width = {kind: np.zeros(hits.shape) for kind, hits in covered.items()}
    wider = 0
    for i in range(draws):
        one = with_values(problem, jnp.asarray(values[i]))
        whole = with_information(one, None)
        optimum = u[i]
        if case.prior is not None:  # the estimate itself is weighed
            found = caliche.estimate(one, starts=jnp.asarray(optimum)[None], unknown=WEIGHTS)
            assert found.hyperparameters is not None
            optimum, told = found.u, found.hyperparameters.information
        else:
            told = information_at(one, optimum, declared=True)
        for kind, weighed in (("declared", None), ("reported", told)):
            whole = with_information(one, weighed)
            low, high = ends(whole, optimum)
            covered[kind][i] = (low <= truths[i] + 1e-12) & (truths[i] <= high + 1e-12)
            width[kind][i] = high - low
        if case.prior is not None:
            wider += int((physical_sd(whole, optimum) > case.prior * declared).any())
        if i < profiles:
            made = profile(whole, optimum).parameters
            low, high = np.array([[e.value for e in made[n].intervals[0.95]] for n in names]).T
            covered["profile"][i] = (low <= truths[i]) & (truths[i] <= high)
            width["profile"][i] = high - low
    return Study(
        case,
        names,
        int((status == CONVERGED).sum()),
        draws,
        covered,
        width,
        2.0 * QUANTILE * spread,
        wider,
        time.perf_counter() - began,
    )


WEIGHTS = Unknown(information="weights")


def fitted(problem: InverseProblem, values: np.ndarray) -> tuple[np.ndarray, ...]:
    """u, misfit and status of every draw of values."""
    start = problem.space.initial()
    found = calibrate(LevenbergMarquardt(), problem, jnp.asarray(values), start)
    return tuple(np.asarray(x) for x in found)


def ends(problem: InverseProblem, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % intervals as `caliche estimate` reports them."""
    return intervals(problem.space, quadratic_at(problem.space, posterior(problem, u)))


def physical_sd(problem: InverseProblem, u: np.ndarray) -> np.ndarray:
    """Standard deviations of the physical values, with errors as the problem weighs them."""
    whole = (
        problem
        if problem.observations.information is not None
        else (with_information(problem, None))
    )
    at = quadratic_at(problem.space, posterior(whole, u))
    return np.abs(at.slopes) * at.sd


# -- posteriors side by side --------------------------------------------------------------------

HELD_OUT = ["synthetic.noise=false", "synthetic.fit_hours=80"]
SAMPLED = Settings(chains=4, warmup=300, draws=400)
# Column -> method and number of members.
COLUMNS: Mapping[str, tuple[str, int]] = {
    "ETKI, 50": ("etki", 50),
    "ETKI, 200": ("etki", 200),
    "EKI, 50": ("eki", 50),
    "EKI, 200": ("eki", 200),
    "4DEnVar, 50": ("4denvar", 50),
}


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
    first = jnp.asarray(values[:, : loaded.n_fit])
    optima = np.asarray(calibrate(LevenbergMarquardt(), problem, first, problem.space.initial())[0])
    kinds = ["Laplace", "NUTS", *COLUMNS]
    covered = {kind: np.zeros((draws, len(names)), bool) for kind in kinds}
    width = {kind: np.zeros((draws, len(names))) for kind in kinds}
    skill = {kind: np.zeros((draws, len(streams), 3)) for kind in kinds}
    usable, seconds = dict.fromkeys(kinds, 0), dict.fromkeys(kinds, 0.0)
    for i in range(draws):
        one = with_information(with_values(problem, first[i]), None)
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
        half = QUANTILE * np.sqrt(np.diag(curvature.covariance))
        low, high = (moved(space, optimum, optimum + way * half) for way in (-1.0, 1.0))
        return gaussian_draws(space, curvature, seed), low, high, True
    if kind == "NUTS":
        samples = sample(problem, optimum, dataclasses.replace(SAMPLED, seed=seed))
        values = physical(space, samples.u).reshape(-1, len(optimum))
        low, high = np.quantile(values, [0.025, 0.975], axis=0)
        return samples.u, low, high, samples.usable
    method, members = COLUMNS[kind]
    u, said = ensemble_posterior(problem, method, members, seed)
    assert u is not None, said["verdict"]
    entries = ensemble_entries(problem, method, u)
    low, high = np.array([entries[name]["interval95"] for name in space.names]).T
    return u, low, high, said["usable"]


# -- the page ----------------------------------------------------------------------------------


def posteriors_section(experiment: str, result: Posteriors) -> list[str]:
    """The side-by-side study as Markdown."""
    kinds = list(result.covered)
    lines = [
        f"## {experiment}: posteriors side by side",
        "",
        f"`python scripts/coverage.py --experiment {experiment} --posteriors {result.draws}`, last "
        f"section: {result.draws} draws of white noise, 80 h fitted and 20 h held out, errors as "
        f"declared. NUTS: {SAMPLED.chains} chains of {SAMPLED.draws} draws after {SAMPLED.warmup} "
        "steps of adaptation; beside an ensemble, its number of members; 4DEnVar iterated. "
        "Coverage of the parameters' 95 % intervals, by chance "
        f"± {100.0 * np.sqrt(0.95 * 0.05 / result.draws):.1f} %:",
        "",
        "| parameter |" + "".join(f" {kind} |" for kind in kinds),
        "|---|" + "---:|" * len(kinds),
    ]
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
        "",
        "The same draws on the hold-out, means over draws and streams:",
        "",
        "| |" + "".join(f" {kind} |" for kind in kinds),
        "|---|" + "---:|" * len(kinds),
    ]
    for k, (name, form) in enumerate(
        (("RMSE of the mean, K", "{:.4f}"), ("CRPS, K", "{:.4f}"), ("in the 95 % band", "{:.1%}"))
    ):
        cells = [form.format(result.skill[kind][:, :, k].mean()) for kind in kinds]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return [*lines, ""]


def section(results: Sequence[Study]) -> list[str]:
    """The studies as Markdown."""
    first = results[0]
    lines = [
        "| | " + " | ".join(first.names) + " | all | width | profile, width |",
        "|---|" + "---:|" * (len(first.names) + 3),
    ]
    for r in results:
        share = 100.0 * r.covered["reported"].mean(axis=0)
        mean = r.width["reported"].mean(axis=0) / r.best
        made = len(r.covered["profile"])
        last = "-"
        if made:
            ratio = r.width["reported"][:made] / r.width["profile"]
            last = f"{100.0 * r.covered['profile'].mean():.0f} %, {np.median(ratio):.2f}"
        cells = [f"{x:.1f}" for x in share] + [f"**{share.mean():.1f}**"]
        cells += [f"{mean.min():.2f} to {mean.max():.2f}", last]
        lines.append(f"| {r.case.title} | {' | '.join(cells)} |")
    lines += [
        "",
        "With errors taken at their word, as declared and independent:",
        "",
        "| | " + " | ".join(first.names) + " | all |",
        "|---|" + "---:|" * (len(first.names) + 1),
    ]
    for r in results:
        share = 100.0 * r.covered["declared"].mean(axis=0)
        cells = [f"{x:.1f}" for x in share] + [f"**{share.mean():.1f}**"]
        lines.append(f"| {r.case.title} | {' | '.join(cells)} |")
    priors = [r for r in results if r.case.prior is not None]
    if priors:
        counts = ", ".join(f"{r.wider_than_prior} of {r.draws}" for r in priors)
        lines += ["", f"Draws in which a posterior was wider than its prior: {counts}."]
    done = sum(r.converged for r in results), sum(r.draws for r in results)
    return [*lines, "", f"{done[0]} of {done[1]} calibrations converged.", ""]


def page(experiment: str, results: Sequence[Study], last: Sequence[str] = ()) -> str:
    """The whole page."""
    draws = results[0].draws if results else 200
    chance = 100.0 * np.sqrt(0.95 * 0.05 / draws)
    head = [
        "# Coverage of the 95 % intervals",
        "",
        f"`{experiment}`, 100 hours, is calibrated with {draws} draws of 0.1 K of noise, errors "
        "declared as independent unless said otherwise. Each number is how often, in %, the "
        "interval that `caliche estimate` reports contained the true value of a parameter; by "
        f"chance alone a right interval gives 95 ± {chance:.1f} (one standard deviation). Width: "
        "the mean width over that of an interval which knows how the estimates scatter (least and "
        "largest of the parameters). Last column: how often the profile of the same likelihood, of "
        "the first draws, contains the truth, and the median width of the reported interval over "
        "the profile's.",
        "",
        "Where priors are informative each draw has a truth of its own, drawn from them. A bound "
        "at 0 sd lies at the truth: an interval that is cut off there covers it from one side.",
        "",
        "Written by `scripts/coverage.py` with "
        + ", ".join(f"{name} {version(name)}" for name in ("caliche", "jax", "numpy"))
        + ".",
        "",
    ]
    return "\n".join([*head, *section(results), *last])


def main() -> None:
    parser = argparse.ArgumentParser(description="Coverage of 95 %% intervals.")
    parser.add_argument("--experiment", default="twin-two-depths")
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--profiles", type=int, default=20, help="draws with profiles")
    parser.add_argument("--cases", type=int, default=len(CASES), help="the first so many")
    parser.add_argument("--posteriors", type=int, default=100, help="draws of the last study")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="a Markdown file; default: the terminal")
    options = parser.parse_args()
    results = []
    for case in CASES[: options.cases]:
        result = study(options.experiment, case, options.draws, options.seed, options.profiles)
        print(f"{case.title}: {result.seconds:.1f} s", flush=True)
        results.append(result)
    last = []
    if options.posteriors:
        last = posteriors_section(
            options.experiment, posteriors(options.experiment, options.posteriors, options.seed)
        )
    text = page(options.experiment, results, last)
    if options.out is None:
        print(text)
    else:
        options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

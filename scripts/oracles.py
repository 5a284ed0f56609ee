"""Published and computed answers of the field, and what caliche makes of them.

Runs the models of `tests/oracle_models.py` through `caliche.estimate`, and Lorenz's systems through
cycles of its analyses. Writes one page of Markdown (some minutes on one core):

    python scripts/oracles.py --out docs/results/oracles.md

Some sections only: --only linear optima epidemic pools climate cycles screening.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

import caliche

caliche.configure()
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from scipy.stats import qmc  # noqa: E402

from caliche.estimation import Result, estimate  # noqa: E402
from caliche.estimation.curvature import posterior  # noqa: E402
from caliche.estimation.density import degrees_of_freedom, log_evidence  # noqa: E402
from caliche.estimation.ensemble.kalman import (  # noqa: E402
    EnsembleKalmanInversion,
    EnsembleTransformKalmanInversion,
)
from caliche.parameters import Normal  # noqa: E402
from caliche.posterior.sampling import Settings, sample  # noqa: E402
from caliche.sensitivity.designs import make_groups, morris_design, sobol_design  # noqa: E402
from caliche.sensitivity.indices import indices  # noqa: E402
from caliche.sensitivity.run import screen  # noqa: E402
from oracle_cycles import (  # noqa: E402
    climate,
    ensemble_filter,
    ensemble_smoother,
    lorenz_63,
    optimal_interpolation,
    variational,
)
from oracle_models import (  # noqa: E402
    CELLS,
    Branin,
    Epidemic,
    LorenzForcing,
    TwoPools,
)
from problems import ECKERLE4, MGH10, MISRA1A, LinearGaussian  # noqa: E402

Lines = list[str]
ENSEMBLES: Mapping[str, dict] = {
    "4denvar": {"members": 59, "iterated": True, "max_iterations": 60},
    "eki": {"members": 60},
    "etki": {"members": 60},
    "uki": {},
}


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> Lines:
    """A table, the first column to the left."""
    marks = ["---", *["---:"] * (len(header) - 1)]
    cells = [header, marks, *([str(cell) for cell in row] for row in rows)]
    return [f"| {' | '.join(row)} |" for row in cells] + [""]


def values(result: Result) -> np.ndarray:
    return np.array([result.parameters[name].estimate for name in result.names])


def sds(result: Result) -> np.ndarray:
    return np.array([result.parameters[name].sd_naive for name in result.names])


def per_cent(x: float, digits: int = 1) -> str:
    return f"{100.0 * x:.{digits}f} %"


# -- sections ------------------------------------------------------------------------------------


def linear() -> Lines:
    """A linear model with Gaussian errors and prior, correlated both."""
    problem, root, given = LinearGaussian.problem(), LinearGaussian.root, LinearGaussian
    weighted = given.design.T @ np.linalg.inv(given.errors)
    exact = np.linalg.inv(weighted @ given.design + np.linalg.inv(given.prior_covariance))
    best = given.mean + exact @ weighted @ (given.observed - given.design @ given.mean)
    sd = np.sqrt(np.diag(exact))

    def row(name: str, w: np.ndarray, covariance: np.ndarray, digits: str) -> list[str]:
        off = np.max(np.abs(given.mean + root @ w - best) / sd)
        wide = root @ covariance @ root.T - exact
        return [name, f"{off:.1e}", f"{np.max(np.abs(wide) / np.outer(sd, sd)):.1e}", digits]

    rows = []
    asked: list[tuple[str, str, dict, str]] = [
        ("`lm`", "lm", {}, "1e-6 sd"),
        ("`lbfgs` (4D-Var by the adjoint)", "lbfgs", {}, "1e-3 sd"),
        ("`adam`", "adam", {}, "1e-3 sd"),
        ("`4denvar`", "4denvar", {"members": 30}, "rounding"),
        ("`4denvar`, iterated", "4denvar", {"members": 30, "iterated": True}, "rounding"),
        ("`etki`, four steps of 0.25", "etki", {"members": 30, "steps": 4}, "rounding"),
        ("`etki`, steps by misfit", "etki", {"members": 30}, "rounding"),
        ("`uki`, four steps", "uki", {"steps": 4}, "rounding"),
        ("`eki`, 100 members", "eki", {"members": 100}, "chance, 0.3 sd"),
        ("`ga`", "ga", {}, "0.1 sd"),
        ("`cma`", "cma", {}, "0.1 sd"),
    ]
    for words, name, options, digits in asked:
        result = estimate(problem, name, seed=1, **options)
        bars = result.covariance_u
        if result.ensemble is None:
            bars = posterior(problem, result.u).covariance_naive
        rows.append(row(words, result.u, bars, digits))
    u = estimate(problem, "lm").u
    samples = sample(problem, u, Settings(warmup=500, draws=5000))
    w = samples.physical.reshape(-1, 2)
    chance = 5.0 / np.sqrt(min(samples.ess_bulk.values()))
    rows.append(
        row("NUTS, 4 × 5000 draws", w.mean(axis=0), np.cov(w.T), f"chance, {chance:.2f} sd")
    )
    inverse = np.linalg.inv(np.linalg.cholesky(LinearGaussian.errors))
    evidence = log_evidence(problem, u) + np.log(np.linalg.det(inverse))
    return [
        "## A linear model with Gaussian errors and prior",
        "",
        "Four observations, two parameters, errors and prior correlated: estimate and "
        "covariance in closed form. How far off, in standard deviations, and by how much "
        "the covariance differs, relative to the standard deviations.",
        "",
        *table(["method", "estimate", "covariance", "expected within"], rows),
        *table(
            ["quantity", "closed form", "caliche"],
            [
                ["J at the optimum", "2.0058504999544", f"{float(problem.cost(u)):.13f}"],
                [
                    "degrees of freedom for signal",
                    "1.9738741944557",
                    f"{degrees_of_freedom(problem, u):.13f}",
                ],
                ["log evidence", "-3.4144807774141", f"{evidence:.13f}"],
            ],
        ),
    ]


def certified() -> Lines:
    """NIST's least squares."""
    rows = []
    for data in (MISRA1A, MGH10, ECKERLE4):
        problem = data.problem()
        start = data.controls(problem)[1:]
        result = estimate(problem, starts=start)
        ratio = next(iter(result.residuals.values())).variance_ratio
        off = np.max(np.abs(values(result) / data.estimate - 1.0))
        wide = np.max(np.abs(sds(result) * np.sqrt(ratio) / data.sd - 1.0))
        rows.append([data.name, f"{off:.0e}", f"{wide:.0e}"])
    return [
        "## Certified least squares",
        "",
        "Data sets of NIST (itl.nist.gov/div898/strd), from the second start, with `lm`: "
        "the largest relative difference from the certified values.",
        "",
        *table(["data set", "parameters", "standard deviations"], rows),
    ]


def optima() -> Lines:
    """Branin's function from many starts."""
    rows = []
    for name, starts in (("lm", 16), ("lbfgs", 16), ("cma", 8)):
        result = estimate(Branin.problem(), name, starts=starts, seed=2)
        found = np.array([[o.estimate["x"], o.estimate["y"]] for o in result.optima])
        distance = np.linalg.norm(found[:, None] - Branin.optima, axis=2).min(axis=1).max()
        counts = ", ".join(str(o.starts) for o in result.optima)
        rows.append([f"`{name}`", starts, len(found), counts, f"{distance:.0e}"])
    (verdict,) = [w for w in result.warnings if "optima" in w]
    return [
        "## Three optima: Branin's function",
        "",
        "As a cost, p² + 10 (1 − 1/8π)(1 + cos x) of the parabola p, which is Branin's "
        f"function less 10/8π = {Branin.lowest:.11f}, its lowest value. Both residuals, √2 "
        "p and √(40 (1 − 1/8π)) cos(x/2), vanish at (−π, 12.275), (π, 2.275) and (3π, "
        "2.475).",
        "",
        *table(["method", "starts", "optima named", "starts at each", "furthest off"], rows),
        f"What `{name}` says: “{verdict}”",
        "",
    ]


def epidemic() -> Lines:
    """hmer's example."""
    problem = Epidemic.problem()
    low, high = np.array(list(Epidemic.bounds.values())).T
    middle = Epidemic.implausibility(problem, np.array([0.5 * (low + high)]))[0]
    signs = np.sign(Epidemic.middle - Epidemic.observed)
    outputs = Epidemic.observed + signs * middle * Epidemic.sigma
    sets = qmc.scale(qmc.Sobol(3, seed=0).random_base2(18), low, high)
    worst = np.sort(Epidemic.implausibility(problem, sets), axis=1)
    left = sets[worst[:, 2] < 3.0]
    mean, sd = Epidemic.posterior(problem, 64)
    rows = [
        ["quadrature", "", *(f"{m:.4f} ± {s:.4f}" for m, s in zip(mean, sd, strict=True)), "", ""]
    ]
    for name, options in ENSEMBLES.items():
        result = estimate(problem, name, seed=1, **options)
        assert result.ensemble is not None
        found = result.ensemble.physical
        off = np.max(np.abs(found.mean(axis=0) - mean) / sd)
        spread = found.std(axis=0, ddof=1)
        numbers = (f"{m:.4f} ± {s:.4f}" for m, s in zip(found.mean(axis=0), spread, strict=True))
        box = all(lo < result.parameters[n].estimate < hi for n, (lo, hi) in Epidemic.box.items())
        rows.append(
            [f"`{name}`", result.n_model_runs, *numbers, f"{off:.2f}", "yes" if box else "no"]
        )
    box_words = "; ".join(
        f"{name} {left[:, k].min():.3f} to {left[:, k].max():.3f}" for k, name in enumerate("ab")
    )
    return [
        "## An epidemic: susceptible, infected, recovered, susceptible",
        "",
        "The example of the R package hmer, 1000 people, seen at t = 10 as 615.5 ± 17.75, "
        "169 ± 8.45 and 210 ± 5.5; uniform priors. The values of reference were computed "
        "for this project apart from caliche, on 2^18 scrambled points of Sobol', the same "
        "as here; the box is that of the points, more of them widen it a little.",
        "",
        *table(
            ["quantity", "reference", "caliche"],
            [
                [
                    "outputs at the middle of the bounds",
                    "618.5768, 148.7652, 232.6580",
                    ", ".join(f"{x:.4f}" for x in outputs),
                ],
                [
                    "share of the prior not ruled out, all outputs within 3",
                    "0.00478",
                    f"{np.mean(worst[:, 2] < 3.0):.5f}",
                ],
                [
                    "the same for the second worst output",
                    "0.0208",
                    f"{np.mean(worst[:, 1] < 3.0):.4f}",
                ],
                ["box around it", "a 0.372 to 0.470; b 0.168 to 0.268", box_words],
            ],
        ),
        "Mean and standard deviation of the posterior, how far the mean is from "
        "quadrature's (in its standard deviations, the worst parameter), and whether the "
        "estimate lies in the box:",
        "",
        *table(["method", "runs", "a", "b", "c", "off, sd", "in the box"], rows),
        "c is hardly seen, and the posterior leans on both of its bounds: `lm` ends at the "
        "upper one and says so.",
        "",
    ]


def pools() -> Lines:
    """OptIC's two pools."""
    problem, truth = TwoPools.problem()
    rows = []
    asked = {"lm": {}, **ENSEMBLES}
    for name, options in asked.items():
        result = estimate(problem, name, seed=1, **options)
        found = dict(zip(result.names, values(result), strict=True))
        fall = TwoPools.improvement(problem, truth, found)
        inside = sum(
            result.parameters[n].interval[0] < v < result.parameters[n].interval[1]  # type: ignore[index]
            for n, v in TwoPools.truth.items()
        )
        numbers = (f"{m:.3f} ± {s:.3f}" for m, s in zip(values(result), sds(result), strict=True))
        done = "yes" if result.converged else "no"
        rows.append(
            [
                f"`{name}`",
                *numbers,
                f"{inside} of 4",
                *map(per_cent, fall),
                result.n_model_runs,
                done,
            ]
        )
    falls, inside, seeds = [], 0, 10
    for seed in range(seeds):
        twin, truth = TwoPools.problem(seed=seed)
        result = estimate(twin, "lm")
        found = dict(zip(result.names, values(result), strict=True))
        falls.append(TwoPools.improvement(twin, truth, found))
        inside += sum(
            result.parameters[n].interval[0] < v < result.parameters[n].interval[1]  # type: ignore[index]
            for n, v in TwoPools.truth.items()
        )
    narrow = {n: Normal(1.25 * v, 0.25 * v, lower=0.0) for n, v in TwoPools.truth.items()}
    twin, truth = TwoPools.problem(priors=narrow)
    once = estimate(twin, "4denvar", seed=1, members=59)
    again = estimate(twin, "4denvar", seed=1, **ENSEMBLES["4denvar"])
    from_mean = {n: 1.25 * v for n, v in TwoPools.truth.items()}

    def fall(values: Mapping[str, float]) -> np.ndarray:
        left = 1.0 - TwoPools.improvement(twin, truth, values)
        return 1.0 - left / (1.0 - TwoPools.improvement(twin, truth, from_mean))

    one, two = (fall(dict(zip(r.names, values(r), strict=True))) for r in (once, again))
    return [
        "## Two pools of carbon",
        "",
        "OptIC's test model (Trudinger et al. 2007, doi:10.1029/2006JG000367), with which "
        "Douglas et al. (2025, doi:10.1016/j.envsoft.2025.106361) show 4DEnVar: the "
        "trajectory's error falls by 96 % and 99 % in one of their cases. Here: 150 steps "
        "of log-normal productivity, every fifth seen with errors of a tenth of the pools' "
        "standard deviation, flat priors from a third or less of the truth to four times it "
        f"or more. At a productivity of 1 the state ({TwoPools.steady[0]}, "
        f"{TwoPools.steady[1]}) stands still to 1e-10.",
        "",
        *table(
            [
                "method",
                "p1 = 1",
                "p2 = 1",
                "k1 = 0.2",
                "k2 = 0.1",
                "truth inside 95 %",
                "error of x1 falls by",
                "of x2",
                "runs",
                "converged",
            ],
            rows,
        ),
        f"`lm` over {seeds} twins: the truth is inside {inside} of {4 * seeds} intervals; "
        f"the error falls by {per_cent(np.min(falls))} at least. With priors as narrow as "
        "25 % around values 25 % too high, one analysis of `4denvar` lowers the errors by "
        f"{per_cent(one[0])} and {per_cent(one[1])} and "
        f"{'is' if once.converged else 'is not'} called converged; iterated, by "
        f"{per_cent(two[0])} and {per_cent(two[1])}.",
        "",
    ]


def forcing() -> Lines:
    """What drives Lorenz-96?"""
    window = LorenzForcing.window()
    mean, sd = LorenzForcing.posterior(window, 81)
    exact = [f"{m:.3f} ± {s:.3f}" for m, s in zip(mean, sd, strict=True)]
    rows = [["quadrature", *exact, "", ""]]
    for name, options in {"lm": {}, **ENSEMBLES}.items():
        result = estimate(window, name, seed=1, **options)
        numbers = (f"{m:.3f} ± {s:.3f}" for m, s in zip(values(result), sds(result), strict=True))
        off = np.max(np.abs(values(result) - mean) / sd)
        rows.append([f"`{name}`", *numbers, f"{off:.2f}", result.n_model_runs])
    problem, seen, _ = LorenzForcing.statistics()
    more = [["energy", f"{seen[1] / seen[0]:.2f}", ""]]
    for name in ("eki", "etki", "uki"):
        result = estimate(problem, name, seed=1, **ENSEMBLES[name])
        more.append(
            [
                f"`{name}`",
                f"{values(result)[0]:.2f} ± {sds(result)[0]:.2f}",
                str(result.n_model_runs),
            ]
        )
    return [
        "## The forcing of Lorenz-96",
        "",
        "Forcing 8 and damping 1, from one unit of time, over which errors grow fivefold, "
        "and of which all 40 cells are seen every 0.2 with errors of 1. The spread of "
        "`eki`, `etki` and `uki` is too wide here: the trajectory bends over the width of "
        "the prior.",
        "",
        *table(["method", "forcing", "damping", "off, sd", "runs"], rows),
        "The forcing alone, from the means of x and x² over 50 units of time, as Schneider "
        "et al. (2017, doi:10.1002/2017GL076101) do it for the system of two scales: no "
        "trajectory can be followed so far, and no gradient either. As energy is kept but "
        "for forcing and damping, the forcing is the ratio of the two means, up to the "
        "finite record.",
        "",
        *table(["method", "forcing", "runs"], more),
    ]


def cycles() -> Lines:
    """DAPPER's scores."""
    rows = []

    def add(what: str, published: float, ours: float, note: str) -> None:
        rows.append(
            [
                what,
                published,
                f"{ours:.3f}",
                f"{round(100.0 * (ours / published - 1.0)):+d} %",
                note,
            ]
        )

    covariance, every = climate()[1], np.eye(CELLS)
    add("climatology", 3.6, float(np.sqrt(np.trace(covariance) / CELLS)), "60 000 states")
    add("optimal interpolation", 0.95, optimal_interpolation(4000), "4000 analyses")
    found, _ = variational(0, 0.02 * covariance, 1000, every=1)
    add("3D-Var, 0.02 of the climate's covariance", 0.41, found, "`lm`, 1000 cycles of 0.05")
    method = EnsembleKalmanInversion(steps=1, inflation=1.06)
    found = ensemble_filter(method, 40, 1000, rotate=False)
    add("EnKF, perturbed observations, N = 40, inflation 1.06", 0.22, found, "`eki`, 1000 cycles")
    method = EnsembleTransformKalmanInversion(steps=1, inflation=1.013)
    scores = [ensemble_filter(method, 24, 1000, seed=seed) for seed in range(8)]
    note = f"`etki`, 8 runs of 1000 cycles, {min(scores):.3f} to {max(scores):.3f}"
    add("EnKF, square root, N = 24, inflation 1.013", 0.18, float(np.mean(scores)), note)
    more = EnsembleTransformKalmanInversion(steps=1, inflation=1.02)
    long, wide = (ensemble_filter(m, 24, 10_000) for m in (method, more))
    for lag, scale, score in ((1, 0.2, 0.46), (2, 0.1, 0.39), (4, 0.02, 0.37)):
        found, bad = variational(lag, scale * every, 2000)
        note = f"`lm`, 2000 cycles of 0.2, {bad} not converged"
        add(f"4D-Var, lag {lag}, background variance {scale}", score, found, note)
    found, bad = ensemble_smoother(4, 20, 1.05, 1000)
    note = f"`4denvar` iterated, inflation 1.05, 1000 cycles of 0.2, {bad} not converged"
    add("iterative EnKS, lag 4, N = 20", 0.31, found, note)
    method = EnsembleTransformKalmanInversion(steps=1, inflation=1.02)
    start = lorenz_63(np.ones(3), 2000)[-1]
    found = ensemble_filter(method, 10, 10_000, 25, lorenz_63, start, np.sqrt(2.0))
    add(
        "Lorenz-63: EnKF, square root, N = 10", 0.60, found, "`etki`, inflation 1.02, 10 000 cycles"
    )
    return [
        "## Analyses of Lorenz-96 in a cycle",
        "",
        "Mean over time of the root-mean-square error of the analysis: 40 cells, all of "
        "them seen with errors of 1, every 0.05 unless said otherwise. Published: what "
        "DAPPER (Raanes et al., doi:10.21105/joss.05150) lists for the settings of Sakov "
        "and Oke (2008, doi:10.1111/j.1600-0870.2007.00299.x), Sakov et al. (2012, "
        "doi:10.1175/MWR-D-11-00176.1) and Bocquet and Sakov (2013, "
        "doi:10.5194/npg-20-803-2013); its scores are rounded, and change a little with the "
        "noise. The first fifth of the cycles is left out. 4D-Var starts from a background "
        "whose covariance is a multiple of the identity, and of its window only the last "
        "observations are new. The published smoother adapts its inflation, ours is fixed.",
        "",
        *table(["scheme", "published", "caliche", "difference", "made of"], rows),
        f"Over 10 000 cycles in one go the square root filter comes to {long:.3f} with an "
        f"inflation of 1.013, and to {wide:.3f} with one of 1.02: so little inflation loses "
        "the truth now and then, and does not find it again.",
        "",
    ]


def screening() -> Lines:
    """Ishigami, Sobol's g, Morris."""

    def ishigami(x: np.ndarray) -> np.ndarray:
        z = 2.0 * np.pi * (x - 0.5)
        wave = np.sin(z[:, 0])
        return (wave + 7.0 * np.sin(z[:, 1]) ** 2 + 0.1 * z[:, 2] ** 4 * wave)[:, None]

    a = np.array([0.0, 1.0, 4.5, 9.0, 99.0, 99.0, 99.0, 99.0])

    def g_function(x: np.ndarray) -> np.ndarray:
        return np.prod((np.abs(4.0 * x - 2.0) + a) / (1.0 + a), axis=1)[:, None]

    def groups(n: int):
        return make_groups([chr(97 + k) for k in range(n)], {})

    def show(x: np.ndarray, digits: int = 4) -> str:
        return ", ".join(f"{v:.{digits}f}" for v in x)

    rows = []
    for words, function, n, first, total in (
        ("Ishigami", ishigami, 3, [0.3139, 0.4424, 0.0], [0.5576, 0.4424, 0.2437]),
        (
            "Sobol's g, first four of eight",
            g_function,
            8,
            [0.7162, 0.1790, 0.0237, 0.0072],
            [0.7871, 0.2422, 0.0343, 0.0105],
        ),
    ):
        design = sobol_design(groups(n), 4096, 0)
        found = indices(design, screen(design, function, 1).sums, None).by_name
        for name, exact in (("S1", first), ("ST", total)):
            ours = found[name].estimate[: len(exact), 0]
            rows.append([f"{words}, {name}", show(np.array(exact)), show(ours)])
    design = morris_design(groups(3), 4000, 0)
    found = indices(design, screen(design, ishigami, 1).sums, None).by_name
    for name, exact in (("mu_star", [7.7042, 7.875, 6.2488]), ("sigma", [6.249, 7.875, 8.837])):
        rows.append(
            [
                f"Morris of Ishigami, {name}",
                show(np.array(exact), 3),
                show(found[name].estimate[:, 0], 3),
            ]
        )
    return [
        "## Screening",
        "",
        "Closed forms (Saltelli et al. 2008, doi:10.1002/9780470725184) against 4096 points and "
        "4000 trajectories.",
        "",
        *table(["index", "exact", "caliche"], rows),
    ]


PITFALLS = (
    (
        "the ensemble's transform is L⁻¹ of a Cholesky factor, where L⁻ᵀ is due",
        "`test_4denvar_covariance_is_that_of_the_weighted_analysis`, "
        "`test_linear_gaussian_posterior`",
    ),
    (
        "a root that is not symmetric, L⁻ᵀ, moves the mean of the members",
        "`test_4denvar_members_stay_around_the_estimate`, `test_linear_gaussian_posterior`",
    ),
    (
        "the gradient leaves out the background",
        "`test_4denvar_gradient_is_that_of_its_cost`; iterated: `test_linear_gaussian_posterior`",
    ),
    ("σ² is taken for σ", "`test_4denvar_takes_sigma_for_a_standard_deviation`"),
    ("members beyond their bounds", "`test_4denvar_members_stay_within_bounds`"),
    (
        "matrices of the size of the observations squared",
        "`test_4denvar_makes_nothing_as_large_as_the_observations_squared`",
    ),
    ("a global generator of random numbers", "`test_the_seed_alone_decides`"),
    (
        "(ours, found by the two pools) a step is halved however little J rose, and never ends",
        "`test_a_twin_of_two_pools`, `test_the_epidemic_s_posterior`",
    ),
)


def pitfalls() -> Lines:
    """Mistakes of published codes of 4DEnVar, and what would catch them."""
    return [
        "## Mistakes in published codes of 4DEnVar",
        "",
        "Each was put into the code by hand, and the tests beside it failed.",
        "",
        "| mistake | caught by |",
        "| --- | --- |",
        *(f"| {mistake} | {test} |" for mistake, test in PITFALLS),
        "",
    ]


SECTIONS: Mapping[str, Callable[[], Lines]] = {
    "linear": linear,
    "certified": certified,
    "optima": optima,
    "epidemic": epidemic,
    "pools": pools,
    "forcing": forcing,
    "cycles": cycles,
    "screening": screening,
    "pitfalls": pitfalls,
}


def page(parts: Sequence[Lines]) -> str:
    """The whole page."""
    head = [
        "# Oracles: answers that are known",
        "",
        "Problems of the field whose answer is published, in closed form, or found by quadrature, "
        "through the same calls as every other problem. The models are in "
        "`tests/oracle_models.py`; `tests/estimation/test_oracles.py` holds caliche to them.",
        "",
        "Written by `python scripts/oracles.py --out docs/results/oracles.md` with "
        + ", ".join(f"{name} {version(name)}" for name in ("caliche", "jax", "numpy"))
        + ".",
        "",
    ]
    return "\n".join([*head, *(line for part in parts for line in part)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--out", type=Path, help="a Markdown file; default: the terminal")
    options = parser.parse_args()
    parts = []
    for name in options.only:
        began = time.perf_counter()
        parts.append(SECTIONS[name]())
        print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    text = page(parts)
    if options.out is None:
        print(text)
    else:
        options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

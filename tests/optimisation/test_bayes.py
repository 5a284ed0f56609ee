"""Bayesian optimisation on Branin's function, with and without slopes, and where runs fail."""

from __future__ import annotations

import re

import numpy as np
import pytest

from caliche.emulators.rows import NEAREST
from caliche.errors import InputError
from caliche.estimation import estimate
from caliche.estimation.ensemble.ask_tell import AskTell
from caliche.estimation.ensemble.engine import Engine
from caliche.optimisation.bayes import Bayes, BayesState
from caliche.optimisation.surrogate import Bend, nearest
from caliche.problems.inverse import InverseProblem
from oracle_models import Branin


def evaluations(problem: InverseProblem, seed: int, **options) -> tuple[np.ndarray, float]:
    """J after each run, and at the end."""
    method = Bayes(**options)
    start = problem.space.draw_starts(10, 0)[seed : seed + 1]
    found = method.search(problem, start, seed=seed)
    way = found.history.misfit[0]
    first = 1 + problem.space.size + 2 - 1  # runs of the design are one iteration
    return np.concatenate([np.full(first - 1, np.nan), way]), float(found.final.cost[0])


def test_with_slopes_branin_is_at_its_minimum_after_eighteen_runs():
    result = estimate(Branin.problem(), "bo", seed=0)
    assert result.converged
    # The design of four is one iteration; `lm` does not make again what is known.
    assert result.misfit[0, : 18 - 3].min() < 1e-6
    assert result.n_model_runs == 3 * (result.n_iterations + 3)  # two tangents each
    found = np.array([result.parameters["x"].estimate, result.parameters["y"].estimate])
    assert np.linalg.norm(Branin.optima - found, axis=1).min() < 1e-3
    assert "It began at the best run of bo: no run is expected to lower the misfit" in result.reason
    assert "by its emulator the lowest J within the ranges is" in result.reason


@pytest.mark.ci
@pytest.mark.parametrize("seed", range(1, 4))
def test_from_other_seeds_too(seed):
    way, last = evaluations(Branin.problem(), seed)
    assert np.nanmin(way[:18]) < 1e-6
    assert last < 1e-12


@pytest.mark.ci
def test_by_values_branin_is_within_a_twentieth_after_25_runs():
    state = by_values(25, seed=2)
    assert len(state.cost) <= 25
    assert state.cost.min() < 0.05


def by_values(budget: int, seed: int, **options) -> BayesState:
    """The state of a search by values alone, which stops at its budget or where nothing is left."""
    problem = Branin.problem()
    method = Bayes(budget=budget, gradients="never", tolerance=1e-12, **options)
    engine = Engine(method, problem.space, np.asarray(problem.space.initial()), seed)
    runner = method.runner(problem)
    while engine.verdict is None:
        engine.tell(*runner.run(engine.ask()))
    assert re.search("stopped at the limit|no run is likely to lower", engine.verdict.reason)
    return engine.state


@pytest.mark.ci
def test_no_two_runs_are_nearer_than_a_fiftieth_of_a_length_scale_and_batches_are_spread():
    state = by_values(14, seed=1, parallel=4)
    assert len(state.cost) <= 14
    # Flat priors: straight in physical values. Of the last run nothing is learned.
    x = (2.0 / (1.0 + np.exp(-state.u)) - 1.0)[:-1]
    scales = np.exp(state.log_theta[:-2])
    apart = [nearest(x[k], x[:k], scales) for k in range(1, len(x))]
    # Length-scales of later runs are others.
    assert min(apart) > 0.5 * NEAREST
    assert np.isfinite(state.minimum).all()
    assert state.minimum[0] <= state.minimum[1] <= state.minimum[2]


@pytest.mark.ci
def test_in_a_trust_region_runs_stay_about_the_best():
    state = by_values(14, seed=1, trust_region="always", side=0.1)
    x = 2.0 / (1.0 + np.exp(-state.u)) - 1.0
    shape = np.exp(state.log_theta[:-2] - state.log_theta[:-2].mean())
    design = int(state.first)
    for k in range(design, 13):
        best = x[int(np.argmin(state.cost[:k]))]
        # The region never doubles twice in so few runs; scales differ a little by then.
        assert np.all(np.abs(x[k] - best) < 2.0 * 4.0 * 0.1 * shape)
    assert state.side < 0.8


def test_a_misfit_is_bent_so_that_a_million_is_no_more_than_far():
    values = np.array([3.0, 5.0, 1e6, 4.0, np.inf])
    bend = Bend.of(values, 4)
    assert (bend.lowest, bend.size) == (3.0, 4.5)
    np.testing.assert_allclose(bend(values[:1]), 0.0)
    np.testing.assert_allclose(bend.back(bend(values[:4])), values[:4])
    step = 1e-4
    slope = (bend(values[1:2] + step) - bend(values[1:2] - step)) / (2.0 * step)
    np.testing.assert_allclose(slope, bend.slope(values[1:2]), rtol=1e-8)
    # Where all are alike there is nothing to bend by.
    assert Bend.of(np.array([2.0, 2.0]), 2).size == 1.0


def job(**options) -> AskTell:
    return AskTell("bo", Branin.problem().space, np.zeros(2), 1.0, seed=0, budget=10, **options)


def model(members: np.ndarray) -> np.ndarray:
    """Residuals (k, 2) of Branin's function, NaN where it fails."""
    x, y = members.T
    parabola = y - 5.1 / (4.0 * np.pi**2) * x**2 + 5.0 / np.pi * x - 6.0
    wave = np.sqrt(20.0 * (1.0 - 0.125 / np.pi)) * np.cos(0.5 * x)
    seen = np.sqrt(2.0) * np.stack([parabola, wave], axis=1)
    seen[x < 0.0] = np.nan
    return seen


def test_runs_that_fail_count_as_bad_and_stopped_is_as_never_stopped(tmp_path):
    whole, lost = job(), 0
    while not whole.done:
        members = whole.ask()
        lost += int((members[:, 0] < 0.0).sum())
        whole.tell(model(members))
    found = whole.result()
    assert found.n_failed == lost > 0
    assert found.estimate["x"] > 0.0
    assert np.isfinite(found.misfits[-1])
    state, done = tmp_path / "state.npz", False
    while not done:
        part = job()
        if state.exists():
            part.restore(state)
        before = part.iteration
        while part.iteration == before and not part.done:
            part.tell(model(part.ask()))
        part.save(state)
        done = part.done
    other = part.result()
    assert other.estimate == found.estimate
    assert other.reason == found.reason
    np.testing.assert_array_equal(other.misfits, found.misfits)


def test_no_run_that_gives_numbers_is_refused():
    alone = job()
    with pytest.raises(InputError, match="a run that gives finite numbers"):
        alone.tell(np.full((len(alone.ask()), 2), np.nan))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"parallel": 9}, "parallel of 1 to 8 runs"),
        ({"budget": 3}, "budget of at least 5 runs"),
        ({"gradients": "sometimes"}, "auto, always or never for gradients"),
        ({"trust_region": "maybe"}, "auto, always or never for trust_region"),
        ({"tolerance": 0.0}, "tolerance above 0"),
    ],
)
def test_options_that_cannot_be(options, said):
    with pytest.raises(InputError, match=said):
        Bayes(**options)

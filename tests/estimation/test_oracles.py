"""Published and computed answers of the field, through `caliche.estimate` and nothing else.

The slow ones, and their numbers, are in docs/results/oracles.md (`scripts/oracles.py`).
"""

from __future__ import annotations

import functools

import jax.numpy as jnp
import numpy as np
import pytest

from caliche.estimation import Result, estimate
from caliche.estimation.density import degrees_of_freedom
from caliche.estimation.ensemble.kalman import (
    EnsembleKalmanInversion,
    EnsembleTransformKalmanInversion,
)
from caliche.estimation.optima import Optimum, optima_note
from caliche.models.base import Model
from caliche.problems.inverse import InverseProblem
from oracle_cycles import (
    climate,
    ensemble_filter,
    ensemble_smoother,
    lorenz_63,
    optimal_interpolation,
    variational,
)
from oracle_models import (
    CELLS,
    Branin,
    Epidemic,
    LorenzForcing,
    TwoPools,
    lorenz_run,
    predict,
    state_problem,
)
from problems import LinearGaussian, product_problem


def values(result: Result) -> np.ndarray:
    return np.array([result.parameters[name].estimate for name in result.names])


def sds(result: Result) -> np.ndarray:
    return np.array([result.parameters[name].sd_naive for name in result.names])


def members_of(name: str, n: int) -> dict:
    """So many runs an iteration with every method, so that they share a compiled program."""
    return {
        "etki": {"members": n},
        "eki": {"members": n},
        "uki": {},
        "lm": {},
        "4denvar": {"members": n - 1, "iterated": True, "max_iterations": 60},
    }[name]


def slowly(name: str):
    return pytest.param(name, marks=pytest.mark.slow)


def test_an_oracle_is_an_ordinary_model():
    for problem in (Epidemic.problem(), LorenzForcing.window(0.2), state_problem(1, np.eye(CELLS))):
        assert isinstance(problem.model, Model)


# -- several optima ------------------------------------------------------------------------------


def test_many_starts_name_the_three_optima_of_branin():
    """Where they are, how many starts found each, and a verdict that says three."""
    result = estimate(Branin.problem(), starts=16, seed=2)
    assert result.converged
    assert len(result.optima) == 3
    assert sum(optimum.starts for optimum in result.optima) == 16
    found = np.array([[o.estimate["x"], o.estimate["y"]] for o in result.optima])
    order = np.argsort(found[:, 0])
    np.testing.assert_allclose(found[order], Branin.optima, atol=1e-6)
    for optimum in result.optima:
        assert optimum.misfit + Branin.lowest == pytest.approx(0.39788735772974, abs=1e-12)
    assert dict(result.optima[0].estimate) == dict(zip("xy", values(result), strict=True))
    (verdict,) = [text for text in result.warnings if "optima" in text]
    assert verdict.startswith("The starts found three optima that fit the data about equally well:")
    for place in ("x = -3.142, y = 12.2", "x = 3.142, y = 2.275 (", "x = 9.425, y = 2.475 ("):
        assert place in verdict


def test_what_is_said_of_optima():
    """Those within 1.92 of the lowest J are rivals; only what differs between them is named."""
    places = [
        ({"a": 1.0, "b": 5.0}, 10.0),
        ({"a": 3.0, "b": 5.1}, 11.0),
        ({"a": 9.0, "b": 5.0}, 14.0),
    ]
    optima = [Optimum(values, misfit, 2) for values, misfit in places]
    (text,) = optima_note(optima, {"a": 0.5, "b": 0.5, "c": None})
    assert text.startswith(
        "The starts found two optima that fit the data about equally well: a = 1 (2 starts); a = 3 "
    )
    assert optima_note(optima[:1], {"a": 0.5}) == ()
    assert optima_note([optima[0], optima[2]], {"a": 0.5}) == ()
    assert optima_note((), {"a": 0.5}) == ()


def test_a_valley_is_no_collection_of_optima():
    """a b = 6: every start ends at another a and b, and none of them is an optimum of its own."""
    problem = product_problem()
    controls = [problem.space.to_whitened({"a": a, "b": 2.0, "c": 0.0}) for a in (1.0, 4.0, 9.0)]
    result = estimate(problem, starts=jnp.stack(controls))
    ends = [start.estimate["a"] for start in result.starts]
    assert np.ptp(ends) > 0.5
    assert result.optima == ()
    assert not any("optima" in text for text in result.warnings)


# -- linear and Gaussian -------------------------------------------------------------------------


@pytest.mark.slow
def test_degrees_of_freedom_for_signal():
    problem = LinearGaussian.problem()
    assert degrees_of_freedom(problem, np.zeros(2)) == pytest.approx(1.9738741944557, abs=1e-12)


# -- an epidemic ---------------------------------------------------------------------------------


@functools.cache
def epidemic() -> InverseProblem:
    return Epidemic.problem()


@functools.cache
def epidemic_posterior() -> tuple[np.ndarray, np.ndarray]:
    return Epidemic.posterior(epidemic(), 32)


def test_the_middle_of_the_epidemic():
    middle = {name: jnp.array([sum(ends) / 2.0]) for name, ends in Epidemic.bounds.items()}
    found = np.asarray(predict(epidemic(), middle))[0, -1]
    np.testing.assert_allclose(found, Epidemic.middle, rtol=0, atol=5e-5)
    assert found.sum() == pytest.approx(1000.0, rel=1e-12)  # nobody is lost


@pytest.mark.parametrize("name", ["etki", "eki", "4denvar", slowly("uki")])
def test_the_epidemic_s_posterior(name):
    """Against quadrature: a curved posterior, in which one of three parameters is hardly seen."""
    mean, sd = epidemic_posterior()
    result = estimate(epidemic(), name, seed=1, **members_of(name, 60))
    assert result.converged
    assert np.all(np.abs(result.ensemble.physical.mean(axis=0) - mean) < 0.25 * sd)
    np.testing.assert_allclose(sds(result), sd, rtol=0.2)
    for parameter, (low, high) in Epidemic.box.items():
        assert low < result.parameters[parameter].estimate < high


@pytest.mark.slow
def test_what_is_not_ruled_out_of_the_epidemic():
    from scipy.stats import qmc

    low, high = np.array(list(Epidemic.bounds.values())).T
    sets = qmc.scale(qmc.Sobol(3, seed=0).random_base2(18), low, high)
    worst = np.sort(Epidemic.implausibility(epidemic(), sets), axis=1)
    assert np.mean(worst[:, 2] < 3.0) == pytest.approx(Epidemic.share, abs=2e-5)
    assert np.mean(worst[:, 1] < 3.0) == pytest.approx(Epidemic.share_of_second, abs=1e-4)
    left = sets[worst[:, 2] < 3.0]
    for k, ends in enumerate(Epidemic.box.values()):
        np.testing.assert_allclose([left[:, k].min(), left[:, k].max()], ends, atol=1.1e-3)


# -- two pools of carbon -------------------------------------------------------------------------


@functools.cache
def pools() -> tuple[InverseProblem, np.ndarray]:
    return TwoPools.problem()


def test_two_pools_stand_still():
    model, truth = TwoPools.model(), {n: jnp.asarray(v) for n, v in TwoPools.truth.items()}
    slope = model.slope(truth, {"productivity": jnp.asarray(1.0)}, jnp.asarray(TwoPools.steady))
    np.testing.assert_allclose(slope, 0.0, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ["lm", "etki", "eki", "4denvar"])
def test_a_twin_of_two_pools(name):
    """Truth inside the intervals, and the error of the trajectory down by 95 % or more."""
    problem, truth = pools()
    result = estimate(problem, name, seed=1, **members_of(name, 40))
    # Two rates lie near a bound: the ensembles are good enough for the trajectory, and say that
    # they are not the posterior.
    assert result.converged == (name == "lm")
    assert result.converged or "do not stand for the posterior" in result.reason
    for parameter, true in TwoPools.truth.items():
        low, high = result.parameters[parameter].interval
        assert low < true < high
    found = dict(zip(result.names, values(result), strict=True))
    assert np.all(TwoPools.improvement(problem, truth, found) > 0.95)


# -- Lorenz-96 -----------------------------------------------------------------------------------


def test_the_energy_of_lorenz_96():
    """Without forcing and damping it is kept: d/dt |x|^2 = 0."""
    x = np.random.default_rng(0).standard_normal((3, CELLS))
    after = lorenz_run(x, 20, 0.0, 0.0)[-1]
    np.testing.assert_allclose((after**2).sum(axis=1), (x**2).sum(axis=1), rtol=1e-5)


@pytest.mark.parametrize("name", [slowly("lm"), "eki", slowly("4denvar")])
def test_the_forcing_of_lorenz_96_from_a_window(name):
    """Forcing and damping, against quadrature."""
    problem = LorenzForcing.window()
    mean, sd = LorenzForcing.posterior(problem, 31)
    result = estimate(problem, name, seed=1, **members_of(name, 60))
    assert result.converged
    assert np.all(np.abs(values(result) - mean) < 0.3 * sd)
    np.testing.assert_allclose(sds(result), sd, rtol=0.05 if name in ("lm", "4denvar") else 0.7)
    assert np.all(np.abs(values(result) - [8.0, 1.0]) < 2.0 * sd)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["etki", "eki", "uki"])
def test_the_forcing_of_lorenz_96_from_its_climate(name):
    """From two means, where no trajectory can be followed: forcing <x> = <x^2> in the mean."""
    problem, seen, _ = LorenzForcing.statistics()
    result = estimate(problem, name, seed=1, **members_of(name, 30))
    assert result.converged
    found = result.parameters["forcing"]
    assert abs(found.estimate - 8.0) < 2.0 * found.sd
    assert abs(found.estimate - seen[1] / seen[0]) < found.sd
    assert found.sd < 0.25


def test_a_filter_made_of_etki_steps():
    """Sakov and Oke (2008): 0.18, within a tenth."""
    method = EnsembleTransformKalmanInversion(steps=1, inflation=1.013)
    assert ensemble_filter(method, 24, 1000) == pytest.approx(0.18, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lag", "scale", "score"), [(1, 0.2, 0.46), (2, 0.1, 0.39), (4, 0.02, 0.37)]
)
def test_4d_var_by_lm(lag, scale, score):
    found, unfinished = variational(lag, scale * np.eye(CELLS), 500)
    assert unfinished == 0
    assert found == pytest.approx(score, rel=0.1)


@pytest.mark.slow
def test_other_scores_of_lorenz_s_systems():
    mean, covariance = climate()
    variance = np.trace(covariance) / CELLS
    assert np.sqrt(variance) == pytest.approx(3.6, abs=0.05)
    assert 8.0 * mean.mean() == pytest.approx(variance + np.mean(mean**2), rel=1e-3)
    assert optimal_interpolation(1000) == pytest.approx(0.95, rel=0.03)
    assert variational(0, 0.02 * covariance, 1000, every=1)[0] == pytest.approx(0.41, rel=0.1)
    method = EnsembleKalmanInversion(steps=1, inflation=1.06)
    assert ensemble_filter(method, 40, 600, rotate=False) == pytest.approx(0.22, rel=0.1)
    start = lorenz_63(np.ones(3), 2000)[-1]
    method = EnsembleTransformKalmanInversion(steps=1, inflation=1.02)
    found = ensemble_filter(method, 10, 2000, 25, lorenz_63, start, np.sqrt(2.0))
    assert found == pytest.approx(0.60, rel=0.15)
    score, unfinished = ensemble_smoother(4, 20, 1.05, 300)
    assert score == pytest.approx(0.31, rel=0.15)
    assert unfinished < 5

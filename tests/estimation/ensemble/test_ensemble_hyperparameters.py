"""Sizes and memory of errors, and smoothness, with ensembles and searches: against the marginal
likelihood of a linear problem."""

from __future__ import annotations

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np
import pytest

from caliche.estimation import estimate
from caliche.estimation.hyperparameters import SETTLED, Unknown, estimate_hyperparameters
from caliche.estimation.information import with_information
from caliche.files.checkpoint import Checkpoint
from caliche.models.base import ParameterDeclaration
from caliche.observations import Observations, Stream, make_operator
from caliche.parameters import Normal, ParameterSpace, random_walk
from caliche.parameters.space import free_parameter
from caliche.problems.inverse import InverseProblem
from problems import SEEN, Formula

DAYS = np.arange(121) / 10.0
KNOTS = np.arange(0.0, 13.0, 2.0)
LEVEL = ParameterDeclaration("level", "level", "1", 0.0, -100.0, 100.0, "a test")
MODEL = Formula(lambda params, forcing: params["level"] + forcing["offset"], (LEVEL,), ("offset",))
SPACE = ParameterSpace.build(
    [LEVEL],
    {"level": free_parameter(LEVEL, Normal(0.0, 10.0))},
    {},
    {"level": random_walk(DAYS, list(KNOTS), [f"{k:g}" for k in KNOTS], "linear", 0.1)},
)
ALL = Unknown(smoothness=("level",), sigma=(SEEN,), autocorrelation=(SEEN,))


def problem() -> InverseProblem:
    """A level that wanders between seven knots, seen with errors that remember each other."""
    generator = np.random.default_rng(5)
    steps = np.concatenate([[0.0], np.cumsum(generator.normal(size=len(KNOTS) - 1))])
    error = generator.normal(size=len(DAYS))
    for k in range(1, len(DAYS)):
        error[k] = 0.5 * error[k - 1] + np.sqrt(0.75) * error[k]
    observed = np.interp(DAYS, KNOTS, 2.0 + steps) + 0.3 * error
    return InverseProblem(
        MODEL,
        {"offset": jnp.zeros(len(DAYS))},
        make_operator(MODEL, [Stream(SEEN)]),
        Observations.from_series({SEEN: observed}, {SEEN: 1.0}),
        SPACE,
    )


@functools.cache
def marginal_likelihood():
    return estimate_hyperparameters(problem(), problem().space.initial(), ALL)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("etki", {"members": 30}),
        ("4denvar", {"members": 30, "iterated": True}),
        pytest.param("cma", {}, marks=pytest.mark.slow),
    ],
)
def test_they_are_those_of_the_marginal_likelihood(method, options):
    """A linear model with Gaussian priors: an ensemble's equations are those of the curvature."""
    exact, u, one = marginal_likelihood()
    found = estimate(problem(), method, unknown=ALL, **options)
    assert found.converged, found.reason
    assert "have settled after" in found.reason
    other = found.hyperparameters
    assert 3 < other.n_iterations < 20
    assert other.sigma[SEEN] != pytest.approx(1.0, rel=0.3)
    for what in ("sigma", "smoothness", "spent"):
        for name, value in getattr(one, what).items():
            assert getattr(other, what)[name] == pytest.approx(value, rel=3 * SETTLED), what
    assert other.autocorrelation[SEEN] == pytest.approx(one.autocorrelation[SEEN], abs=SETTLED)
    values = np.asarray(exact.space.vector(jnp.asarray(u)))
    sd = np.array([found.parameters[name].sd_naive for name in found.names])
    estimates = np.array([found.parameters[name].estimate for name in found.names])
    np.testing.assert_array_less(np.abs(estimates - values), 0.1 * sd)
    assert found.n_model_runs > other.n_iterations * len(u)


@pytest.mark.parametrize("information", ["weights", "bars"])
@pytest.mark.parametrize(
    ("method", "options"), [("lm", {}), ("etki", {"members": 30}), ("ga", {"max_iterations": 3})]
)
def test_every_method_has_one_misfit(method, options, information):
    """J is that of weights and priors; the share and the term of the information are not in it."""
    found = estimate(problem(), method, unknown=Unknown(information=information), **options)
    told = found.hyperparameters.information
    assert told.share < 0.9
    j = with_information(problem(), told, whole=False).cost(jnp.asarray(found.u))
    best = min(start.misfit for start in found.starts)
    assert best == pytest.approx(float(j), rel=1e-9)
    assert found.misfit[0, -1] == pytest.approx(best, rel=0.05)
    parts = sum(r.cost for r in found.residuals.values()) + found.prior_cost
    assert parts == pytest.approx(best, rel=1e-9)


def test_every_round_goes_on_from_where_it_was_stopped(tmp_path):
    """To the last bit, from within a later round; the state of another problem is refused."""

    def run(path, resume=False, callback=None):
        return estimate(
            problem(),
            "eki",
            unknown=ALL,
            seed=2,
            members=20,
            callback=callback,
            checkpoint=Checkpoint(tmp_path / path, resume),
        )

    seen = []
    whole = run("whole.npz", callback=lambda *now: seen.append(now[0]))
    assert seen == sorted(set(seen))
    later = len(seen) - 2

    def stop(iteration, *_):
        if iteration == seen[later]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run("part.npz", callback=stop)
    assert (tmp_path / "part.1.npz").is_file()
    runs = []
    again = run("part.npz", resume=True, callback=lambda *now: runs.append(now[0]))
    assert len(runs) < len(seen) / 2
    np.testing.assert_array_equal(again.u, whole.u)
    one, other = (dataclasses.replace(r.hyperparameters, log_evidence=0.0) for r in (whole, again))
    assert one == other
    assert again.n_model_runs == whole.n_model_runs
    assert again.converged == whole.converged

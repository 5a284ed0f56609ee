"""Many starts: where they are drawn, which one wins, and what happens to those that fail."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from caliche.errors import InputError
from caliche.estimation import estimate
from caliche.models.base import ParameterDeclaration
from caliche.parameters import Flat, FreeParameter, LogNormal, Normal, ParameterSpace
from problems import LinearGaussian, line_problem, make_problem, root_problem

X = np.linspace(-1.0, 1.0, 20)
LINE = line_problem(X, 2.0 + X + 0.1 * np.cos(3.0 * np.arange(20.0)), 0.1)


def test_a_failed_start_neither_wins_nor_kills():
    problem = root_problem()
    controls = [problem.space.to_whitened({"a": a}) for a in (-0.5, 2.0, -0.1, 8.0)]
    result = estimate(problem, starts=jnp.stack(controls))
    assert [start.status.split(":")[0] for start in result.starts] == [
        "failed",
        "converged",
        "failed",
        "converged",
    ]
    assert [start.converged for start in result.starts] == [False, True, False, True]
    assert result.converged
    assert result.parameters["a"].estimate == pytest.approx(4.0, rel=1e-6)
    assert any("no finite misfit from 2 of 4 starts" in warning for warning in result.warnings)
    assert result.starts[0].estimate["a"] == pytest.approx(-0.5)  # it stays where it was


@pytest.mark.parametrize("method", ["lm", "adam"])
def test_every_start_fails(method):
    problem = root_problem()
    controls = [problem.space.to_whitened({"a": a}) for a in (-0.5, -0.2)]
    result = estimate(problem, method, starts=jnp.stack(controls))
    assert not result.converged
    assert result.reason == "failed: the model gave no finite misfit, from any start"
    assert np.isnan(result.parameters["a"].sd)
    assert result.n_iterations == 1


@pytest.mark.parametrize("method", ["lm", "etki"])
def test_the_cost_is_that_of_streams_and_priors(method):
    problem = LinearGaussian.problem()
    result = estimate(problem, method, **({"members": 10} if method == "etki" else {}))
    terms = [r.cost for r in result.residuals.values()]
    assert sum(terms) + result.prior_cost == pytest.approx(result.starts[0].misfit, rel=1e-9)
    assert result.prior_cost > 0.0
    assert all(cost > 0.0 for cost in terms)


def test_stopped_early():
    result = estimate(LinearGaussian.problem(), max_iterations=2)
    assert not result.converged
    assert result.n_iterations == 2
    assert result.reason.startswith("stopped at the limit of iterations before it converged")
    assert "standard deviations" in result.reason


def test_callback_sees_every_iteration():
    seen: list[tuple[int, float, int]] = []
    result = estimate(LINE, starts=jnp.zeros((3, 2)), callback=lambda *news: seen.append(news))
    assert [news[0] for news in seen] == list(range(1, result.n_iterations + 1))
    misfits = [news[1] for news in seen]
    assert misfits == sorted(misfits, reverse=True)
    assert [news[2] for news in seen][-1] == 0
    assert seen[0][2] == 3


def test_starts_as_an_array_begin_where_they_are_put():
    controls = jnp.array([[0.5, -1.0], [3.0, 4.0], [-20.0, 30.0]])
    result = estimate(LINE, starts=controls)
    np.testing.assert_allclose(result.trajectory[:, 0], controls)  # flat without bounds: u = value
    assert [start.initial["slope"] for start in result.starts] == [-1.0, 4.0, 30.0]
    ends = [start.misfit for start in result.starts]
    np.testing.assert_allclose(ends, ends[0], rtol=1e-9)
    assert [optimum.starts for optimum in result.optima] == [3]  # one, found three times
    assert result.optima[0].misfit == min(ends)


def spread_problem():
    return line_problem(X, 2.0 + X, 0.1, intercept=Flat(-5.0, 5.0), slope=Normal(0.0, 2.0))


def test_seed_decides():
    once, again, other = (
        estimate(spread_problem(), starts=3, seed=seed, max_iterations=3) for seed in (7, 7, 8)
    )
    np.testing.assert_array_equal(once.trajectory, again.trajectory)
    np.testing.assert_array_equal(once.covariance, again.covariance)
    assert once.seed == 7
    np.testing.assert_array_equal(once.trajectory[0, 0], other.trajectory[0, 0])  # the first guess
    assert not np.any(once.trajectory[1:, 0] == other.trajectory[1:, 0])


def test_starts_are_drawn_from_range_prior_or_bounds():
    priors = {
        "ranged": (Normal(0.0, 1.0), (2.0, 3.0)),
        "bounded": (Flat(-5.0, 10.0), None),
        "normal": (Normal(1.0, 2.0), None),
        "truncated": (Normal(1.0, 2.0, 0.0, 2.0), None),
        "log": (LogNormal(3.0, 1.0), None),
    }
    free = {
        name: FreeParameter(
            ParameterDeclaration(name, name, "1", 2.5, prior.lower, prior.upper, "a test"),
            prior,
            1.5 if start is None else 2.5,
            start,
        )
        for name, (prior, start) in priors.items()
    }
    space = ParameterSpace.build([p.declaration for p in free.values()], free, {})
    number = 401
    controls = space.draw_starts(number, seed=1)
    drawn = np.stack([np.asarray(space.vector(u)) for u in controls])
    np.testing.assert_allclose(drawn[0], [2.5, 1.5, 1.5, 1.5, 1.5])
    by_name = dict(zip(space.names, drawn[1:].T, strict=True))
    for name, (low, high) in {"ranged": (2, 3), "bounded": (-5, 10), "truncated": (0, 2)}.items():
        values = np.sort(by_name[name])
        assert low < values[0]
        assert values[-1] < high
        if name != "truncated":  # evenly spread: one value in each of the equal parts
            part = np.floor((values - low) / (high - low) * (number - 1))
            np.testing.assert_array_equal(part, np.arange(number - 1))
    assert by_name["normal"].mean() == pytest.approx(1.0, abs=0.02)
    assert by_name["normal"].std() == pytest.approx(2.0, rel=0.02)
    assert by_name["log"].mean() == pytest.approx(3.0, rel=0.02)
    assert by_name["log"].std() == pytest.approx(1.0, rel=0.05)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "lmm"}, "did you mean 'lm'"),
        ({"starts": 0}, "at least one start"),
        ({"starts": jnp.zeros((2, 3))}, r"starts of shape \(number of starts, 2\)"),
        ({"max_iterations": 0}, "at least one iteration"),
    ],
)
def test_impossible_requests(arguments, message):
    with pytest.raises(InputError, match=message):
        estimate(LINE, **arguments)


@pytest.mark.parametrize(("noise", "arrives"), [(1e-8, True), (1e-4, False)])
def test_a_search_that_the_noise_of_the_model_stops(noise, arrives):
    """Arrived where next to nothing is left; stalled where more is."""
    t = np.linspace(0.1, 1.0, 200)

    def function(p, f):
        jitter = jax.lax.stop_gradient(jnp.sin(1e9 * p["a"]))
        return jnp.sin(2.0 * p["a"] * f["t"]) + noise * jitter

    problem = make_problem(
        function, {"a": Flat(0.0, 2.0)}, {"a": 0.5}, {"t": t}, np.cos(17.0 * t) + t, sigma=0.01
    )
    result = estimate(problem, starts=1)
    assert result.converged is arrives, result.reason
    if arrives:
        assert result.reason.endswith("and no step lowers the misfit any more")
    else:
        assert result.reason.startswith("stalled")

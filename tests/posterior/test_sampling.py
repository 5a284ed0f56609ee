"""NUTS against posteriors in closed form; diagnostics against ArviZ; going on after a stop."""

from __future__ import annotations

import sys

import jax.numpy as jnp
import numpy as np
import pytest

from caliche.errors import InputError
from caliche.estimation import estimate
from caliche.parameters import Flat
from caliche.posterior import chains
from caliche.posterior.sampling import Samples, Settings, sample
from caliche.problems.inverse import InverseProblem
from problems import LinearGaussian, Rosenbrock, make_problem, with_observed

SHORT = Settings(warmup=60, draws=60)


def draw(problem: InverseProblem, settings: Settings) -> Samples:
    pytest.importorskip("blackjax")
    return sample(problem, estimate(problem, "lm").u, settings)


def test_a_linear_gaussian_posterior():
    samples = draw(LinearGaussian.problem(), Settings(warmup=300, draws=1500))
    w = samples.physical.reshape(-1, 2)
    x = LinearGaussian.mean + w @ LinearGaussian.root.T
    sd = np.sqrt(np.diag(LinearGaussian.covariance))
    effective = min(samples.ess_bulk.values())
    assert effective > 1500
    # Five Monte Carlo standard errors.
    assert (np.abs(x.mean(axis=0) - LinearGaussian.estimate) / sd < 5.0 / np.sqrt(effective)).all()
    scaled = (np.cov(x.T) - LinearGaussian.covariance) / np.outer(sd, sd)
    assert np.abs(scaled).max() < 5.0 * np.sqrt(2.0 / effective)
    assert samples.usable
    assert samples.verdict.startswith("The 4 chains agree: largest R-hat 1.0")
    assert samples.diverging.sum() == 0
    assert samples.n_gradients > samples.n_steps.sum()


def test_a_flat_prior_is_uniform_in_its_parameter():
    """Nothing is seen of b: what comes back is its prior between the bounds."""
    problem = make_problem(
        lambda p, f: f["x"] * p["a"] + 0.0 * p["b"],
        {"a": Flat(), "b": Flat(10.0, 50.0)},
        {"a": 0.1, "b": 12.0},
        {"x": np.ones(4)},
        np.ones(4),
    )
    samples = draw(problem, Settings(warmup=200, draws=2000))
    b = np.sort(samples.physical[:, :, 1].ravel())
    expected = 10.0 + 40.0 * (np.arange(len(b)) + 0.5) / len(b)
    effective = min(samples.ess_bulk["b"], samples.ess_tail["b"])
    # Kolmogorov's statistic: beyond 2 / sqrt(n) once in a thousand times.
    assert np.abs(b - expected).max() / 40.0 < 2.0 / np.sqrt(effective)
    a = samples.physical[:, :, 0]
    assert a.mean() == pytest.approx(1.0, abs=5 * 0.5 / np.sqrt(samples.ess_bulk["a"]))
    assert a.std() == pytest.approx(0.5, rel=0.1)


def test_a_banana():
    """a ~ N(1, 1) and b = a^2 + N(0, 1): E b = 2, var b = 7."""
    problem = make_problem(
        lambda p, f: jnp.where(f["which"] > 0.5, p["a"] - 1.0, p["b"] - p["a"] ** 2),
        {"a": Flat(), "b": Flat()},
        {"a": 0.5, "b": 0.5},
        {"which": np.arange(2.0)},
        np.zeros(2),
    )
    samples = draw(problem, Settings(warmup=400, draws=2500, target=0.9))
    a, b = samples.physical.reshape(-1, 2).T
    for values, mean, sd, size in (
        (a, 1.0, 1.0, samples.ess_bulk["a"]),
        (b, 2.0, np.sqrt(7.0), samples.ess_bulk["b"]),
    ):
        assert size > 300
        assert values.mean() == pytest.approx(mean, abs=5.0 * sd / np.sqrt(size))
        assert values.std() == pytest.approx(sd, rel=0.15)


def test_what_it_cannot_follow_is_not_called_usable():
    samples = draw(Rosenbrock.problem(), Settings(warmup=100, draws=100, max_doublings=5))
    assert not samples.usable
    assert samples.verdict.startswith("Use with care: ")
    assert "sample longer" in samples.verdict


class Stop(Exception):
    pass


def test_a_stopped_run_goes_on_identically(tmp_path):
    pytest.importorskip("blackjax")
    problem = LinearGaussian.problem()
    u = estimate(problem, "lm").u
    seen = []
    whole = sample(problem, u, SHORT, callback=lambda *now: seen.append(now), piece=25)
    assert [done for done, _, _ in seen] == [25, 50, 75, 100, 120]

    def stop(done: int, *_: int) -> None:
        if done >= 50:
            raise Stop

    checkpoint = tmp_path / "kept.npz"
    with pytest.raises(Stop):
        sample(problem, u, SHORT, checkpoint, stop, piece=25)
    assert [p.name for p in tmp_path.iterdir()] == ["kept.npz"]
    seen.clear()
    again = sample(problem, u, SHORT, checkpoint, lambda *now: seen.append(now), piece=25)
    assert [done for done, _, _ in seen] == [75, 100, 120]
    for name in ("u", "log_density", "energy", "n_steps", "step_size", "acceptance_rate"):
        np.testing.assert_array_equal(getattr(again, name), getattr(whole, name), err_msg=name)

    # A checkpoint of other data, of other settings, or cut short is not gone on with.
    other = with_observed(problem, np.asarray(problem.observations.values) + 1.0)
    for change in ("data", "seed", "cut"):
        seen.clear()
        if change == "cut":
            checkpoint.write_bytes(checkpoint.read_bytes()[:100])
        sample(
            other if change == "data" else problem,
            u,
            Settings(warmup=60, draws=60, seed=int(change == "seed")),
            checkpoint,
            lambda *now: seen.append(now),
            piece=25,
        )
        assert [done for done, _, _ in seen] == [25, 50, 75, 100, 120], change


def test_another_seed_draws_otherwise():
    problem = LinearGaussian.problem()
    one, other = draw(problem, SHORT), draw(problem, Settings(warmup=60, draws=60, seed=1))
    assert not np.any(one.u == other.u)


def test_without_blackjax_it_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "blackjax", None)
    with pytest.raises(InputError, match=r"pip install 'caliche\[mcmc\]'"):
        sample(LinearGaussian.problem(), np.zeros(2))


@pytest.mark.parametrize("settings", [{"chains": 0}, {"warmup": 5}, {"draws": 0}])
def test_settings_that_make_no_sense(settings):
    with pytest.raises(InputError, match="of at least"):
        Settings(**settings)


# -- diagnostics -----------------------------------------------------------------------------


def autoregressive() -> np.ndarray:
    """Four chains of 200 draws with autocorrelation 0.7."""
    innovation = np.random.default_rng(7).standard_normal((4, 200))
    draws = np.zeros((4, 200))
    for k in range(1, 200):
        draws[:, k] = 0.7 * draws[:, k - 1] + innovation[:, k]
    return draws


@pytest.mark.parametrize(
    ("change", "r_hat", "bulk", "tail"),
    [
        (lambda x: x, 1.0166264906328115, 133.37472286217758, 280.68725641741275),
        (
            lambda x: x + np.array([0.0, 0.0, 0.0, 1.5])[:, None],
            1.1907975291636317,
            16.520501468589913,
            103.74311118884141,
        ),
        (np.round, 1.014659046181056, 144.0248807721752, 329.1560255172363),
    ],
    ids=["stationary", "one chain apart", "ties"],
)
def test_diagnostics_against_arviz(change, r_hat, bulk, tail):
    """Values by ArviZ 0.23.4: rhat, ess, ess(method="tail")."""
    draws = change(autoregressive())
    assert chains.r_hat(draws) == pytest.approx(r_hat, rel=1e-12)
    assert chains.ess_bulk(draws) == pytest.approx(bulk, rel=1e-12)
    assert chains.ess_tail(draws) == pytest.approx(tail, rel=1e-12)


def test_diagnostics_of_independent_draws():
    draws = np.random.default_rng(0).standard_normal((4, 1000))
    assert chains.r_hat(draws) == pytest.approx(1.0, abs=0.005)
    assert chains.ess_bulk(draws) == pytest.approx(4000, rel=0.1)


@pytest.mark.parametrize("draws", [np.ones((4, 100)), np.full((4, 100), np.nan)])
def test_draws_that_do_not_move_are_no_sample(draws):
    assert np.isnan(chains.r_hat(draws))
    assert np.isnan(chains.ess_bulk(draws))
    usable, text = chains.verdict({"a": chains.r_hat(draws)}, {"a": chains.ess_bulk(draws)}, 4, 0)
    assert not usable
    assert "the chains disagree about a" in text


def test_a_divergence_is_reason_enough():
    usable, text = chains.verdict({"a": 1.0}, {"a": 3000.0}, 4, 1)
    assert not usable
    assert "1 divergent transition)" in text
    assert "raise the target" in text

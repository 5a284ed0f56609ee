"""The twin experiments of Huang et al. (2026), arXiv:2505.02979, from the authors' own starts."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from caliche.estimation import estimate
from caliche.experiments import Experiment, load_experiment
from problems import with_observed

TWINS = {"1depth": "twin-one-depth", "2depths": "twin-two-depths"}


def perfect(name: str) -> Experiment:
    return load_experiment(name, ["synthetic.noise=false"])


def authors_starts(data_folder, depths: str) -> list[dict[str, float]]:
    file = data_folder / "huang-2026" / f"authors_trials_synthetic_{depths}.csv"
    table = np.genfromtxt(file, delimiter=",", names=True)
    return [
        {
            "albedo": row["alpha0"],
            "combined_heat_transfer_coefficient": row["h0"] * (1.0 + 1.0 / row["beta0"]),
            "thermal_conductivity": row["lambda0"],
            "volumetric_heat_capacity": row["C0"],
            "bottom_temperature": row["Tb0"],
        }
        for row in table
    ]


@pytest.mark.parametrize(("depths", "tolerance"), [("2depths", 1e-6), ("1depth", 1e-4)])
def test_every_start_of_the_authors_finds_the_truth(data_folder, depths, tolerance):
    """One depth included: without noise it is ill-conditioned, not unidentifiable."""
    experiment = perfect(TWINS[depths])
    problem = experiment.problem()
    starts = authors_starts(data_folder, depths)
    controls = jnp.stack([problem.space.to_whitened(start) for start in starts])
    result = estimate(problem, starts=controls)
    assert len(result.starts) == 50
    assert all(start.converged for start in result.starts)
    for name, truth in experiment.truth.items():
        found = [start.estimate[name] for start in result.starts]
        np.testing.assert_allclose(found, truth, rtol=tolerance)


@pytest.mark.ci
def test_error_bars_of_the_noisy_twin_are_right():
    """100 noise draws: the bars cover the truth, and are as long as the estimates scatter."""
    experiment = perfect("twin-two-depths")
    problem = experiment.problem()
    clean, sigma = np.asarray(problem.observations.values), np.asarray(problem.observations.sigma)
    truth = experiment.truth
    start = problem.space.to_whitened(truth)[None]
    rng = np.random.default_rng(2026)
    found, reported, covered = [], [], []
    for _ in range(100):
        noisy = clean + sigma * rng.standard_normal(clean.shape)
        result = estimate(with_observed(problem, noisy), starts=start)
        assert result.converged
        parameters = [result.parameters[name] for name in result.names]
        found.append([p.estimate for p in parameters])
        reported.append([p.sd for p in parameters])
        covered.append([p.interval[0] < truth[p.name] < p.interval[1] for p in parameters])
    assert np.all(np.mean(covered, axis=0) >= 0.88)
    np.testing.assert_allclose(np.std(found, axis=0, ddof=1), np.mean(reported, axis=0), rtol=0.2)


def test_temperatures_alone_cannot_tell_sensible_from_latent_heat(tmp_path):
    # Found with five starts: rounding let h and the Bowen ratio drift along their hyperbola until
    # one of them met its bound, where h then had a fine error bar. It has none.
    path = tmp_path / "bowen.toml"
    path.write_text("""
        [synthetic]
        hours = 48
        [synthetic.truth]
        heat_transfer_coefficient = 15.0
        bowen_ratio = 1.5
        [window]
        time_step = 3600
        [model]
        nodes = 11
        turbulence = "bowen-ratio"
        [parameters.heat_transfer_coefficient]
        value = 10.0
        [parameters.bowen_ratio]
        value = 1.0
        [parameters.thermal_conductivity]
        [observations.surface_temperature]
        sigma = 0.1
    """)
    result = estimate(load_experiment(path).problem(), starts=5)
    assert result.converged
    for name in ("heat_transfer_coefficient", "bowen_ratio"):
        assert result.parameters[name].sd == np.inf
        assert not result.parameters[name].at_bound
        assert any(result.parameters[name].long_name in text for text in result.warnings)
    value, sd, *_ = result.derived["combined_heat_transfer_coefficient"]
    assert abs(value - 25.0) < 4.0 * sd < 1.2
    assert result.parameters["thermal_conductivity"].sd < 0.1

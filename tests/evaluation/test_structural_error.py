"""Structural error: errors of conditional means, and what parameters can and cannot take away."""

from __future__ import annotations

import functools

import jax.numpy as jnp
import numpy as np
import pytest

from caliche.evaluation.regimes import Regimes
from caliche.evaluation.structural_error import (
    condition,
    mean_and_error,
    of_series,
    told,
    worst,
)
from caliche.evaluation.structural_span import removable
from caliche.parameters import Flat, Normal
from problems import make_problem, with_observed

STEP = np.timedelta64(3600, "s")
DAYS = 40
TIME = np.datetime64("2020-05-20T00:00:00", "s") + STEP * np.arange(1, 24 * DAYS + 1)
HOUR = (np.arange(24 * DAYS) % 24).astype(float)
DAY = np.arange(24 * DAYS) // 24
HOURS = Regimes("hour", "hour of day", tuple(map(str, range(24))), ("",) * 24, HOUR.astype(int))
WARM = np.where((HOUR >= 12) & (HOUR < 15), 1.0, 0.0)


def test_the_error_of_a_mean_counts_days_that_repeat_each_other():
    """Errors that are one number a day, correlated from day to day: the mean's true spread."""
    generator, covered = np.random.default_rng(1), []
    for _ in range(300):
        daily = generator.standard_normal(DAYS)
        for k in range(1, DAYS):
            daily[k] += 0.3 * daily[k - 1]
        residual = daily[DAY] + 0.1 * generator.standard_normal(24 * DAYS)
        mean, se, n, days = mean_and_error(residual, HOUR == 13, DAY)
        assert (n, days) == (DAYS, DAYS)
        covered.append(abs(mean) < 2.02 * se)
    assert 0.87 < np.mean(covered) < 0.97


def test_noise_has_no_pattern_and_a_pattern_is_found():
    generator, false = np.random.default_rng(2), 0
    for _ in range(100):
        noise = generator.standard_normal(DAYS)[DAY] + generator.standard_normal(24 * DAYS)
        false += condition(noise, HOURS, DAY).real
        with_warm = condition(noise + 3.0 * WARM, HOURS, DAY)
        assert with_warm.real
    assert false <= 12
    # the share of the misfit that the hours explain, of a pattern known exactly
    found = condition(3.0 * WARM + noise, HOURS, DAY)
    centred = WARM - WARM.mean()
    total = np.sum((3.0 * WARM + noise) ** 2)
    assert found.share == pytest.approx(9.0 * np.sum(centred**2) / total, abs=0.06)


def test_words_name_hours_size_and_side():
    noise = 0.3 * np.random.default_rng(3).standard_normal(24 * DAYS)
    name = "soil_temperature_0.05m"
    found = of_series(TIME, STEP, {name: 0.4 * WARM + noise}, {})[name][1]
    assert found.sentence.startswith("Soil temperature at 0.05 m is 0.391 ± 0.027")
    assert " K too warm from 12 to 15 h (hour of day explains " in found.sentence
    assert "parameters" not in found.sentence  # nobody has looked
    assert told(name, found, 0.15).sentence.endswith(
        "; no value of the parameters within their priors takes more than a fifth of this "
        "dependence away."
    )
    assert "take 70 % of this dependence away, but fit the rest" in told(name, found, 0.7).sentence
    flux = of_series(TIME, STEP, {"latent_heat_flux": noise - 2.0}, {})["latent_heat_flux"][1]
    assert "1.9906 ± 0.0090" in flux.sentence
    assert "W m-2 too low on the whole" in flux.sentence
    none = of_series(TIME, STEP, {"latent_heat_flux": noise}, {})["latent_heat_flux"][1]
    assert none.pattern is None
    assert "does not depend significantly on hour of day or month" in none.sentence


WAVE = np.cos(2.0 * np.pi * (HOUR - 14.0) / 24.0)


@functools.cache
def waves():
    """T = mean + amplitude cos(day), and a parameter c that acts through its square."""
    return make_problem(
        lambda p, f: p["mean"] + (p["amplitude"] + p["c"] ** 2) * f["wave"],
        {"mean": Normal(0.0, 1.0), "amplitude": Normal(1.0, 0.1), "c": Flat(0.0, 1e-6)},
        {"mean": 0.0, "amplitude": 1.0, "c": 5e-7},
        {"wave": WAVE},
        np.zeros(24 * DAYS),
        0.1,
    )


def share_removable(observed: np.ndarray) -> float | None:
    problem = with_observed(waves(), observed[:, None])
    u = np.zeros(3)
    modelled = np.asarray(problem.forward(jnp.asarray(u)))[:, 0]
    found = condition(modelled - observed, HOURS, DAY)
    assert worst([found]) is found
    return removable(problem, u, 0, observed, found)


def test_what_a_parameter_can_and_cannot_take_away():
    noise = 0.05 * np.random.default_rng(4).standard_normal(24 * DAYS)
    # An amplitude within its prior: all of it, but for the noise.
    assert share_removable(1.15 * WAVE + noise) > 0.9
    # One five times as far away as 95 % of the prior reach: a fifth.
    assert share_removable((1.0 + 5.0 * 0.196) * WAVE + noise) == pytest.approx(0.2, abs=0.02)
    # A wave of half a day: no parameter makes one.
    half = np.cos(4.0 * np.pi * HOUR / 24.0)
    assert share_removable(WAVE + 0.5 * half + noise) < 0.02


def test_a_curved_way_is_followed_to_its_end():
    """Where slopes at the optimum vanish, the linear answer would be that nothing can be done."""
    problem = make_problem(
        lambda p, f: p["c"] ** 2 * f["wave"],
        {"c": Normal(0.0, 1.0)},
        {"c": 0.0},
        {"wave": WAVE},
        np.zeros(24 * DAYS),
        0.1,
    )
    noise = 0.02 * np.random.default_rng(5).standard_normal(24 * DAYS)
    for start, observed in ((0.05, 2.0 * WAVE + noise), (1.4, 0.1 * WAVE + noise)):
        problem = with_observed(problem, observed[:, None])
        u = np.array([start])
        modelled = np.asarray(problem.forward(jnp.asarray(u)))[:, 0]
        found = condition(modelled - observed, HOURS, DAY)
        assert removable(problem, u, 0, observed, found) > 0.9

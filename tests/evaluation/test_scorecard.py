"""Scorecards: known changes, chance with errors that last, and cells that say the same."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from caliche.errors import InputError
from caliche.evaluation.scorecard.card import BETTER, SAME, WORSE, Record, scorecard
from caliche.evaluation.scorecard.conditions import conditions_of
from caliche.evaluation.scorecard.significance import (
    difference,
    independent,
    memory_of,
    sidak,
)

HOUR = np.timedelta64(3600, "s")


def record(days: int = 60, streams: int = 1, seed: int = 0) -> tuple[Record, np.ndarray]:
    """A site of hours with sun and rain, and noise (time + 1, stream) for models of it."""
    random = np.random.default_rng(seed)
    hours = np.arange(24 * days + 1)
    local = np.datetime64("2020-04-01T00:00", "s") + hours * HOUR
    sun = np.maximum(0.0, 800.0 * np.sin(np.pi * ((hours - 0.5) % 24 - 6.0) / 12.0))
    rain = np.where(((hours - 1) // 24 % 10 == 0) & (hours % 24 == 12), 5.0 / 3600.0, 0.0)
    observed = 0.3 * sun[:, None] + 20.0 * random.standard_normal((len(hours), streams))
    weather = {"incoming_shortwave": sun, "precipitation": rain}
    names = ("latent_heat_flux", "sensible_heat_flux")[:streams]
    noise = random.standard_normal((len(hours), streams))
    return Record(names, observed, local, HOUR, weather), noise


def test_cells_of_a_run_with_half_the_error():
    site, noise = record()
    control = {"A": site.observed + 30.0 * noise}
    run = {"A": site.observed + 15.0 * noise}
    card = scorecard({"A": site}, run, control)
    assert card.rows[:5] == tuple(
        f"latent_heat_flux, {word}" for word in ("mean", "day", "night", "dry", "wet")
    )
    assert "latent_heat_flux, spring" not in card.rows  # the record has no other season
    for cell in card.cells:
        np.testing.assert_allclose(cell.change, -0.5, atol=1e-12)
        assert cell.verdict == BETTER
        assert cell.low < -0.5 < cell.high < 0.0
    worse = scorecard({"A": site}, control, run)
    assert {cell.verdict for cell in worse.cells} == {WORSE}
    np.testing.assert_allclose([cell.change for cell in worse.cells], 1.0, atol=1e-12)


def test_day_and_night_make_up_the_whole_and_a_run_is_not_better_than_itself():
    site, noise = record()
    same = {"A": site.observed + noise}
    card = scorecard({"A": site}, same, same)
    cells = {c.row.split(", ")[1]: c for c in card.cells}
    assert cells["day"].n + cells["night"].n == cells["mean"].n == 60 * 24
    assert {cell.verdict for cell in card.cells} == {SAME}
    assert all(cell.change == 0.0 for cell in card.cells)


def test_damping_shows_in_the_ratio_of_standard_deviations():
    site, noise = record()
    flat = {"A": np.full_like(site.observed, site.observed[1:].mean())}
    lively = {"A": site.observed + 150.0 * noise}
    card = scorecard({"A": site}, flat, lively, ("mean",))
    cell = card.cells[0]
    assert cell.verdict == BETTER
    assert cell.sd_ratio < 1e-9
    assert cell.sd_ratio_control > 1.0


def test_dry_and_wet_spells_and_seasons():
    days, step = 200, np.timedelta64(86400, "s")
    local = np.datetime64("2020-01-01T00:00", "s") + np.arange(days) * step
    rain = np.zeros(days)
    rain[[10, 100]] = 5.0 / 86400.0
    found = conditions_of(local, step, {"precipitation": rain})
    assert list(found) == ["mean", "dry", "wet", "winter", "spring", "summer", "autumn"][:6]
    np.testing.assert_array_equal(np.flatnonzero(found["wet"]), [10, 11, 12, 100, 101, 102])
    # Before the first rain nobody knows how dry it is.
    assert not found["dry"][:10].any()
    assert found["dry"][13:100].all()
    with pytest.raises(InputError, match="conditions that are among mean, day"):
        conditions_of(local, step, {}, ("noon",))


# -- chance ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rho", "expected"), [(0.0, 1.0), (0.6, 4.0)])
def test_memory_of_a_long_series(rho, expected):
    noise = np.random.default_rng(1).standard_normal(200_000)
    series = lfilter([1.0], [1.0, -rho], noise)
    np.testing.assert_allclose(memory_of(np.asarray(series)), expected, rtol=0.05)


def test_memory_by_two_lags():
    a, b = 0.5, 0.3
    first = a / (1.0 - b)
    second = a * first + b
    expected = (1.0 - a * first - b * second) / (1.0 - a - b) ** 2
    noise = np.random.default_rng(2).standard_normal(200_000)
    series = np.asarray(lfilter([1.0], [1.0, -a, -b], noise))
    np.testing.assert_allclose(memory_of(series), expected, rtol=0.08)
    assert expected > 1.5 * (1.0 + first) / (1.0 - first)  # one lag alone would say too little


def test_false_alarms_of_errors_that_last():
    random = np.random.default_rng(3)
    days, alarms, plain = np.arange(200), [], []
    for _ in range(300):
        noise = random.standard_normal(300)
        series = np.asarray(lfilter([1.0], [1.0, -0.5, -0.2], noise))[100:]
        found = difference(series, days)
        alarms.append(found.significant())
        plain.append(abs(series.mean()) > 1.96 * series.std() / np.sqrt(len(series)))
    assert np.mean(plain) > 0.3
    assert np.mean(alarms) < 0.12


def test_hours_of_one_day_count_as_that_day():
    random = np.random.default_rng(4)
    daily = random.standard_normal(100)
    day = np.repeat(np.arange(100), 24)
    once, often = difference(daily, np.arange(100)), difference(daily[day], day)
    np.testing.assert_allclose(often.error, once.error, rtol=1e-12)
    assert (often.n, often.days) == (2400, 100)


def test_how_many_cells_are_independent():
    random = np.random.default_rng(5)
    rows = list(np.linalg.qr(random.standard_normal((50, 4)))[0].T)
    np.testing.assert_allclose(independent(rows), 4.0)
    np.testing.assert_allclose(independent([rows[0]] * 5), 1.0, atol=1e-6)
    np.testing.assert_allclose(sidak(10.0), 0.95**0.1)
    assert sidak(0.5) == 0.95


def test_what_cannot_be_scored_is_refused():
    short, noise = record(days=10)
    model = {"A": short.observed + noise}
    with pytest.raises(InputError, match="observations on at least 15 days"):
        scorecard({"A": short}, model, model)
    site, noise = record()
    blank = {"A": np.full_like(site.observed, np.nan)}
    with pytest.raises(InputError, match="a modelled latent_heat_flux wherever"):
        scorecard({"A": site}, blank, {"A": site.observed + noise})

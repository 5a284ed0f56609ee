"""Metrics of a record: what they are, their derivatives, their errors and discrepancies."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from caliche.errors import InputError
from caliche.history_matching.discrepancy import of_series, undefined
from caliche.metrics.choose import Record, make_metrics
from caliche.metrics.errors import SeriesErrors, draw_errors, metric_errors

HOUR = np.timedelta64(1, "h")
STREAMS = ("surface_temperature", "sensible_heat_flux", "latent_heat_flux")


def hourly(days: int, gaps: bool = True) -> Record:
    n = 24 * days + 1
    hours = np.arange(n)
    time = np.datetime64("2021-01-01T00:00", "s") + hours * HOUR
    turn = 2.0 * np.pi * (hours - 0.5) / 24.0
    year = 2.0 * np.pi * (hours - 0.5) / (24.0 * 365.2425)
    values = np.column_stack(
        [
            290.0 + 6.0 * np.cos(turn - np.pi * 14 / 12) + 9.0 * np.cos(year - 3.4),
            80.0 + 90.0 * np.cos(turn - np.pi * 12 / 12) + 5.0 * np.sin(3 * turn),
            110.0 + 70.0 * np.cos(turn - np.pi * 13 / 12),
        ]
    )
    mask = np.ones(values.shape, bool)
    mask[0] = False
    if gaps:
        mask &= np.random.default_rng(1).random(values.shape) > 0.2
        mask[100:140, 1] = False
    return Record(
        STREAMS, time, HOUR.astype("timedelta64[s]"), np.where(mask, values, np.nan), mask
    )


EVERY = ("mean", "sd", "diurnal", "bowen", "maximum", "memory")


def by_name(metrics, numbers):
    return dict(zip(metrics.names, np.asarray(numbers), strict=True))


def test_metrics_are_what_they_are_called():
    record = hourly(400)
    metrics, left_out = make_metrics(record, ("mean", "diurnal", "seasonal", "bowen", "sd"))
    assert left_out == ()
    found = by_name(metrics, metrics(jnp.asarray(record.values)))
    assert found["surface_temperature: mean"] == pytest.approx(
        np.nanmean(record.values[:, 0]), abs=1e-9
    )
    assert found["surface_temperature: diurnal amplitude"] == pytest.approx(6.0, rel=0.01)
    assert found["surface_temperature: diurnal phase"] == pytest.approx(14.0, abs=0.05)
    assert found["surface_temperature: seasonal amplitude"] == pytest.approx(9.0, rel=0.02)
    assert found["surface_temperature: seasonal phase"] == pytest.approx(
        3.4 / (2 * np.pi) * 365.2425, abs=2.0
    )
    assert found["surface_temperature: standard deviation"] == pytest.approx(
        np.nanstd(record.values[:, 0])
    )
    assert found["Bowen ratio"] == pytest.approx(80.0 / 110.0, rel=0.02)
    units = dict(zip(metrics.names, metrics.units, strict=True))
    assert units["surface_temperature: diurnal phase"] == "h"
    assert units["surface_temperature: seasonal phase"] == "d"


def test_a_phase_has_no_jump_at_midnight():
    record = hourly(10)
    late = 2.0 * np.pi * (np.arange(len(record.time)) - 0.5) / 24.0
    values = np.column_stack([10.0 * np.cos(late - 2 * np.pi * h / 24.0) for h in (23.8, 12, 12)])
    record = Record(STREAMS, record.time, record.step, values, record.mask)
    metrics, _ = make_metrics(record, ("diurnal",))
    prediction = np.column_stack([10.0 * np.cos(late - 2 * np.pi * 0.4 / 24.0)] * 3)
    found = by_name(metrics, metrics(jnp.asarray(prediction)))
    assert found["surface_temperature: diurnal phase"] == pytest.approx(24.4, abs=0.02)


def test_a_daily_maximum_is_close_to_that_of_the_day_and_lag_1_to_numpy():
    record = hourly(20, gaps=False)
    metrics, _ = make_metrics(record, ("maximum", "memory"))
    found = by_name(metrics, metrics(jnp.asarray(record.values)))
    highest = record.values[1:, 0].reshape(20, 24).max(axis=1).mean()
    soft = 0.1 * record.values[1:, 0].std()
    assert 0.0 < found["surface_temperature: daily maximum"] - highest < 2.0 * soft
    away = record.values[1:, 0] - record.values[1:, 0].mean()
    expected = (away[1:] * away[:-1]).mean() / (away**2).mean()
    assert found["surface_temperature: lag-1 autocorrelation"] == pytest.approx(expected)


def test_patterns_hold_what_an_ensemble_does():
    record = hourly(60, gaps=False)
    rng, shape = np.random.default_rng(2), np.linspace(-1.0, 1.0, len(record.time))
    members = np.repeat(record.values[None], 30, axis=0)
    members[:, :, 0] += rng.normal(size=(30, 1)) * shape
    metrics, left_out = make_metrics(record, ("patterns",), members)
    assert metrics.names == ("surface_temperature: pattern 1",) or left_out
    each = np.stack([np.asarray(metrics(jnp.asarray(m))) for m in members])
    assert each[:, 0].std() > 0.3


def test_derivatives_forward_backward_and_by_differences_agree():
    record = hourly(6)
    metrics, _ = make_metrics(record, EVERY)
    rng = np.random.default_rng(0)
    base = jnp.asarray(np.where(record.mask, record.values, np.nan))
    ways = rng.normal(size=(3, *record.values.shape))

    @jax.jit
    def run(u):
        return metrics(base + jnp.tensordot(u, jnp.asarray(ways), 1))

    u = jnp.asarray([0.1, -0.2, 0.3])
    forward, backward = jax.jit(jax.jacfwd(run))(u), jax.jit(jax.jacrev(run))(u)
    np.testing.assert_allclose(forward, backward, rtol=1e-9, atol=1e-11)
    step = 1e-5
    differences = np.stack(
        [
            (np.asarray(run(u.at[k].add(step))) - np.asarray(run(u.at[k].add(-step)))) / (2 * step)
            for k in range(3)
        ],
        axis=1,
    )
    np.testing.assert_allclose(forward, differences, rtol=2e-6, atol=2e-7)


def test_errors_agree_with_monte_carlo_where_errors_persist():
    record = hourly(8)
    metrics, _ = make_metrics(record, ("mean", "diurnal", "bowen"))
    observed = np.nan_to_num(record.values)
    sd, freedom = np.broadcast_to([0.5, 8.0, 6.0], observed.shape), [np.inf, np.inf, 6.0]
    errors = SeriesErrors(sd, np.array([0.95, 0.8, 0.0]), np.array(freedom))
    found = metric_errors(metrics, observed, errors)
    drawn = draw_errors(errors, 4000, np.random.default_rng(5))
    many = np.asarray(
        jax.jit(lambda e: jax.lax.map(metrics, e, batch_size=50))(jnp.asarray(observed + drawn))
    )
    exact = np.cov(many.T)
    sd = np.sqrt(np.diag(exact))
    np.testing.assert_allclose(np.sqrt(np.diag(found.covariance)), sd, rtol=0.06)
    correlation = found.covariance / np.outer(sd, sd)
    np.testing.assert_allclose(correlation, exact / np.outer(sd, sd), atol=0.08)
    # Persistence matters: (1 + rho) / (1 - rho) is 39 in the variance of a mean.
    assert np.sqrt(found.covariance[0, 0]) > 4.0 * found.naive[0]


def test_the_error_of_a_mean_is_the_sum_of_its_covariances():
    record = hourly(5)
    metrics, _ = make_metrics(record, ("mean",))
    observed = np.nan_to_num(record.values)
    sd = 0.3 + np.random.default_rng(0).random(observed.shape)
    errors = SeriesErrors(sd, np.array([0.9, 0.5, 0.0]), np.full(3, np.inf))
    found = metric_errors(metrics, observed, errors)
    lag = np.abs(np.subtract.outer(np.arange(len(sd)), np.arange(len(sd))))
    for k, rho in enumerate((0.9, 0.5, 0.0)):
        weights = record.mask[:, k] / record.mask[:, k].sum() * sd[:, k]
        assert found.covariance[k, k] == pytest.approx(weights @ rho**lag @ weights)
    assert np.all(found.covariance[np.triu_indices(3, 1)] == 0.0)


def test_errors_widen_a_standard_deviation_and_that_is_taken_back():
    record = hourly(30, gaps=False)
    metrics, _ = make_metrics(record, ("sd",))
    clean = np.nan_to_num(record.values)
    errors = SeriesErrors(
        np.broadcast_to([3.0, 50.0, 1.0], clean.shape), np.zeros(3), np.full(3, np.inf)
    )
    observed = clean + draw_errors(errors, 1, np.random.default_rng(4))[0]
    found = metric_errors(metrics, observed, errors)
    truth = np.asarray(metrics(jnp.asarray(clean)))
    raw = np.asarray(metrics(jnp.asarray(observed)))
    sd = np.sqrt(np.diag(found.covariance))
    assert raw[0] - truth[0] > 4.0 * sd[0]
    assert np.all(np.abs(found.values - truth) < 4.0 * sd + 0.25 * np.abs(raw - truth))


def test_discrepancies_are_a_share_of_the_series():
    record = hourly(10, gaps=False)
    metrics, _ = make_metrics(record, ("mean", "diurnal", "bowen", "memory"))
    values = np.nan_to_num(record.values)
    found = by_name(metrics, of_series(metrics, values))
    sd = record.values[1:].std(axis=0)
    assert found["surface_temperature: mean"] == pytest.approx(0.1 * sd[0])
    assert found["surface_temperature: diurnal amplitude"] == pytest.approx(0.1 * sd[0])
    turn = 0.1 * sd[0] / 6.0 * 24.0 / (2.0 * np.pi)
    assert found["surface_temperature: diurnal phase"] == pytest.approx(turn, rel=0.02)
    assert found["surface_temperature: lag-1 autocorrelation"] == pytest.approx(0.01)
    ratio = np.hypot(0.1 * sd[1], 80.0 / 110.0 * 0.1 * sd[2]) / 110.0
    assert found["Bowen ratio"] == pytest.approx(ratio, rel=0.01)
    bad, told = undefined(metrics, values, np.full(len(metrics), 5.0))
    assert bad.sum() == 3
    assert all("phase" in text for text in told)


def test_what_a_record_does_not_show_is_told_or_refused():
    short = hourly(1)
    metrics, left_out = make_metrics(short, ("mean", "diurnal", "seasonal", "maximum"))
    assert all(name.endswith(": mean") or "maximum" in name for name in metrics.names)
    assert any("seasons" in text for text in left_out)
    with pytest.raises(InputError, match="did you mean 'seasonal'"):
        make_metrics(short, ("seasnal",))
    with pytest.raises(InputError, match="allows one"):
        make_metrics(short, ("seasonal",))
    with pytest.raises(InputError, match="finite variance"):
        SeriesErrors(np.ones((3, 1)), np.zeros(1), np.array([2.0]))

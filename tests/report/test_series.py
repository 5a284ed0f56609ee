import numpy as np
import pytest

from caliche.report import series

HALF_HOUR = np.timedelta64(1800, "s")


def half_hours(count):
    return np.datetime64("2012-01-01T00:30:00") + np.arange(count) * HALF_HOUR


def test_daily_means_belong_to_the_day_of_the_interval_not_of_its_end():
    time = half_hours(96)
    index = series.bin_index(time, HALF_HOUR, 86400)
    assert index.tolist() == [0] * 48 + [1] * 48
    values = np.r_[np.full(48, 3.0), np.full(48, 5.0)]
    np.testing.assert_array_equal(series.bin_mean(values, index), [3.0, 5.0])
    middles = series.bin_time(time, HALF_HOUR, index, 86400)
    assert str(middles[0]) == "2012-01-01T12:00:00"


def test_a_day_with_too_few_values_has_no_mean():
    index = series.bin_index(half_hours(60), HALF_HOUR, 86400)
    values = np.ones(60)
    values[:20] = np.nan
    assert np.isnan(series.bin_mean(values, index)).tolist() == [True, True]


@pytest.mark.parametrize(("steps", "seconds"), [(300, 600), (900, 1800), (17520, 86400)])
def test_longer_records_get_longer_bins(steps, seconds):
    assert series.bin_length(half_hours(steps)) == seconds


def test_quantiles_within_bins():
    index = np.repeat([0, 1, 2], 101)
    values = np.r_[np.arange(101.0), np.full(101, np.nan), np.full(101, 7.0)]
    low, high = series.bin_quantiles(values, index, 0.05, 0.95)
    np.testing.assert_allclose(low, [5, np.nan, 7])
    np.testing.assert_allclose(high, [95, np.nan, 7])


def test_the_close_up_of_equals_is_central_and_well_observed():
    known, misfit = np.ones(1000, bool), np.ones(1000)
    known[450:550] = False
    window = series.close_up(known, misfit, 200)
    assert known[window].mean() >= 0.98
    assert window.stop - window.start == 200
    assert series.close_up(known, misfit, 2000) == slice(0, 1000)


def test_the_close_up_is_where_the_fit_is_as_it_mostly_is():
    misfit = np.full(2000, 1.0)
    misfit[900:1100] = 50.0  # the middle is no example of the rest
    misfit[:600] = 0.0
    window = series.close_up(np.ones(2000, bool), misfit, 200)
    assert misfit[window].mean() == 1.0
    assert series.close_up(np.ones(50), np.full(50, np.nan), 10) == slice(20, 30)


def test_runs():
    mask = np.array([1, 1, 0, 0, 1, 0, 1], bool)
    assert series.runs(mask) == [(0, 1), (4, 4), (6, 6)]
    assert series.runs(np.zeros(3, bool)) == []


def test_autocorrelation_of_a_red_series_with_gaps():
    random = np.random.default_rng(3)
    x = np.zeros(20000)
    for i in range(1, x.size):
        x[i] = 0.8 * x[i - 1] + random.normal()
    x[random.random(x.size) < 0.3] = np.nan
    lags = np.array([1, 2, 5])
    np.testing.assert_allclose(series.autocorrelation(x, lags), 0.8**lags, atol=0.04)


def test_autocorrelation_of_nothing():
    assert np.isnan(series.autocorrelation(np.full(10, np.nan), np.array([1]))).all()


def test_the_mean_day_uses_the_middle_of_the_interval():
    time = half_hours(96)
    hour = np.tile(np.arange(48) // 2, 2).astype(float)
    np.testing.assert_array_equal(series.diurnal_mean(hour, time, HALF_HOUR), np.arange(24))

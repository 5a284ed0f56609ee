"""Axes end where the data and the central predictions do."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from caliche.report.figures import parameter_close_up
from caliche.report.limits import axis_limits, cut_note, drawable, set_limits
from caliche.runs.run_summary import ParameterEntry

HOURS = np.arange(192.0)
DATA = 300.0 + 8.0 * np.sin(2.0 * np.pi * HOURS / 24.0)


def around(values: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
    return values - width, values + width


def test_a_usual_band_is_whole():
    low, high = axis_limits([DATA], [DATA + 0.5], [around(DATA, 2.0)])
    assert 288.0 < low < 290.0
    assert 310.0 < high < 312.0


@pytest.mark.parametrize("width", [500.0, 6000.0, np.inf])
def test_a_band_with_one_absurd_step_leaves_the_axis_where_the_data_are(width):
    widths = np.full(192, 1.0)
    usual = axis_limits([DATA], [DATA], [around(DATA, widths)])
    widths[77] = width
    low, high = axis_limits([DATA], [DATA], [around(DATA, widths)])
    np.testing.assert_allclose([low, high], usual, atol=1.5)


def test_bands_that_are_wide_everywhere_take_no_more_than_a_range_on_either_side():
    low, high = axis_limits([DATA], [DATA], [around(DATA, 6000.0)])
    assert 292.0 - 16.0 - 3.0 < low < 292.0 - 16.0
    assert 308.0 + 16.0 < high < 308.0 + 16.0 + 3.0


def test_a_model_with_one_absurd_step_does_not_hide_the_rest():
    model = DATA.copy()
    model[50] = 58000.0
    low, high = axis_limits([DATA], [model])
    assert 285.0 < low < 292.0
    assert 308.0 < high < 315.0
    model[50] = -np.inf
    assert axis_limits([DATA], [model])[0] > 285.0


def test_a_model_that_is_off_the_data_is_shown():
    low, high = axis_limits([DATA], [DATA + 20.0])
    assert low < 292.0
    assert high > 328.0


def test_of_few_estimates_one_that_is_absurd_is_left_out():
    forecast = np.array([80.0, 1.1, 1.0, 1.2, 0.9, 1.0])
    limits = axis_limits([np.zeros(1)], bands=[(forecast, forecast)], reach=3.0, typical=True)
    assert limits[1] < 5.0
    assert axis_limits(lines=[np.array([1.0, 2.0])])[1] > 2.0


def test_data_are_always_whole():
    spoiled = DATA.copy()
    spoiled[3] = -9999.0
    assert axis_limits([spoiled], [DATA], [around(DATA, 1.0)])[0] < -9999.0


def test_bands_of_nan_and_series_of_nothing():
    nothing = np.full(192, np.nan)
    assert axis_limits([DATA], [DATA], [(nothing, nothing)]) == axis_limits([DATA], [DATA])
    low, high = axis_limits([DATA], [nothing], [(nothing, nothing)])
    assert low < 292.0
    assert high > 308.0
    assert axis_limits([nothing], [nothing], [(nothing, nothing)]) is None
    assert axis_limits() is None
    low, high = axis_limits([nothing], [nothing], [around(DATA, 1.0)])  # all there is
    assert 285.0 < low < 292.5
    assert 307.5 < high < 315.0


def test_a_constant_series_has_an_axis_with_room():
    low, high = axis_limits([np.full(50, 300.0)])
    assert low < 300.0 < high
    assert axis_limits([np.zeros(50)]) == (-1.0, 1.0)
    low, high = axis_limits([np.full(50, 300.0)], bands=[around(np.full(50, 300.0), 0.5)])
    assert 299.0 < low < 299.5
    assert 300.5 < high < 301.0


def test_estimates_that_hardly_differ_keep_their_error_bars():
    estimate = 0.8 + 1e-3 * np.arange(10)
    low, high = axis_limits(lines=[estimate], bands=[around(estimate, 0.1)], typical=True)
    assert low < 0.7
    assert high > 0.909
    wide = np.full(10, 0.1)
    wide[0] = 1e6
    low, high = axis_limits(lines=[estimate], bands=[around(estimate, wide)], typical=True)
    assert 0.3 < low < 0.71
    assert 0.9 < high < 1.3


def test_what_leaves_the_axis_is_marked_and_said():
    figure = Figure()
    ax = figure.subplots()
    limits = axis_limits([DATA])
    set_limits(ax, HOURS, limits, [DATA])
    assert ax.get_ylim() == limits
    assert cut_note(figure) == ""
    low, high = around(DATA, np.where(HOURS == 77.0, 6000.0, 1.0))
    set_limits(ax, HOURS, limits, [low, high])
    assert next(line.get_xdata().tolist() for line in ax.lines if line.get_marker() == "^")[0] > 0
    assert "leaves the axis" in cut_note(figure)
    assert np.abs(drawable(high, limits)).max() < 400.0
    assert np.isnan(drawable(np.array([np.nan]), limits)).all()
    set_limits(ax, HOURS, None, [DATA])


def test_the_close_up_of_a_parameter_ends_at_its_bounds():
    ax = Figure().subplots()
    entry = ParameterEntry(
        estimate=305.0,
        sd=160.0,
        sd_naive=20.0,
        interval95=(-10.0, 620.0),
        lower=240.0,
        upper=340.0,
    )
    parameter_close_up(ax, entry, 0)
    low, high = ax.get_xlim()
    assert 200.0 < low < 240.0
    assert 340.0 < high < 380.0
    free = Figure().subplots()
    parameter_close_up(free, ParameterEntry(estimate=1.0, sd=0.1, interval95=(0.8, 1.2)), 0)
    assert free.get_xlim()[0] < 0.75

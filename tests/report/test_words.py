import math
from dataclasses import replace

import numpy as np
import pytest

from caliche.keys.records import from_json
from caliche.remarks import Remark, as_table
from caliche.report import wording
from caliche.report.run import words
from caliche.runs.run_summary import (
    CorrelationEntry,
    OptimumEntry,
    ParameterEntry,
    ResidualEntry,
    RunSummary,
    ScoreEntry,
    StartEntry,
)


def entry(**changes):
    base = {
        "estimate": 0.826,
        "sd": 0.043,
        "sd_naive": 0.0165,
        "interval95": [0.742, 0.91],
        "unit": "W m-1 K-1",
        "lower": 0.1,
        "upper": 3.0,
        "fixed": False,
        "truth": None,
        "long_name": "thermal conductivity",
        "at_bound": False,
    }
    return from_json(ParameterEntry, base | changes)


HEAT = entry(
    estimate=1.482e6,
    sd=6.1e4,
    sd_naive=2.3e4,
    unit="J m-3 K-1",
    long_name="heat capacity",
    interval95=[1.36e6, 1.6e6],
    lower=5e5,
    upper=4e6,
)
TWO = {"conductivity": entry(), "capacity": HEAT}
PERIOD = (np.datetime64("2012-05-01T01:00:00"), np.datetime64("2012-05-07T00:00:00"))


def start(misfit, optimum=None, converged=True, **estimate):
    found = {"misfit": misfit, "converged": converged, "estimate": estimate, "optimum": optimum}
    return from_json(StartEntry, found)


def summary(**changes):
    base = {"title": "t", "method": "lm", "converged": True, "reason": "", "fit": {}}
    made = from_json(RunSummary, {**base, "parameters": {}, **changes})
    return made


def test_listing():
    assert words.listing([]) == ""
    assert words.listing(["a", "b"]) == "a and b"
    assert words.listing(["a", "b", "c"]) == "a, b and c"


@pytest.mark.parametrize(
    ("offset", "text"),
    [
        (0, "UTC"),
        (-7, "local standard time (UTC−7)"),
        (5.5, "local standard time (UTC+5:30)"),
        (-3.5, "local standard time (UTC−3:30)"),
    ],
)
def test_the_clock_is_named(offset, text):
    assert wording.clock(offset) == text


def test_what_was_estimated_from_what():
    found = replace(summary(), parameters=TWO | {"albedo": entry(fixed=True)})
    streams = [("soil temperature at 0.05 m", 1125), ("soil temperature at 0.15 m", 123)]
    assert words.what_was_done(found, streams, PERIOD, -7, "US-WestPhoenix") == (
        "Two parameters were estimated from 1,248 observations (1,125 of soil temperature at "
        "0.05 m and 123 of soil temperature at 0.15 m) at US-WestPhoenix, 2012-05-01 01:00 to "
        "2012-05-07 00:00 local standard time (UTC−7), with Levenberg–Marquardt least squares."
    )


def test_a_search_that_failed_estimated_nothing():
    found = replace(summary(method="adam", converged=False), parameters={"a": entry()})
    assert words.what_was_done(found, [("net radiation", 9)], PERIOD, 0, "") == (
        "One parameter was sought from 9 observations of net radiation, 2012-05-01 01:00 to "
        "2012-05-07 00:00 UTC, with gradient descent (Adam)."
    )
    assert words.not_converged("the misfit was still falling") == (
        "This calibration did not converge: the misfit was still falling. The values below are "
        "where the search stopped, not estimates, and their error bars mean nothing."
    )


def test_estimates():
    assert words.estimates(TWO) == (
        "Thermal conductivity is 0.826 ± 0.043 W m⁻¹ K⁻¹ (5 %) and heat capacity is "
        "(1.482 ± 0.061) × 10⁶ J m⁻³ K⁻¹ (4 %) (± is one standard deviation)."
    )
    assert words.estimates({"a": entry(sd=None)}) == (
        "Thermal conductivity is 0.826 W m⁻¹ K⁻¹ (no error bar)."
    )
    assert words.estimates({"a": entry(fixed=True)}) == "No parameter was free."
    assert words.estimates({"a": entry()}, converged=False) == (
        "Where the search stopped, thermal conductivity is 0.826 ± 0.043 W m⁻¹ K⁻¹ (5 %)."
    )


def test_a_temperature_has_no_percentage():
    warm = entry(estimate=306.12, sd=0.31, unit="K", long_name="deep temperature")
    assert words.estimate("deep", warm) == "deep temperature is 306.12 ± 0.31 K"


def test_a_parameter_without_a_long_name_is_called_by_its_own():
    assert wording.parameter_label("heat_capacity", "") == "heat capacity"


def test_typical_errors():
    fit = {"t": ScoreEntry(rmse=0.5, fitted=True), "q": ScoreEntry(rmse=18.6)}
    labels, units = {"t": "soil temperature"}, {"t": "K"}
    assert words.misses(fit, None, labels, units) == (
        "The root-mean-square error is 0.500 K for soil temperature."
    )
    assert words.misses(fit, {"t": ScoreEntry(rmse=0.61)}, labels, units) == (
        "The root-mean-square error is 0.500 K for soil temperature (0.610 K in the hold-out)."
    )
    assert words.misses({"q": fit["q"]}, None, labels, units) == ""


def test_starts_that_met():
    starts = [start(181.3, 0, a=1.0), start(181.31, 0, a=1.001), start(320.0, 1, a=2.0)]
    assert words.starts_sentence(starts, {"a": 0.1}) == "2 of 3 starts reached the same optimum."
    assert words.starts_sentence(starts[:2], {"a": 0.1}) == (
        "All 2 starts reached the same optimum."
    )


def test_starts_along_a_valley():
    starts = [start(181.3, 0, heat_capacity=1.0), start(181.31, 0, heat_capacity=1.44)]
    assert words.starts_sentence(starts, {"heat_capacity": 0.1}) == (
        "All 2 starts reached the same optimum, but their values of heat capacity differ by up to "
        "4.4 standard deviations: the optimum is a valley, not a point."
    )


def test_starts_at_several_optima():
    """A start of the same misfit at another place is not at the same optimum."""
    starts = [
        start(181.3, 0, a=1.0),
        start(181.31, 1, a=9.0),
        start(181.3, 0, a=1.0),
        start(200.0, 2, a=4.0),
    ]
    optima = [OptimumEntry({}, misfit) for misfit in (181.3, 181.31, 200.0)]
    assert words.starts_sentence(starts, {"a": 0.1}, optima) == (
        "2 of 4 starts reached the same optimum, and others ended at one other place that fits "
        "about as well: the data do not choose between these optima."
    )


def test_lonely_and_single_starts():
    starts = [start(181.3, 0, a=1.0), start(320.0, 1, a=2.0), start(None, converged=False, a=None)]
    assert words.starts_sentence(starts, {"a": 0.1}) == (
        "Only 1 of 3 starts reached the optimum: it may be a local one."
    )
    assert words.starts_sentence(starts[:1], {}) == (
        "The search began from a single start, so other optima were not looked for."
    )
    assert words.starts_sentence([], {}) == ""
    assert words.starts_sentence(starts[2:] * 2, {}) == (
        "None of the 2 starts reached a finite misfit."
    )


def test_starts_of_a_run_that_is_older_than_the_rule():
    """Half a standard deviation is 1/8 in J, whatever the misfit is."""
    starts = [start(181.3), start(181.4), start(181.5), start(1e-22)]
    assert words.same_optimum(starts[:3]).tolist() == [True, True, False]
    assert words.same_optimum(starts[3:] * 2).all()


def test_the_first_line_of_the_report():
    remarks = [Remark("bound", "At its bound.", True, ("albedo",))]
    found = summary(verdict=as_table("converged", remarks))
    assert words.verdict(found) == "Converged, with 1 parameter at its bound (albedo)."
    assert words.verdict(summary()) == ""


def test_what_nothing_depends_on_has_no_estimate():
    assert words.estimates({"a": entry()}, idle={"a"}) == "No parameter was estimated."
    assert "capacity" not in words.estimates(TWO, idle={"capacity"})


def test_truth_inside_and_outside():
    inside, outside = entry(truth=0.8), entry(truth=2.0)
    assert words.truth_sentence({"a": entry()}) == ""
    assert words.truth_sentence({"a": inside}) == "The true value lies inside the 95 % interval."
    assert words.truth_sentence({"a": inside, "b": inside}) == (
        "The true value lies inside every 95 % interval."
    )
    assert words.truth_sentence({"a": inside, "b": outside}) == (
        "The true value lies inside the 95 % interval of 1 of 2 parameters; outside: thermal "
        "conductivity."
    )


def test_strong_correlations():
    matrix = ((1.0, -0.97), (-0.97, 1.0))
    correlation = CorrelationEntry(("conductivity", "capacity"), matrix)
    assert words.correlation_warnings(correlation, TWO) == [
        "Thermal conductivity and heat capacity are strongly correlated (r = −0.97): only their "
        "combination is well constrained."
    ]
    correlation = CorrelationEntry(("conductivity", "capacity"), ((1.0, 0.94), (0.94, 1.0)))
    assert words.correlation_warnings(correlation, TWO) == []
    assert words.correlation_warnings(CorrelationEntry(), TWO) == []


def test_autocorrelated_residuals_and_what_they_did():
    residuals = {"t": ResidualEntry(0.84, 1.0)}
    labels = {"t": "soil temperature"}
    head = (
        "Residuals are autocorrelated in soil temperature (lag-1 0.84): neighbouring errors "
        "repeat each other, so the data hold less information than their number says. "
    )
    assert words.residual_warnings(residuals, {"a": entry()}, labels) == [
        f"{head}The error bars were widened for this, to 2.6 times the naive ones."
    ]
    wider = {"a": entry(), "b": entry(sd=0.0825)}
    assert words.residual_warnings(residuals, wider, labels) == [
        f"{head}The error bars were widened for this, to 2.6 to 5.0 times the naive ones."
    ]
    assert words.residual_warnings(residuals, {"a": entry(sd_naive=0.043)}, labels) == [
        f"{head}The error bars were not widened for this and are too narrow."
    ]
    assert words.residual_warnings(residuals, {"a": entry(sd=None)}, labels) == [
        f"{head}There are no error bars to judge."
    ]


def test_no_error_bars_no_inflation():
    assert words.inflation({"a": entry(sd=None)}) is None
    assert words.inflation({}) is None
    assert words.inflation({"a": entry()}) == pytest.approx((2.606, 2.606), abs=1e-3)
    assert math.isfinite(words.inflation({"a": entry(), "b": entry(sd_naive=None)})[0])

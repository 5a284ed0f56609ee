import math

import pytest

from caliche.report.numbers import (
    interval,
    percent,
    plain,
    pretty_unit,
    rounded,
    scaled_unit,
    shared_power,
    value_and_sd,
    with_unit,
)


@pytest.mark.parametrize(
    ("value", "sd", "text"),
    [
        (0.826, 0.043, "0.826 ± 0.043"),
        (0.8261, 0.0994, "0.826 ± 0.099"),
        (0.8261, 0.0996, "0.83 ± 0.10"),
        (1.482e6, 6.1e4, "(1.482 ± 0.061) × 10⁶"),
        (99960.0, 12.0, "99960 ± 12"),
        (99999.9, 12.0, "(1.00000 ± 0.00012) × 10⁵"),
        (5.573e-7, 2.1e-8, "(5.57 ± 0.21) × 10⁻⁷"),
        (12345.0, 1234.0, "12300 ± 1200"),
        (306.12, 0.31, "306.12 ± 0.31"),
        (-0.004, 0.5, "0.00 ± 0.50"),
        (-3.2, 0.5, "−3.20 ± 0.50"),
        (0.0, 0.01, "0.000 ± 0.010"),
        (0.3, 45.0, "0 ± 45"),
        (0.85, 1.2e-12, "0.85 ± 1.2 × 10⁻¹²"),
        (0.826, None, "0.826"),
        (0.826, math.inf, "0.826"),
        (0.826, 0.0, "0.826"),
        (None, 0.1, "–"),
    ],
)
def test_an_estimate_carries_the_digits_of_its_error_bar(value, sd, text):
    assert value_and_sd(value, sd) == text


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.5, 4, "0.5"),
        (12.3456, 4, "12.35"),
        (2.0e6, 4, "2 × 10⁶"),
        (5.123e-5, 2, "5.1 × 10⁻⁵"),
        (23000.0, 2, "23000"),
        (-9.12e-4, 3, "−9.12 × 10⁻⁴"),
        (-1.5, 3, "−1.5"),
        (0.0, 3, "0"),
        (None, 3, "–"),
        (math.nan, 3, "–"),
    ],
)
def test_a_number_alone(value, digits, text):
    assert plain(value, digits) == text


def test_rounded_numbers_keep_their_zeros():
    assert rounded(0.5) == "0.500"
    assert rounded(1.4) == "1.40"
    assert rounded(2e6) == "2.00 × 10⁶"


def test_an_interval_is_written_to_the_place_of_its_estimate():
    assert interval([0.7417, 0.9103], 0.043, 0.826) == "0.742 to 0.910"
    assert interval([1.3624e6, 1.6016e6], 6.1e4, 1.482e6) == "(1.362 to 1.602) × 10⁶"
    assert interval([0.1, 0.2], None, 0.15) == "0.1 to 0.2"
    assert interval([None, 0.2], 0.1, 0.15) == "– to 0.20"
    assert interval(None, 0.1, 0.15) == "–"


def test_units_are_set_with_raised_exponents():
    assert pretty_unit("W m-1 K-1") == "W m⁻¹ K⁻¹"
    assert pretty_unit("kg m-2 s-1") == "kg m⁻² s⁻¹"
    assert pretty_unit("1") == pretty_unit("-") == pretty_unit("") == ""
    assert with_unit("0.21", "1") == "0.21"
    assert scaled_unit("J m-3 K-1", 6) == "10⁶ J m⁻³ K⁻¹"
    assert scaled_unit("1", 0) == ""


def test_an_axis_of_millions_gives_up_a_power_of_ten():
    assert shared_power([5e5, 4e6, math.nan]) == 6
    assert shared_power([0.1, 80.0]) == 0
    assert shared_power([0.0]) == 0


def test_percentages_are_short():
    assert percent(0.043, 0.826) == "5 %"
    assert percent(0.31, 306.12) == "0.1 %"
    assert percent(1e-9, 1.0) == "under 0.1 %"
    assert percent(1.0, 0.0) == ""

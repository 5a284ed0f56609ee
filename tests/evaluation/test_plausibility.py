"""Published ranges, and what is said of values in and out of them."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from caliche.evaluation.plausibility import (
    BULK,
    RANGES,
    base_name,
    judge,
    judge_result,
    shared_materials,
)


def test_a_value_inside_names_the_ranges_that_hold_it():
    found = judge("thermal_conductivity", 0.8, (0.7, 0.9))
    assert found.verdict == "inside"
    assert [p.material for p in found.published] == [
        "dry to saturated sandy soil",
        "dry to saturated clay soil",
        "dry to saturated dense sand",
        "asphalt, brick, dense concrete and stone",
    ]
    assert (found.published[0].low, found.published[0].high) == (0.30, 2.20)
    assert "doi:10.4324/9780203407219, table 2.1" in found.published[0].source


@pytest.mark.parametrize(
    ("value", "interval", "verdict"),
    [
        (0.3, None, "inside"),  # the ends belong to the range
        (2.9, None, "inside"),
        (3.0, None, "outside"),
        (3.0, (2.5, 3.5), "reached"),
        (3.0, (2.95, 3.5), "outside"),
        (0.02, (0.01, 0.03), "outside"),
        (3.0, (math.nan, math.nan), "outside"),  # held by a bound
    ],
)
def test_verdicts(value, interval, verdict):
    assert judge("thermal_conductivity", value, interval).verdict == verdict


def test_layers_and_times_have_the_ranges_of_their_property():
    assert base_name("thermal_conductivity_2") == "thermal_conductivity"
    assert base_name("albedo[2012-07-01]") == "albedo"
    assert base_name("initial_temperature_0.02m") == "initial_temperature_0.02m"
    assert judge("thermal_conductivity_2", 0.8, None) == judge("thermal_conductivity", 0.8, None)
    assert judge("bowen_ratio", 0.8, None) is None


def test_every_range_has_two_ends_and_a_source():
    for name, ranges in RANGES.items():
        for r in ranges:
            assert 0.0 < r.low < r.high, name
            assert "doi:10." in r.source


def test_diffusivities_agree_with_conductivity_over_heat_capacity():
    conductivity, capacity, diffusivity = ({r.material: r for r in RANGES[n]} for n in BULK)
    for material, k in conductivity.items():
        c, a = capacity[material], diffusivity[material]
        # The extremes of a quotient enclose any pair of ends, to the rounding of the tables.
        assert k.low / c.high <= 1.01 * a.low
        assert k.high / c.low >= 0.99 * a.high
    for soil in ("sandy", "clay"):  # whose upper ends are those of the saturated soil
        material = f"dry to saturated {soil} soil"
        wet = conductivity[material].high / capacity[material].high
        assert wet == pytest.approx(diffusivity[material].high, rel=0.05)


@pytest.mark.parametrize("name", RANGES)
def test_ranges_of_a_property_leave_no_gap_between_them(name):
    """So that "outside every range" always means beyond their ends."""
    reach = min(r.low for r in RANGES[name])
    for r in sorted(RANGES[name], key=lambda r: r.low):
        assert r.low <= reach or r.low == pytest.approx(reach)
        reach = max(reach, r.high)


def result(converged=True, **parameters):
    entries = {
        name: SimpleNamespace(estimate=value, sd=sd, interval=interval, fixed=sd is None)
        for name, (value, sd, interval) in parameters.items()
    }
    return SimpleNamespace(
        converged=converged,
        parameters=entries,
        derived={"thermal_diffusivity": (4e-7, 2e-8, "m2 s-1", "thermal diffusivity")},
    )


def test_only_what_was_estimated_is_judged():
    fit = result(
        thermal_conductivity=(0.8, 0.1, (0.6, 1.0)),
        albedo=(0.17, None, None),  # prescribed
        emissivity=(0.95, math.inf, (-math.inf, math.inf)),  # left open by the data
        bottom_temperature=(300.0, 1.0, (298.0, 302.0)),
    )
    assert list(judge_result(fit, {})) == ["thermal_conductivity", "thermal_diffusivity"]
    assert judge_result(fit, {"thermal_conductivity": 1.0}) == {}
    assert judge_result(result(converged=False, albedo=(0.2, 0.1, (0.0, 0.4))), {}) == {}


def test_properties_that_no_one_material_shares():
    peat = {n: judge(n, v, None) for n, v in zip(BULK, (0.1, 3.5e6, 1.1e-7), strict=True)}
    assert shared_materials(peat) == {"": ({"dry to saturated peat soil"}, 3)}
    odd = {n: judge(n, v, None) for n, v in zip(BULK[:2], (2.8, 0.6e6), strict=True)}
    assert shared_materials(odd) == {"": (set(), 2)}

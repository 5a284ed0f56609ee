"""What the report says of ranges, benchmarks and published models."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from caliche.data.published import STREAMS, urban_plumber
from caliche.evaluation.plausibility import judge
from caliche.keys.records import from_json, to_json
from caliche.report import write_report
from caliche.report.run.folder import read_run
from caliche.report.run.validation import (
    comparisons,
    plausibility_sentences,
    plausibility_sources,
    published_table,
    verdict,
)
from caliche.runs.run_summary import DerivedEntry, ParameterEntry, RunSummary

NAMES = {
    "thermal_conductivity": ("thermal conductivity of the soil", "W m-1 K-1"),
    "volumetric_heat_capacity": ("volumetric heat capacity of the soil", "J m-3 K-1"),
    "thermal_diffusivity": ("thermal diffusivity", "m2 s-1"),
    "albedo": ("albedo", "1"),
}


def summary(intervals=(), **values):
    entries = {
        n: ParameterEntry(estimate=1.0, long_name=text, unit=unit)
        for n, (text, unit) in NAMES.items()
    }
    judged = {n: judge(n, v, dict(intervals).get(n)) for n, v in values.items()}
    run = RunSummary(title="", method="lm", converged=True, reason="", fit={}, parameters=entries)
    return replace(run, plausibility=judged)


def test_a_value_inside_is_told_with_the_range_in_numbers():
    (text,) = plausibility_sentences(summary(thermal_conductivity=0.28))
    assert text == (
        "Thermal conductivity of the soil, 0.28 W m⁻¹ K⁻¹, is inside the published range of dry to "
        "saturated clay soil (0.15 to 1.58 W m⁻¹ K⁻¹), and also of dry to saturated peat soil."
    )


def test_a_value_outside_compensates_for_something():
    (text,) = plausibility_sentences(summary(albedo=0.02))
    assert text == (
        "Albedo, 0.020, is outside every published range (0.05 to 0.95 at the widest): the "
        "estimate compensates for something else."
    )
    (text,) = plausibility_sentences(summary({"albedo": (0.01, 0.1)}.items(), albedo=0.02))
    assert text.endswith("although its 95 % interval reaches into them.")


def test_properties_are_judged_together_only_where_each_is_possible():
    *_, fit = plausibility_sentences(
        summary(thermal_conductivity=1.0, volumetric_heat_capacity=2e6, thermal_diffusivity=5e-7)
    )
    assert fit == (
        "Together, conductivity, heat capacity and diffusivity fit asphalt, brick, dense concrete "
        "and stone, dry to saturated clay soil, dry to saturated dense sand or dry to saturated "
        "sandy soil."
    )
    *_, odd = plausibility_sentences(
        summary(thermal_conductivity=2.8, volumetric_heat_capacity=6e5)
    )
    assert odd.startswith("No one of these materials has this conductivity and heat capacity")
    one = plausibility_sentences(
        summary(thermal_conductivity=9.0, volumetric_heat_capacity=2e6, thermal_diffusivity=4.5e-6)
    )
    assert len(one) == 3


def test_a_layer_is_named_and_a_lonely_range_marked():
    judged = {n: judge(n, v, None) for n, v in (("thermal_diffusivity_2", 4e-8), ("albedo", 0.51))}
    derived = {"thermal_diffusivity_2": DerivedEntry(4e-8, None, "m2 s-1", "thermal diffusivity")}
    facts = replace(summary(), plausibility=judged, derived=derived)
    layer, albedo = plausibility_sentences(facts)
    assert layer.startswith("Thermal diffusivity, layer 2, 4.0 × 10⁻⁸ m² s⁻¹, is outside every")
    assert albedo == (
        "Albedo, 0.51, is inside the published range of old to fresh snow (0.4 to 0.95), and of "
        "nothing else."
    )


def test_sources_are_those_of_the_ranges_used():
    assert "Oke (1987)" in plausibility_sources(summary(albedo=0.2))
    assert "Moene" not in plausibility_sources(summary(albedo=0.2))
    assert "Moene" in plausibility_sources(summary(thermal_conductivity=0.2))
    assert plausibility_sources(summary()) == ""


def with_forcing(summary, dataset):
    net = dataset["net_radiation_modelled"].values
    sun = np.maximum(net, 0.0) * 1.4
    dataset["forcing_incoming_shortwave"] = ("time", sun)
    dataset["forcing_air_temperature"] = ("time", 300.0 + 0.01 * sun)
    judged = judge("thermal_conductivity", 0.826, None)
    summary["plausibility"] = {"thermal_conductivity": to_json(judged)}
    for name in summary["holdout"]:
        summary["holdout"][name]["mae"] = 1.25


def test_the_page_shows_ranges_benchmarks_and_published_models(build_run):
    folder = build_run(change=with_forcing)
    page = write_report(folder).read_text("utf-8")
    assert "is inside the published range of dry to saturated sandy soil" in page
    assert "Fluxes in the hold-out, beside regressions on the weather" in page
    assert "3lin is missing: no relative humidity in the run." in page
    assert "Beside models of Urban-PLUMBER at US-WestPhoenix" in page
    assert "cover the 2 days of its hold-out" in page
    assert "Ensemble mean" in page
    run = read_run(folder)
    first = comparisons(run)[0]
    assert verdict(first) in ("beats 1lin", "loses to 1lin")
    assert first.scores["1lin"].n == first.scores["caliche"].n > 20


def test_a_run_without_any_of_it_has_no_such_sections(build_run):
    def elsewhere(summary, dataset):
        dataset.attrs["site"] = "US-Bo1"

    page = write_report(build_run(change=elsewhere)).read_text("utf-8")
    for title in ("Against published ranges", "regressions on the weather", "Urban-PLUMBER"):
        assert title not in page


def test_without_a_hold_out_there_is_no_benchmark_table(build_run):
    def forcing(summary, dataset):
        dataset["forcing_incoming_shortwave"] = dataset["net_radiation_modelled"]

    assert comparisons(read_run(build_run(holdout=False, change=forcing))) == []


def test_the_published_table_has_its_known_numbers():
    models = urban_plumber("US-WestPhoenix")
    assert len(models) == 11
    assert models["CLMU5"]["soil_temperature_0.02m"] == (2.25, 2.76)
    assert models["Ensemble mean"]["latent_heat_flux"] == (11.2, 20.3)
    assert "soil_temperature_0.02m" not in models["SUEWS"]
    for errors in models.values():
        assert set(errors) <= set(STREAMS.values())
        assert all(0.0 < mae < rmse for mae, rmse in errors.values())
    assert urban_plumber("US-Bo1") == {}


def test_published_models_stand_beside_what_the_run_has(build_run):
    def more(summary, dataset):
        with_forcing(summary, dataset)
        summary["holdout"]["outgoing_longwave"] |= {"mae": 8.0, "rmse": 11.5}

    table = published_table(read_run(build_run(change=more)))
    assert table["rows"][0] == {
        "name": "this run (hold-out)",
        "cells": ["–", "8.0 / 11.5", "–", "–", "–"],
    }
    assert table["rows"][1]["cells"][0] == "8.6 / 10.2"


@pytest.mark.parametrize("entry", [None, {}])
def test_a_summary_of_an_older_version_says_nothing(entry):
    table = {**to_json(summary()), "plausibility": entry}
    assert plausibility_sentences(from_json(RunSummary, table)) == []

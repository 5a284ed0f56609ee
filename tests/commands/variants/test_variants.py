"""Variants of an experiment: what they change, what they find, and how a run goes on."""

from __future__ import annotations

import csv
import json
import math
import re

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
import tomli_w

from caliche.commands.variants.compare import compare, effective_size
from caliche.commands.variants.config import as_text, own_variants, variant_config
from caliche.commands.variants.families import FAMILIES, default_variants
from caliche.commands.variants.fit import TwinVariant, variant_experiment
from caliche.commands.variants.run import chosen_variants, first_guesses, run_variants
from caliche.commands.variants.words import conclusion, quantity, sentences, signed
from caliche.errors import InputError
from caliche.experiments import bundled, load_experiment, read_config
from caliche.experiments.experiment import Experiment

pytestmark = pytest.mark.ci

SMALL = ("synthetic.hours=48", "model.nodes=21", "model.depth=0.4", "method.starts=2")
PERFECT = (*SMALL, "synthetic.noise=false")


def values_of(config):
    return first_guesses(Experiment(config))


def changed(name: str, variant: str) -> Experiment:
    """A bundled experiment under one of its default variants."""
    config = read_config(name)
    (found,) = [v for v in default_variants(config, values_of(config)) if v.name == variant]
    return Experiment(variant_config(config, found.changes))


# -- what a variant is ------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(bundled()))
def test_every_default_variant_is_a_configuration_or_says_why_not(name):
    config = read_config(name)
    variants = default_variants(config, values_of(config))
    lad = config.raw["model"]["name"] == "lad"  # whose structure has no families yet
    assert {v.family for v in variants} == ({"dt", "window"} if lad else set(FAMILIES))
    assert len({v.name for v in variants}) == len(variants)
    refused = []
    for variant in variants:
        if variant.impossible:
            continue
        try:
            Experiment(variant_config(config, variant.changes)).space  # noqa: B018
        except InputError:
            refused.append(variant.name)
    # Half of the column would leave out the lowest knot of its initial profile.
    deep = ("west-phoenix-best", "west-phoenix-monsoon")
    assert refused == (["depth-half"] if name in deep else [])


def test_a_split_soil_inherits_and_a_joined_one_too():
    two = changed("west-phoenix-2cm", "layers-two")
    for layer in (1, 2):
        p = two.config.parameters[f"thermal_conductivity_{layer}"]
        assert (p.prior, p.mean, p.sd) == ("log-normal", 1.0, 0.5)
    assert "thermal_conductivity" not in two.config.parameters
    one = changed("bondville", "layers-one")
    assert one.config.parameters["volumetric_heat_capacity"].fixed
    assert one.config.parameters["volumetric_heat_capacity"].value == 2.7e6
    assert not one.config.parameters["thermal_conductivity"].fixed
    assert {"thermal_conductivity", "albedo"} < set(one.space.names)


def test_parameters_follow_closure_bottom_and_start():
    names = changed("west-phoenix", "closure-bowen-ratio").space.names
    assert {"heat_transfer_coefficient", "bowen_ratio"} < set(names)
    assert "combined_heat_transfer_coefficient" not in names
    insulated = changed("west-phoenix", "bottom-zero-flux")
    assert "bottom_temperature" not in insulated.space.names
    assert "initial_temperature" in insulated.space.names
    start = changed("west-phoenix", "initial-estimated")
    assert {"initial_temperature_0.05m", "initial_temperature_0.15m"} < set(start.space.names)


def test_a_measured_bottom_becomes_a_fixed_one():
    config = read_config(
        "bondville",
        [
            "model.bottom=measured-temperature",
            "model.bottom_stream=soil_temperature_0.64m",
            "parameters={albedo={}}",
            "parameters.bottom_temperature={fixed=true}",
        ],
    )
    (variant,) = [
        v
        for v in default_variants(config, {"albedo": 0.2, "emissivity": 0.95})
        if v.name == "bottom-fixed-temperature"
    ]
    after = variant_config(config, variant.changes)
    assert after.model.bottom_stream is None
    assert after.model.bottom == "fixed-temperature"


def test_grids_are_nested_and_the_window_is_cut():
    config = read_config("west-phoenix-best")
    nodes = np.array(config.model.node_depths)
    fine = np.array(changed("west-phoenix-best", "dz-half").config.model.node_depths)
    assert fine[::2] == pytest.approx(nodes, abs=1e-11)
    coarse = np.array(changed("west-phoenix-best", "dz-double").config.model.node_depths)
    assert coarse == pytest.approx(nodes[::2], abs=1e-11)
    deep = np.array(changed("west-phoenix-2cm", "depth-double").config.model.node_depths)
    before = np.array(read_config("west-phoenix-2cm").model.node_depths)
    assert deep[: len(before)] == pytest.approx(before, abs=1e-11)
    assert deep[-1] == pytest.approx(2.0)
    assert np.all(np.diff(deep) > 0.0)
    first = changed("west-phoenix", "window-first-half").config.window
    second = changed("west-phoenix", "window-second-half").config.window
    whole = config.window
    assert (first.start, second.fit_until) == (whole.start, whole.fit_until)
    assert first.fit_until == second.start == whole.start + (whole.fit_until - whole.start) / 2
    assert first.end == second.end == whole.end


def test_a_longer_step_lengthens_means_that_are_shorter():
    longer = changed("west-phoenix-best", "dt-double").config.observations
    assert longer["soil_temperature_0.05m"].average == 3600.0
    shorter = changed("west-phoenix-best", "dt-half").config.observations
    assert shorter["soil_temperature_0.05m"].average == 1800.0


def test_variants_of_ones_own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'extends = "twin-two-depths"\n'
        '[variants.damp]\ntitle = "a damper soil"\nmodel.depth = 2.0\n'
        "[variants.damp.parameters]\nvolumetric_heat_capacity = { value = 3e6, fixed = true }\n"
    )
    config = read_config(path)
    text = 'sharp: observations."soil_temperature_0.05m".sigma=0.05; model.nodes=51'
    damp, sharp = own_variants(config, [text])
    assert (damp.name, damp.what, damp.family) == ("damp", "a damper soil", "own")
    after = variant_config(config, damp.changes)
    assert after.parameters["volumetric_heat_capacity"].fixed
    assert after.model.node_depths[-1] == 2.0
    assert sharp.what == 'observations."soil_temperature_0.05m".sigma=0.05, model.nodes=51'
    assert as_text(sharp.changes) == sharp.what.split(", ")
    experiment = Experiment(config)
    names = [v.name for v in chosen_variants(experiment, first_guesses(experiment), ["dt"], [text])]
    assert names == ["dt-half", "dt-double", "sharp"]
    every = chosen_variants(experiment, first_guesses(experiment), [], [text])
    assert {"damp", "sharp", "albedo-minus"} < {v.name for v in every}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("no colon", 'a variant of the form "name: key=value'),
        ("a=b: model.depth=2", 'a variant of the form "name: key=value'),
        ("two words: model.depth=2", "a name of letters"),
        ("base: model.depth=2", "other than base"),
        ("x: model.depth", "an override of the form key=value"),
    ],
)
def test_a_variant_that_cannot_be_read(text, told):
    with pytest.raises(InputError, match=re.escape(told)):
        own_variants(read_config("twin-two-depths"), [text])


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("damp = 2.0", "a table for damp in experiment mine, [variants]"),
        ("damp = { title = 2.0 }", "text for title in experiment mine, [variants.damp]"),
    ],
)
def test_a_table_of_a_variant_that_cannot_be_read(tmp_path, table, told):
    path = tmp_path / "mine.toml"
    path.write_text(f'extends = "twin-two-depths"\n[variants]\n{table}\n')
    with pytest.raises(InputError, match=re.escape(told)):
        read_config(path)


def test_unknown_and_doubled_names_are_refused():
    experiment = load_experiment("twin-two-depths")
    values = first_guesses(experiment)
    with pytest.raises(InputError, match="did you mean 'closure'"):
        chosen_variants(experiment, values, ["closures"])
    with pytest.raises(InputError, match="two called dt-half"):
        chosen_variants(experiment, values, own=["dt-half: window.time_step=900"])


# -- against known answers --------------------------------------------------------------------


@pytest.fixture(scope="module")
def perfect(tmp_path_factory):
    """A twin without noise, fitted by its own model, and with other steps and schemes."""
    own = ["same: window.time_step=3600", "dt-quarter: window.time_step=900"]
    folder = tmp_path_factory.mktemp("perfect") / "run"
    return run_variants(
        load_experiment("twin-two-depths", PERFECT),
        folder,
        ["dt", "scheme-sdirk2", "closure"],
        own,
        starts=2,
    )


def found(run, name):
    return next(v for v in run.summary["variants"] if v["name"] == name)


def shifts(run, name):
    return {p: e[0]["shift"] for p, e in found(run, name)["shifts"].items()}


def test_the_same_again_moves_nothing(perfect):
    same = found(perfect, "same")
    assert same["status"] == "converged"
    assert same["comparable"]
    assert same["largest_shift"] < 1e-4
    assert same["delta"]["tempered_bic"] == pytest.approx(0.0, abs=1e-6)
    assert same["rmse"]["value"] == pytest.approx(0.0, abs=1e-6)


def test_the_error_of_backward_euler_is_of_first_order(perfect):
    """From dt to dt/2 half of the error goes, to dt/4 three quarters; to 2 dt it doubles."""
    half, quarter, double = (shifts(perfect, n) for n in ("dt-half", "dt-quarter", "dt-double"))
    for name in ("albedo", "combined_heat_transfer_coefficient", "volumetric_heat_capacity"):
        assert abs(half[name]) > 1.0, name
        assert quarter[name] / half[name] == pytest.approx(1.5, rel=0.15), name
        assert double[name] * half[name] < 0.0, name


@pytest.mark.parametrize("name", ["dt-half", "scheme-sdirk2"])
def test_a_shift_is_what_the_linearised_problem_predicts(perfect, name):
    """At the truth the other model's residuals are its discretisation error alone."""
    base = load_experiment("twin-two-depths", PERFECT)
    values = first_guesses(base)
    (variant,) = chosen_variants(base, values, [name])
    problem = variant_experiment(base, variant_config(base.config, variant.changes)).problem()
    u = problem.space.to_whitened({k: jnp.asarray(v) for k, v in base.truth.items()})
    linearise = eqx.filter_jit(lambda p, u: p.linearise(u))
    residual, jacobian = (np.asarray(part) for part in linearise(problem, u))
    step = -np.linalg.lstsq(jacobian, residual, rcond=None)[0]
    moved = np.asarray(problem.space.vector(u + step)) - np.asarray(problem.space.vector(u))
    entries = perfect.summary["base"]["parameters"]
    predicted = {p: m / entries[p]["sd"] for p, m in zip(problem.space.names, moved, strict=True)}
    actual = shifts(perfect, name)
    for parameter in ("albedo", "combined_heat_transfer_coefficient"):
        assert actual[parameter] == pytest.approx(predicted[parameter], rel=0.3), parameter


def test_a_twin_keeps_the_observations_of_its_own_model(perfect):
    base = load_experiment("twin-two-depths", SMALL)
    config = variant_config(base.config, {"window": {"time_step": 1800.0}})
    other = variant_experiment(base, config)
    assert isinstance(other, TwinVariant)
    made, kept = (e.dataset["surface_temperature"].values for e in (base, other))
    assert kept[::2] == pytest.approx(made, abs=0.0)
    assert np.isnan(kept[1::2]).all()
    assert found(perfect, "dt-half")["comparable"]
    assert not found(perfect, "dt-double")["comparable"]
    assert found(perfect, "dt-double")["criteria"] is None


def test_derived_quantities_count_and_what_cannot_run_is_told(perfect):
    bowen = found(perfect, "closure-bowen-ratio")
    (entry,) = bowen["shifts"]["combined_heat_transfer_coefficient"]
    assert entry["estimate"] == pytest.approx(25.0, rel=1e-4)
    assert abs(entry["shift"]) < 0.01
    bulk = found(perfect, "closure-bulk-transfer")
    assert bulk["status"] == "cannot run"
    assert "wind_speed in the forcing of the twin" in bulk["reason"]
    assert perfect.converged


def test_the_folder_tells_all(perfect):
    names = sorted(p.name for p in perfect.folder.iterdir())
    assert names == ["config.toml", "finished", "run.json", "variants.csv", "variants.json"]
    text = (perfect.folder / "variants.json").read_text("utf-8")
    assert json.loads(text) == perfect.summary
    with open(perfect.folder / "variants.csv", encoding="utf-8") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert next(iter(rows)) == "base"
    half = rows["dt-half"]
    shift = (float(half["albedo"]) - float(rows["base"]["albedo"])) / float(
        rows["base"]["albedo_sd"]
    )
    assert float(half["albedo_shift"]) == pytest.approx(shift)
    assert rows["closure-bulk-transfer"]["albedo"] == ""
    # A configuration of each variant that ran, to be calibrated by itself.
    config = read_config(perfect.folder / "finished" / "scheme-sdirk2.toml")
    assert config.model.scheme == "sdirk2"


@pytest.fixture(scope="module")
def layered(tmp_path_factory):
    """A tower over two layers, made by the model, and fitted as if it were one."""
    truth = {
        "albedo": 0.2,
        "combined_heat_transfer_coefficient": 25.0,
        "bottom_temperature": 293.0,
        "thermal_conductivity_1": 0.5,
        "thermal_conductivity_2": 1.5,
        "volumetric_heat_capacity_1": 1.5e6,
        "volumetric_heat_capacity_2": 3.0e6,
    }
    streams = ["soil_temperature_0.02m", "soil_temperature_0.10m"]
    raw = read_config("twin-two-depths").raw
    model = {"nodes": 21, "depth": 0.4, "layer_bottoms": [0.06]}
    parameters = {k: v for k, v in raw["parameters"].items() if k in truth}
    config = variant_config(
        read_config("twin-two-depths", ["synthetic.hours=72"]),
        {"model": model, "synthetic": {"noise": False}, "parameters": parameters},
    ).raw
    config = {**config, "observations": {name: {"sigma": 0.1} for name in streams}}
    config["synthetic"] = {"hours": 72, "noise": True, "seed": 5, "truth": truth}
    folder = tmp_path_factory.mktemp("layered")
    (folder / "truth.toml").write_text(tomli_w.dumps(config))
    made = load_experiment(folder / "truth.toml").dataset
    columns = ["incoming_shortwave", "incoming_longwave", "air_temperature", *streams]
    frame = made[columns].to_dataframe().rename_axis("time")
    frame.to_csv(folder / "tower.csv", float_format="%.9g")
    tower = {
        "sources": {
            "tower": {
                "path": "tower.csv",
                "format": "table",
                "time": {"column": "time", "stamp": "end", "utc_offset": 0.0},
                "columns": {name: {"name": name, "unit": made[name].units} for name in columns},
            }
        },
        "window": {
            "start": "START",
            "fit_until": "UNTIL",
            "end": "END",
            "time_step": 3600,
        },
        "model": {**raw["model"], "nodes": 21, "depth": 0.4},
        "parameters": raw["parameters"],
        "observations": config["observations"],
        "method": {"starts": 3},
    }
    text = tomli_w.dumps(tower)
    for word, hour in (("START", "01T00"), ("UNTIL", "03T12"), ("END", "04T00")):
        text = text.replace(f'"{word}"', f"2000-01-{hour}:00:00Z")
    (folder / "tower.toml").write_text(text)
    experiment = load_experiment(folder / "tower.toml")
    return truth, run_variants(experiment, folder / "run", ["layers", "dz-half"], starts=3)


@pytest.mark.slow
def test_a_missing_layer_is_flagged(layered):
    truth, run = layered
    two = found(run, "layers-two")
    assert two["what"] == "two soil layers, split at 0.06 m"
    # What it finds is the truth, and it is preferred by any criterion.
    for name, p in two["parameters"].items():
        if not p["fixed"]:
            assert abs(p["estimate"] - truth[name]) < 4.0 * p["sd"], name
    assert two["delta"]["tempered_bic"] < -6.0
    assert two["delta"]["aic"] < two["delta"]["tempered_bic"]
    assert two["holdout_rmse"]["value"] < run.summary["base"]["holdout_rmse"]["value"]
    told = run.summary["sentences"][0]
    assert told.startswith("With two soil layers, split at 0.06 m, ")
    assert "thermal_conductivity in layer" in told
    assert "it fits better" in told
    conclusion = " ".join(run.summary["conclusion"])
    assert "speak most clearly for two soil layers" in conclusion
    assert "the hold-out agrees, with an RMSE of" in conclusion
    assert "the number of soil layers for" in conclusion
    # The grid is not to blame.
    assert found(run, "dz-half")["largest_shift"] < 1.0


# -- stopping and going on --------------------------------------------------------------------


def test_a_run_that_was_stopped_goes_on(tmp_path, perfect):
    experiment = load_experiment("twin-two-depths", PERFECT)
    choice = {"only": ["dt", "scheme-sdirk2"], "own": ["same: window.time_step=3600"], "starts": 2}

    def stop(number, of, record, before):
        assert of == (4 if number else 0)
        if number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_variants(experiment, tmp_path / "run", callback=stop, **choice)
    assert not (tmp_path / "run" / "variants.json").exists()
    done = {p: p.stat().st_mtime_ns for p in (tmp_path / "run" / "finished").iterdir()}
    assert sorted(p.name for p in done if p.suffix == ".json") == [
        "base.json",
        "dt-double.json",
        "dt-half.json",
    ]
    # Half a file of a variant that was being written is no variant.
    (tmp_path / "run" / "finished" / ".scheme-sdirk2.json.1").write_text('{"name": "sch')
    seen = []
    run = run_variants(
        experiment,
        tmp_path / "run",
        **choice,
        callback=lambda number, of, record, before: seen.append((record["name"], before)),
    )
    assert [name for name, before in seen if before] == ["base", "dt-half", "dt-double"]
    assert {p: p.stat().st_mtime_ns for p in done} == done
    for name in ("dt-double", "scheme-sdirk2"):
        assert shifts(run, name) == pytest.approx(shifts(perfect, name), rel=1e-9), name
    # What has been changed since is fitted again.
    choice = {"only": ["own"], "own": ["same: model.nodes=31"], "starts": 2}
    other = run_variants(experiment, tmp_path / "run", **choice)
    assert found(other, "same")["largest_shift"] > 1e-3
    for config, starts in ((SMALL, 5), (PERFECT, 3)):
        with pytest.raises(InputError, match="begun differently"):
            run_variants(
                load_experiment("twin-two-depths", config), tmp_path / "run", ["dt"], starts=starts
            )
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="which holds something else"):
        run_variants(experiment, tmp_path / "foreign", ["dt"])


# -- the comparison, by hand ------------------------------------------------------------------


def record(name, estimate, sd, chi_square=100.0, p=1.0, **more):
    score = {"n": 100, "rmse": 1.0, "unit": "K", "sigma": 1.0, "fitted": True}
    entry = {"estimate": estimate, "sd": sd, "unit": "K", "fixed": False, "at_bound": False}
    return {
        "name": name,
        "family": "depth",
        "kind": "physics",
        "what": f"a {name}",
        "finer": False,
        "status": "converged",
        "reason": "",
        "parameters": {"warmth": entry},
        "derived": {},
        "fit": {"t": score},
        "holdout": None,
        "held_out": None,
        "observed": "x",
        "chi_square": {"t": chi_square},
        "n_effective_parameters": p,
        "residuals": {
            "t": {"n": 100, "lag1_autocorrelation": 0.5, "inflation": 6.0, "variance_ratio": 2.0}
        },
        **more,
    }


def test_shifts_and_criteria_by_hand():
    base, other = record("base", 10.0, 3.0), record("cave", 16.0, 4.0, chi_square=70.0, p=2.5)
    base["residuals"]["t"]["inflation"] = 11.0
    stranger = record("dune", 10.0, 3.0, chi_square=1.0, observed="y")
    assert compare(base, [other, stranger]) is other  # the best fit to the same observations
    (entry,) = other["shifts"]["warmth"]
    assert (entry["shift"], entry["shift_combined"]) == (2.0, pytest.approx(6.0 / 5.0))
    size = 100.0 * 0.5 / 1.5
    assert effective_size(other) == pytest.approx(size)
    assert other["delta"]["aic"] == pytest.approx(-30.0 + 2.0 * 1.5)
    assert other["delta"]["bic"] == pytest.approx(-30.0 + 1.5 * math.log(size))
    assert other["delta"]["tempered_bic"] == pytest.approx(-5.0 + 1.5 * math.log(size))
    assert stranger["criteria"] is None
    assert base["delta"] == {"aic": 0.0, "bic": 0.0, "tempered_bic": 0.0}


def test_a_fixed_or_unconstrained_parameter_has_no_shift():
    base = record("base", 10.0, 3.0)
    fixed, loose = record("rock", 12.0, None), record("sand", 12.0, None)
    fixed["parameters"]["warmth"]["fixed"] = True
    compare(base, [fixed, loose])
    assert fixed["shifts"]["warmth"][0]["shift"] is None
    assert fixed["largest_shift"] is None
    (entry,) = loose["shifts"]["warmth"]
    assert entry["shift"] == pytest.approx(2.0 / 3.0)
    assert entry["shift_combined"] is None


def test_sentences_come_worst_first_and_only_beyond_one_sd():
    base = record("base", 10.0, 3.0)
    variants = [record("rock", 14.0, 3.0), record("pond", 2.0, 3.0), record("sand", 12.9, 3.0)]
    compare(base, variants)
    told = sentences(base, variants)
    assert told == [
        "With a pond, warmth moves by −2.7 sd (−1.9 combined; from 10.0 ± 3.0 to 2.0 ± 3.0 K); it "
        "fits about as well (ΔBIC 0.0).",
        "With a rock, warmth moves by +1.3 sd (+0.9 combined; from 10.0 ± 3.0 to 14.0 ± 3.0 K); it "
        "fits about as well (ΔBIC 0.0).",
    ]
    assert conclusion(base, variants)[:2] == [
        "Of 3 variants 2 move at least one estimate by more than its sd.",
        "What matters most is the depth of the column for warmth (−2.7 sd).",
    ]
    lost = [record("rock", 14.0, 3.0, status="did not converge")]
    compare(base, lost)
    assert sentences(base, lost) == []
    assert conclusion(base, lost) == ["No variant could be compared with the base."]


@pytest.mark.parametrize("shift", [0.2, 5.0])
def test_a_discretisation_that_matters_is_told(shift):
    base = record("base", 10.0, 3.0)
    variants = [record("cave", 12.0, 3.0)]
    for name, by, finer in (("fine", shift, True), ("coarse", 9.0, False)):
        variants.append(record(name, 10.0 + 3.0 * by, 3.0, kind="numerics", finer=finer))
    compare(base, variants)
    last = conclusion(base, variants)[2]
    assert ("refine it first" in last) is (shift > 1.0)
    assert f"{shift:.1f} sd (fine)" in last


def test_numbers_in_sentences():
    assert signed(-0.04) == "0.0"
    assert signed(3.25) == "+3.2"
    assert quantity(2.2e6, 1.9e4) == "(2.200 ± 0.019)e6"
    assert quantity(5e5, None) == "5e5"
    assert quantity(291.0, 10.3) == "291 ± 10"

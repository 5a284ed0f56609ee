"""The keys of [model] for closures, bottoms, starts and the bucket: what they do and refuse."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from caliche.commands.variants.config import variant_config
from caliche.errors import InputError
from caliche.experiments import load_experiment, read_config

SMALL = ("model.nodes=9", "model.depth=0.4", "window.time_step=3600", "synthetic.hours=48")
NO_H = "parameters.combined_heat_transfer_coefficient=false"
STABILITY = ('model.turbulence="monin-obukhov"', NO_H)
BUCKET = ('model.turbulence="bulk-transfer"', 'model.moisture="bucket"', NO_H)
BOTTOM = "parameters.bottom_temperature.variation"


def load(*overrides):
    return load_experiment("twin-two-depths", [*SMALL, *overrides])


def names(experiment):
    return {d.name for d in experiment.model.declarations}


def test_monin_obukhov_brings_its_parameters_and_height():
    model = load(*STABILITY, "model.measurement_height=4.0").model
    bounds = {d.name: (d.lower, d.upper) for d in model.declarations}
    assert bounds["roughness_length"] == (1e-4, 4.0 / 20.0)
    assert {"log_roughness_ratio", "surface_resistance", "moisture_availability"} <= set(bounds)
    assert "combined_heat_transfer_coefficient" not in bounds


def test_a_bucket_takes_rain_and_replaces_the_wetness():
    experiment = load(*BUCKET)
    assert {"water_capacity", "initial_wetness"} <= names(experiment)
    assert "moisture_availability" not in names(experiment)
    assert experiment.forcing_sources["precipitation"] == "precipitation"
    assert "precipitation" not in load('model.turbulence="bulk-transfer"', NO_H).forcing_sources


def test_a_table_that_comes_by_extends_can_be_taken_out(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'extends = "twin-two-depths"\n[model]\nturbulence = "bulk-transfer"\n'
        "[parameters]\ncombined_heat_transfer_coefficient = false\n"
    )
    assert "combined_heat_transfer_coefficient" not in read_config(path).parameters
    assert "albedo" in read_config(path).parameters


def test_a_cubic_start_is_curved():
    depths = (
        'model.initial="estimated"',
        "model.initial_depths=[0.0, 0.2, 0.4]",
        'parameters."initial_temperature_0.00m"={value=300.0, fixed=true}',
        'parameters."initial_temperature_0.20m"={value=290.0, fixed=true}',
    )
    starts = []
    for between in ("linear", "cubic"):
        experiment = load(*depths, f'model.initial_interpolation="{between}"')
        model, space = experiment.model, experiment.problem().space
        prepared = model.prepare(space.to_physical(space.initial()))
        first = {name: jnp.asarray(1.0) for name in model.forcing_variables}
        starts.append(prepared.anomalies(model.init_state(prepared, first)))
    assert starts[0][0] == pytest.approx(starts[1][0])
    assert starts[0][4] == pytest.approx(starts[1][4])  # at 0.2 m
    assert abs(starts[0][2] - starts[1][2]) > 0.5


def test_a_bottom_that_varies_moves_the_soil_above_it():
    """Its knots are entries of u that the temperatures feel, each in its time."""
    experiment = load(
        'model.bottom="varying-temperature"',
        f"{BOTTOM}={{every_days=1.0}}",
        "synthetic.noise=false",
    )
    assert experiment.model.bottom == "varying-temperature"
    problem = experiment.problem()
    knots = [k for k, name in enumerate(problem.space.names) if name.startswith("bottom_temp")]
    assert len(knots) == 3
    equations = problem.normal_equations(problem.space.initial())
    assert (np.diag(np.asarray(equations.hessian))[knots] > 1.0).all()


def test_variants_know_the_closures():
    """From a bucket to a closure without water, and away from a height of measurement."""
    wet = load(*BUCKET).config
    dry = variant_config(wet, {"model": {"turbulence": "combined", "moisture": "parameter"}})
    assert "combined_heat_transfer_coefficient" in dry.parameters
    high = load(*STABILITY, "model.measurement_height=4.0").config
    bulk = variant_config(high, {"model": {"turbulence": "bulk-transfer"}})
    assert bulk.soil_heat.measurement_height is None
    assert "bulk_transfer_coefficient" in bulk.parameters
    assert "roughness_length" not in bulk.parameters


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (['model.turbulence="monin-obukov"'], "did you mean 'monin-obukhov'"),
        (['model.moisture="buckt"'], "did you mean 'bucket'"),
        (['model.moisture="bucket"'], r"Expected .*bulk-transfer.* Got .*combined.* Try"),
        (["model.measurement_height=10.0"], "together with turbulence = 'monin-obukhov'"),
        ([*STABILITY, "model.measurement_height=-2.0"], "a number above 0 for measurement_height"),
        ([*STABILITY, "model.measurement_height=300.0"], "1 to 100 m above displacement"),
        (['model.initial_interpolation="cubc"'], "did you mean 'cubic'"),
        (['model.bottom="varying"'], "did you mean 'varying-temperature'"),
        ([f"{BOTTOM}={{every_days=1.0}}"], "set bottom = 'varying-temperature'"),
        (
            ['model.turbulence="bulk-transfer"'],
            "Got 'combined_heat_transfer_coefficient', of another turbulence",
        ),
        (["parameters.water_capacity={value=10.0}"], "of another turbulence or moisture"),
    ],
)
def test_what_the_keys_refuse(overrides, message):
    with pytest.raises(InputError, match=message) as caught:
        _ = load(*overrides).space
    assert str(caught.value).startswith("Expected ")
    assert " Got " in str(caught.value)
    assert " Try: " in str(caught.value)

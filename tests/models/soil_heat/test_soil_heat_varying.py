"""Parameters that change from step to step: `prepare` in every step."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from caliche.errors import InputError
from caliche.models import SoilHeat
from caliche.models.loop.time_loop import everything
from caliche.models.soil_heat.closures import BULK_TRANSFER, COMBINED, MONIN_OBUKHOV
from soil_heat_cases import PRESCRIBED, SCHEMES, parameters, run, steady_forcing

DEPTHS = tuple(0.6 * np.linspace(0.0, 1.0, 7) ** 2)
STEPS = 48
HOUR = 0.5 * np.arange(STEPS + 1)
DAILY = np.cos(2.0 * np.pi * (HOUR - 13.0) / 24.0)
WEATHER = {
    "incoming_shortwave": 800.0 * np.maximum(DAILY, 0.0),
    "air_temperature": 291.0 + 6.0 * DAILY,
    "precipitation": 1e-4 * (DAILY < -0.9),
}


@jax.jit
def run_prepared_each_step(model: SoilHeat, params, forcing):
    """Diagnostics of every step; parameters are constants or series (steps + 1,)."""

    def at(now):
        return model.prepare({name: p if p.ndim == 0 else p[now] for name, p in params.items()})

    state = model.init_state(at(0), {name: f[0] for name, f in forcing.items()})

    def step(state, now):
        weather = {name: f[now] for name, f in forcing.items()}
        state, diagnostics = model.step(at(now), state, weather)
        return state, everything(diagnostics)

    return jax.lax.scan(step, state, jnp.arange(1, len(forcing["incoming_shortwave"])))[1]


@pytest.mark.parametrize(
    "model",
    [
        SoilHeat(DEPTHS, 1800.0, turbulence=COMBINED),
        SoilHeat(DEPTHS, 1800.0, "crank-nicolson", BULK_TRANSFER, bottom="varying-temperature"),
        SoilHeat(DEPTHS, 1800.0, "backward-euler", MONIN_OBUKHOV, moisture="bucket"),
        SoilHeat(DEPTHS, 1800.0, layer_bottoms=[DEPTHS[3]], solver="elimination"),
        SoilHeat(DEPTHS, 1800.0, "backward-euler", layer_bottoms=[DEPTHS[3]]),
    ],
    ids=["modal", "varying-bottom", "bucket", "elimination", "layers-modal"],
)
def test_prepared_once_or_in_every_step(model):
    params, forcing = parameters(model), steady_forcing(model, STEPS, **WEATHER)
    once, each = run(model, params, forcing), run_prepared_each_step(model, params, forcing)
    for name in model.diagnostics:
        # An imbalance is the round-off of the fluxes that it is the sum of.
        like = "net_radiation" if name == "energy_imbalance" else name
        scale = 1.0 + float(jnp.abs(once[like]).max())
        np.testing.assert_allclose(each[name], once[name], rtol=0, atol=1e-12 * scale, err_msg=name)


def test_a_varying_bottom_is_a_measured_one():
    measured = SoilHeat(DEPTHS, 1800.0, bottom="measured-temperature")
    model = SoilHeat(DEPTHS, 1800.0).for_varying(["bottom_temperature"])
    assert model.bottom == "varying-temperature"
    bottom = 290.0 + np.sin(HOUR)
    forcing = steady_forcing(measured, STEPS, **WEATHER, bottom_temperature=bottom)
    expected = run(measured, parameters(measured), forcing)
    params = {**parameters(model), "bottom_temperature": jnp.asarray(bottom)}
    now = run_prepared_each_step(model, params, steady_forcing(model, STEPS, **WEATHER))
    for name in model.diagnostics:
        np.testing.assert_allclose(now[name], expected[name], rtol=0, atol=1e-11, err_msg=name)
    np.testing.assert_allclose(now["soil_temperature"][:, -1], bottom[1:], rtol=1e-14)


def test_a_constant_bottom_may_vary():
    """Another reference, the same temperatures."""
    fixed, varying = (
        SoilHeat(DEPTHS, 1800.0, bottom=b) for b in ("fixed-temperature", "varying-temperature")
    )
    params, forcing = parameters(fixed), steady_forcing(fixed, STEPS, **WEATHER)
    one, other = run(fixed, params, forcing), run(varying, params, forcing)
    np.testing.assert_allclose(
        one["soil_temperature"], other["soil_temperature"], rtol=0, atol=1e-11
    )


LAYERS = {"layer_bottoms": [DEPTHS[3]]}
SKIN = {"cell_faces": np.append(0.0, DEPTHS), "bottom": "zero-flux", "initial": "uniform"}
MIDDLES = np.append(0.0, 0.5 * (np.asarray(DEPTHS)[1:] + np.asarray(DEPTHS)[:-1]))
CASES = {
    "homogeneous": SoilHeat(DEPTHS, 1800.0),
    "homogeneous-elimination": SoilHeat(DEPTHS, 1800.0, solver="elimination"),
    "skin": SoilHeat(MIDDLES, 1800.0, "crank-nicolson", **SKIN),
    "layers": SoilHeat(DEPTHS, 1800.0, **LAYERS),
}
SOIL = {
    "thermal_conductivity": 0.9 + 0.5 * np.sin(0.7 * HOUR),
    "volumetric_heat_capacity": 2.2e6 + 0.8e6 * np.cos(0.4 * HOUR),
}
SURFACE = {
    "albedo": 0.3 + 0.2 * np.sin(HOUR),
    "emissivity": 0.9 + 0.08 * np.cos(HOUR),
    "combined_heat_transfer_coefficient": 20.0 + 10.0 * np.sin(0.3 * HOUR),
}


def varied(model: SoilHeat) -> dict[str, jax.Array]:
    """Parameters of which soil and surface vary, the layers not alike."""
    suffixes = {"": 1.0} if not model.layer_bottoms else {"_1": 1.0, "_2": 0.6}
    series = dict(SURFACE)
    for suffix, factor in suffixes.items():
        series |= {f"{name}{suffix}": factor * values for name, values in SOIL.items()}
    return {**parameters(model), **{name: jnp.asarray(v) for name, v in series.items()}}


@pytest.mark.parametrize("case", CASES)
def test_energy_closes_with_properties_of_the_step(case):
    """C(t) dT/dt is what flows in, with the capacity of each step, control volume by volume."""
    params = varied(CASES[case])
    model = CASES[case].for_varying([name for name, p in params.items() if p.ndim])
    forcing = steady_forcing(model, STEPS, **WEATHER)
    now = run_prepared_each_step(model, params, forcing)
    assert float(jnp.abs(now["energy_imbalance"]).max()) < 1e-8
    temperature = np.asarray(now["soil_temperature"])
    nodes = np.asarray(model.node_depths)
    faces = np.asarray(model.cell_faces) if model.cell_faces else None
    for k in range(1, STEPS):
        capacity = np.full(len(nodes) - 1, np.nan)
        for j, middle in enumerate(0.5 * (nodes[1:] + nodes[:-1])):
            suffix = "" if not model.layer_bottoms else "_1" if middle < DEPTHS[3] else "_2"
            capacity[j] = params[f"volumetric_heat_capacity{suffix}"][k + 1]
        if faces is None:
            half = 0.5 * capacity * np.diff(nodes)
            mass = np.append(half, 0.0) + np.append(0.0, half)
        else:
            mass = capacity[0] * np.diff(faces)
        rise = mass * (temperature[k] - temperature[k - 1]) / 1800.0
        flux = np.asarray(now["ground_heat_flux"][k])
        np.testing.assert_allclose(rise, -np.diff(flux), rtol=0, atol=1e-8)
    outgoing = params["albedo"][1:] * forcing["incoming_shortwave"][1:]
    np.testing.assert_allclose(now["outgoing_shortwave"], outgoing, rtol=1e-14)
    turbulent = params["combined_heat_transfer_coefficient"][1:]
    if model.scheme == "backward-euler":
        excess = now["surface_temperature"] - forcing["air_temperature"][1:]
        np.testing.assert_allclose(now["turbulent_heat_flux"], turbulent * excess, rtol=1e-12)


def test_layers_that_vary_are_eliminated():
    """The shapes of their modes change with them; those of a homogeneous soil do not."""
    model = CASES["layers"]
    assert model.for_varying(["albedo"]).solver == "modal"
    assert model.for_varying(["thermal_conductivity_2"]).solver == "elimination"
    assert CASES["homogeneous"].for_varying(["thermal_conductivity"]).solver == "modal"
    profile = jnp.linspace(3.0, -2.0, len(DEPTHS))
    encoded = {}
    for case in ("homogeneous", "layers"):
        names = [d.name for d in CASES[case].declarations if d.name.startswith(tuple(SOIL))]
        for factor in (1.0, 2.0):
            changed = {
                n: v * (factor if n[-1] != "2" else 1.0)
                for n, v in parameters(CASES[case]).items()
                if n in names
            }
            prepared = CASES[case].prepare({**parameters(CASES[case]), **changed})
            encoded[case, factor] = np.asarray(prepared.implicit.encode(profile))
            np.testing.assert_allclose(
                prepared.implicit.decode(encoded[case, factor]), profile[:-1], atol=1e-12
            )
    np.testing.assert_allclose(
        encoded["homogeneous", 1.0], encoded["homogeneous", 2.0], rtol=0, atol=1e-13
    )
    assert np.abs(encoded["layers", 1.0] - encoded["layers", 2.0]).max() > 1e-3


@pytest.mark.parametrize("scheme", SCHEMES)
def test_against_an_ordinary_differential_equation(scheme):
    """Properties constant over each step, the method of lines to 1e-9 over each: first order for
    backward Euler, far closer for the others."""
    nodes = np.linspace(0.0, 0.2, 6)
    errors = []
    for substeps in (1, 2, 4):
        conductivity = np.repeat(SOIL["thermal_conductivity"][1:13], substeps)
        capacity = np.repeat(SOIL["volumetric_heat_capacity"][1:13], substeps)
        heating = np.repeat(300.0 * np.sin(np.arange(1.0, 13.0)), substeps)
        model = SoilHeat(
            nodes,
            1800.0 / substeps,
            scheme,
            PRESCRIBED,
            bottom="zero-flux",
            initial="uniform",
        ).for_varying(list(SOIL))
        params = parameters(model)
        params |= {
            "thermal_conductivity": jnp.asarray(np.append(conductivity[0], conductivity)),
            "volumetric_heat_capacity": jnp.asarray(np.append(capacity[0], capacity)),
        }
        forcing = steady_forcing(
            model, 12 * substeps, prescribed_flux=np.append(heating[0], heating)
        )
        ours = run_prepared_each_step(model, params, forcing)["soil_temperature"][-1]
        errors.append(np.abs(ours - _by_method_of_lines(nodes)).max())
    if scheme == "backward-euler":
        np.testing.assert_allclose(np.log2(errors[:-1] / np.asarray(errors[1:])), 1.0, atol=0.25)
    else:
        assert errors[-1] < 1e-2
        assert errors[-1] < 0.4 * errors[0]


def _by_method_of_lines(nodes: np.ndarray) -> np.ndarray:
    spacing = nodes[1] - nodes[0]
    mass = np.full(len(nodes), spacing)
    mass[[0, -1]] *= 0.5
    temperature = np.full(len(nodes), 293.0)
    for k in range(1, 13):
        conductivity, capacity = (SOIL[n][k] for n in SOIL)
        heating = 300.0 * np.sin(float(k))

        def tendency(_, t, conductivity=conductivity, capacity=capacity, heating=heating):
            flux = np.concatenate([[heating], -conductivity * np.diff(t) / spacing, [0.0]])
            return -np.diff(flux) / (capacity * mass)

        temperature = solve_ivp(
            tendency, (0.0, 1800.0), temperature, "Radau", rtol=1e-9, atol=1e-9
        ).y[:, -1]
    return temperature


@pytest.mark.parametrize("name", ["initial_temperature", "albeedo"])
def test_what_cannot_vary(name):
    with pytest.raises(InputError):
        SoilHeat(DEPTHS, 1800.0, initial="uniform").for_varying([name])

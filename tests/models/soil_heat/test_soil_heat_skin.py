"""SoilHeat with whole cells under a skin without mass (`cell_faces`)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from caliche.constants import STEFAN_BOLTZMANN
from caliche.errors import InputError
from caliche.models import SoilHeat, simulate
from soil_heat_cases import (
    LIKELY,
    PRESCRIBED,
    SCHEMES,
    observed_order,
    parameters,
    run,
    steady_forcing,
    temperatures,
)

ORDER = {"backward-euler": (1.0, 0.1), "crank-nicolson": (2.0, 0.15), "sdirk2": (2.0, 0.15)}
SOIL = {"thermal_conductivity": 1.0, "volumetric_heat_capacity": 2e6}
DIFFUSIVITY = 5e-7


def cells(number: int, depth: float) -> dict[str, np.ndarray]:
    """Equal cells under a skin."""
    faces = np.linspace(0.0, depth, number + 1)
    return {
        "node_depths": np.append(0.0, 0.5 * (faces[1:] + faces[:-1])),
        "cell_faces": np.append(0.0, faces),
    }


def test_order_in_space():
    """A cosine in an insulated column decays as exp(-a k^2 t), the skin as warm as the top."""
    depth, duration, errors = 0.4, 6 * 3600.0, []
    for number in (10, 20):
        grid = cells(number, depth)
        z = grid["node_depths"]
        wave = 10.0 * np.cos(2.0 * np.pi * z / depth)
        model = SoilHeat(
            **grid,
            time_step=duration / 600,
            turbulence=PRESCRIBED,
            bottom="zero-flux",
            initial="observed",
            initial_depths=z,
            initial_values=jnp.asarray(290.0 + wave),
        )
        end = temperatures(model, parameters(model, **SOIL), steady_forcing(model, 600))[-1]
        assert end[0] == pytest.approx(end[1], abs=1e-10)
        decay = np.exp(-DIFFUSIVITY * (2.0 * np.pi / depth) ** 2 * duration)
        errors.append(np.abs(end - 290.0 - wave * decay)[1:].max())
    np.testing.assert_allclose(observed_order(errors), 2.0, atol=0.05)


def reference_profile(bottom: str, start: np.ndarray, z: np.ndarray, faces, duration: float):
    """The same cells by the method of lines, the skin found by Newton's method at any time."""
    conductance, capacity = 0.8 / np.diff(z), 2.2e6 * np.diff(faces)[1:]
    ramp = {"fixed-temperature": 0.0, "measured-temperature": 2e-4, "zero-flux": None}[bottom]
    absorbed = 0.8 * LIKELY["incoming_shortwave"] + 0.95 * LIKELY["incoming_longwave"]

    def skin(top):
        surface = top
        for _ in range(20):
            ground = absorbed - 0.95 * STEFAN_BOLTZMANN * surface**4
            ground -= 25.0 * (surface - LIKELY["air_temperature"])
            slope = -4.0 * 0.95 * STEFAN_BOLTZMANN * surface**3 - 25.0 - conductance[0]
            surface -= (ground - conductance[0] * (surface - top)) / slope
        return surface

    def rate(_, t):
        flux = -conductance * np.diff(np.r_[skin(t[0]), t])
        change = (flux - np.r_[flux[1:], 0.0]) / capacity
        if ramp is not None:
            change[-1] = ramp
        return change

    end = solve_ivp(rate, (0.0, duration), start[1:], "Radau", rtol=1e-11, atol=1e-11).y[:, -1]
    return np.r_[skin(end[0]), end]


@pytest.mark.parametrize("bottom", ["fixed-temperature", "measured-temperature", "zero-flux"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_order_in_time_with_the_surface_energy_balance(scheme, bottom):
    grid, duration = cells(8, 0.5), 6 * 3600.0
    z = grid["node_depths"]
    start = 288.0 - 5.0 * np.cos(np.pi * z / z[-1])
    expected = reference_profile(bottom, start, z, grid["cell_faces"], duration)
    errors = []
    for steps in (96, 192):
        model = SoilHeat(
            **grid,
            time_step=duration / steps,
            scheme=scheme,
            bottom=bottom,
            initial="observed",
            initial_depths=z,
            initial_values=jnp.asarray(start),
        )
        measured = start[-1] + 2e-4 * np.linspace(0.0, duration, steps + 1)
        fixed = {"bottom_temperature": start[-1]} if bottom == "fixed-temperature" else {}
        forcing = steady_forcing(model, steps, bottom_temperature=measured)
        end = temperatures(model, parameters(model, **fixed), forcing)[-1]
        # The flux of a stage is that of its skin; skin and cells are of one instant at its end.
        errors.append(np.abs(end - expected)[1:].max())
    order, tolerance = ORDER[scheme]
    np.testing.assert_allclose(observed_order(errors), order, atol=tolerance)


@pytest.mark.parametrize("solver", ["modal", "elimination"])
@pytest.mark.parametrize("bottom", ["fixed-temperature", "measured-temperature", "zero-flux"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_energy_budget_closes(scheme, bottom, solver):
    steps, grid = 48, cells(6, 0.6)
    model = SoilHeat(
        **grid,
        time_step=1800.0,
        scheme=scheme,
        bottom=bottom,
        solver=solver,
        initial="uniform",
        layer_bottoms=[float(grid["node_depths"][3])],
    )
    forcing = steady_forcing(
        model,
        steps,
        incoming_shortwave=np.linspace(0.0, 800.0, steps + 1),
        bottom_temperature=293.0 + 0.02 * np.arange(steps + 1),
    )
    params = parameters(model, volumetric_heat_capacity_2=3e6)
    series = run(model, params, forcing)
    assert float(jnp.abs(series["energy_imbalance"]).max()) < 1e-8
    soil = np.asarray(series["ground_heat_flux"])
    surface = series["net_radiation"] - series["turbulent_heat_flux"]
    np.testing.assert_allclose(surface, soil[:, 0], rtol=0, atol=1e-10)
    # the skin holds nothing, the cells what their layers hold
    np.testing.assert_allclose(soil[:, 0], soil[:, 1], rtol=0, atol=1e-8)
    rise = np.diff(temperatures(model, params, forcing), axis=0)[:, 1:] / 1800.0
    capacity = 0.1 * np.array([2.2e6, 2.2e6, 2.6e6, 3e6, 3e6, 3e6])
    np.testing.assert_allclose(rise * capacity, -np.diff(soil)[:, 1:], rtol=0, atol=1e-8)


def test_a_skin_of_no_thickness_is_the_limit_of_half_cells():
    """On a fine grid it does not matter which grid it is."""
    depth, steps = 0.5, 48
    nodes = np.linspace(0.0, depth, 61)
    forcing_of = {"incoming_shortwave": 600.0 * np.sin(np.linspace(0.0, np.pi, steps + 1))}
    half = SoilHeat(nodes, 1800.0, bottom="zero-flux", initial="uniform")
    skin = SoilHeat(**cells(60, depth), time_step=1800.0, bottom="zero-flux", initial="uniform")
    surface = [
        run(model, parameters(model), steady_forcing(model, steps, **forcing_of))[
            "surface_temperature"
        ]
        for model in (half, skin)
    ]
    # at first the wave is only a few cells deep
    np.testing.assert_allclose(surface[0][4:], surface[1][4:], rtol=0, atol=0.02)


def test_derivatives_agree():
    model = SoilHeat(**cells(5, 0.3), time_step=1800.0, scheme="crank-nicolson")
    names = [d.name for d in model.declarations]
    size = parameters(model)
    forcing = steady_forcing(model, 6)

    def function(x):
        params = {n: size[n] * x[k] for k, n in enumerate(names)}
        return jnp.sum(jnp.sin(simulate(model, params, forcing)[2]["soil_temperature"]))

    x = jnp.ones(len(names))
    reverse, forward = jax.jit(jax.grad(function))(x), jax.jit(jax.jacfwd(function))(x)
    scale = float(jnp.abs(reverse).max())
    np.testing.assert_allclose(forward, reverse, rtol=0, atol=1e-11 * scale)
    step = 1e-6 * jnp.eye(len(x))
    ahead, behind = (jax.jit(jax.vmap(function))(x[None] + sign * step) for sign in (1.0, -1.0))
    np.testing.assert_allclose((ahead - behind) / 2e-6, reverse, rtol=0, atol=1e-6 * scale)


@pytest.mark.parametrize(
    "faces",
    [
        [0.0, 0.05, 0.2, 0.3, 0.4],  # too many
        [0.0, 0.2, 0.3],  # too few
        [0.01, 0.05, 0.2, 0.3],  # below the surface
        [0.0, 0.15, 0.2, 0.3],  # a node in the wrong cell
        [0.0, 0.05, 0.2, 0.25],  # a node in none
        [0.0, 0.1, 0.1, 0.3],  # a cell without thickness that is not the skin
    ],
)
def test_faces_that_do_not_fit_the_nodes(faces):
    with pytest.raises(InputError, match="cell_faces"):
        SoilHeat((0.0, 0.1, 0.3), 1800.0, cell_faces=faces)

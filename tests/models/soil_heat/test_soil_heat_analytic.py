"""SoilHeat against closed forms, with the order at which each scheme approaches them.

Numbers for a = 5e-7 m2 s-1 (lambda = 1 W m-1 K-1, C = 2e6 J m-3 K-1): Carslaw and Jaeger (1959),
Conduction of Heat in Solids, 2nd ed., sections 2.4 to 2.9.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import erfc

from caliche.constants import STEFAN_BOLTZMANN
from caliche.models import SoilHeat
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

SOIL = {"thermal_conductivity": 1.0, "volumetric_heat_capacity": 2e6}
DIFFUSIVITY = 5e-7
DAY = 86400.0
ORDER = {"backward-euler": (1.0, 0.1), "crank-nicolson": (2.0, 0.15), "sdirk2": (2.0, 0.15)}


def insulated(depths, time_step, profile, scheme="sdirk2", **options) -> SoilHeat:
    """A column with a prescribed flux at the surface and none at the bottom."""
    return SoilHeat(
        depths,
        time_step,
        scheme=scheme,
        turbulence=PRESCRIBED,
        bottom="zero-flux",
        initial="observed",
        initial_depths=depths,
        initial_values=jnp.asarray(profile),
        **options,
    )


# -- a cosine in an insulated column decays: exp(-a k^2 t) --------------------------------------


def cosine_error(scheme: str, nodes: int, steps: int, exact_in_space: bool) -> float:
    depth, duration = 0.4, 6 * 3600.0
    z = np.linspace(0.0, depth, nodes)
    wave = 10.0 * np.cos(2.0 * np.pi * z / depth)
    model = insulated(z, duration / steps, 290.0 + wave, scheme)
    params = parameters(model, **SOIL)
    end = temperatures(model, params, steady_forcing(model, steps))[-1]
    rate = DIFFUSIVITY * (2.0 * np.pi / depth) ** 2
    if not exact_in_space:  # the cosine is also an eigenvector of the second difference
        rate = DIFFUSIVITY * (2.0 / z[1] * np.sin(np.pi * z[1] / depth)) ** 2
    return np.abs(end - 290.0 - wave * np.exp(-rate * duration)).max()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_order_in_time(scheme):
    errors = [cosine_error(scheme, 9, steps, exact_in_space=False) for steps in (32, 64)]
    order, tolerance = ORDER[scheme]
    np.testing.assert_allclose(observed_order(errors), order, atol=tolerance)


def test_order_in_space():
    errors = [cosine_error("sdirk2", nodes, 2400, exact_in_space=True) for nodes in (21, 41)]
    np.testing.assert_allclose(observed_order(errors), 2.0, atol=0.05)


# -- the whole model, radiation included, against an integrator of SciPy -------------------------


def reference_profile(bottom: str, start: np.ndarray, z: np.ndarray, duration: float):
    """Method of lines with the same nodes, integrated to 1e-11 without any of our code."""
    conductance = 0.8 / np.diff(z)
    capacity = 2.2e6 * np.gradient(z) * np.r_[0.5, np.ones(len(z) - 2), 0.5]
    ramp = {"fixed-temperature": 0.0, "measured-temperature": 2e-4, "zero-flux": None}[bottom]

    def rate(_, t):
        flux = -conductance * np.diff(t)
        net = 0.8 * LIKELY["incoming_shortwave"] + 0.95 * LIKELY["incoming_longwave"]
        ground = net - 0.95 * STEFAN_BOLTZMANN * t[0] ** 4
        ground -= 25.0 * (t[0] - LIKELY["air_temperature"])
        change = (np.r_[ground, flux] - np.r_[flux, 0.0]) / capacity
        if ramp is not None:
            change[-1] = ramp
        return change

    return solve_ivp(rate, (0.0, duration), start, "Radau", rtol=1e-11, atol=1e-11).y[:, -1]


@pytest.mark.parametrize("bottom", ["fixed-temperature", "measured-temperature", "zero-flux"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_order_in_time_with_the_surface_energy_balance(scheme, bottom):
    z, duration = np.linspace(0.0, 0.5, 11), 6 * 3600.0
    start = 293.0 - 5.0 * np.cos(np.pi * z / z[-1]) - 5.0
    expected = reference_profile(bottom, start, z, duration)
    errors = []
    for steps in (48, 96):
        model = SoilHeat(
            z,
            duration / steps,
            scheme,
            bottom=bottom,
            initial="observed",
            initial_depths=z,
            initial_values=jnp.asarray(start),
        )
        measured = start[-1] + 2e-4 * np.linspace(0.0, duration, steps + 1)
        fixed = {"bottom_temperature": start[-1]} if bottom == "fixed-temperature" else {}
        forcing = steady_forcing(model, steps, bottom_temperature=measured)
        end = temperatures(model, parameters(model, **fixed), forcing)[-1]
        errors.append(np.abs(end - expected).max())
    order, tolerance = ORDER[scheme]
    np.testing.assert_allclose(observed_order(errors), order, atol=tolerance)


# -- a damped wave ------------------------------------------------------------------------------

FREQUENCY = 2.0 * np.pi / DAY
DAMPING_DEPTH = np.sqrt(2.0 * DIFFUSIVITY / FREQUENCY)  # 0.11726 m


def wave(z, t):
    """Daily wave of 1 K at the surface of a half-space."""
    return np.exp(-z / DAMPING_DEPTH) * np.sin(FREQUENCY * t - z / DAMPING_DEPTH)


def damped_wave(nodes: int, time_step: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Depths, times and temperature rise over a day that starts on the exact profile."""
    z, t = np.linspace(0.0, 1.2, nodes), np.arange(0.0, DAY + 1.0, time_step)
    model = insulated(z, time_step, 290.0 + wave(z, 0.0))
    phase = FREQUENCY * t + np.pi / 4.0  # the flux leads by 3 h
    step_mean = -np.diff(np.cos(phase)) / (FREQUENCY * time_step)
    flux = np.sqrt(FREQUENCY * 1.0 * 2e6) * np.append(0.0, step_mean)  # 12.06 W m-2 per K
    forcing = steady_forcing(model, len(t) - 1, prescribed_flux=flux)
    return z, t, temperatures(model, parameters(model, **SOIL), forcing) - 290.0


def test_damped_wave_amplitude_and_lag_at_depth():
    z, t, rise = damped_wave(121, 600.0)
    np.testing.assert_allclose(rise, wave(z, t[:, None]), atol=4e-3)
    for depth, amplitude in [(0.05, 0.65286), (0.15, 0.27827), (0.5, 0.01407)]:
        series = rise[1:, round(depth / z[1])]
        coefficient = 2.0 * np.mean(series * np.exp(-1j * FREQUENCY * t[1:])) * 1j
        assert abs(coefficient) == pytest.approx(amplitude, rel=3e-3)
        lag = (-np.angle(coefficient) / FREQUENCY) % DAY
        # 4.886 h at 15 cm
        assert lag == pytest.approx(depth / DAMPING_DEPTH / FREQUENCY, abs=60.0)


def test_damped_wave_order_in_space():
    errors = []
    for nodes in (31, 61):
        z, t, rise = damped_wave(nodes, 150.0)
        errors.append(np.abs(rise - wave(z, t[:, None])).max())
    np.testing.assert_allclose(observed_order(errors), 2.0, atol=0.1)


# -- steps --------------------------------------------------------------------------------------


def test_constant_flux_warms_the_surface_as_the_root_of_time():
    z = np.linspace(0.0, 1.4, 281)
    model = insulated(z, 120.0, np.full(len(z), 290.0))
    forcing = steady_forcing(model, 720, prescribed_flux=100.0)
    series = run(model, parameters(model, **SOIL), forcing)
    rise = np.asarray(series["surface_temperature"]) - 290.0
    np.testing.assert_allclose(rise[[29, 719]], [4.7873, 23.4529], rtol=2e-3)
    np.testing.assert_allclose(series["ground_heat_flux"][:, 0], 100.0, rtol=1e-12)


@pytest.mark.parametrize("scheme", ["backward-euler", "sdirk2"])
def test_step_of_the_bottom_temperature_spreads_as_erfc(scheme):
    """A half-space upside down: insulated surface, bottom 10 K warmer from the start on."""
    z = np.linspace(0.0, 1.4, 281)
    model = SoilHeat(z, 60.0, scheme, turbulence=PRESCRIBED, initial="uniform")
    params = parameters(model, initial_temperature=290.0, bottom_temperature=300.0, **SOIL)
    series = run(model, params, steady_forcing(model, 1440))
    hour, day = 59, 1439
    rise = series["soil_temperature"] - 290.0
    for k, at_10_cm, flux in [(hour, 0.95581, 132.98), (day, 7.33701, 27.145)]:
        width = 2.0 * np.sqrt(DIFFUSIVITY * 60.0 * (k + 1))
        np.testing.assert_allclose(rise[k], 10.0 * erfc((1.4 - z) / width), atol=0.03)
        assert float(rise[k, -21]) == pytest.approx(at_10_cm, abs=0.01)
        assert float(series["ground_heat_flux"][k, -1]) == pytest.approx(-flux, rel=0.01)


# -- stiffness ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scheme", "sunshine", "rings"),
    [
        ("backward-euler", 800.0, False),
        ("sdirk2", 800.0, False),
        ("crank-nicolson", 300.0, True),
        ("crank-nicolson", 800.0, False),  # its explicit half gives way to an implicit one
    ],
)
def test_only_crank_nicolson_rings_and_only_after_a_small_jump(scheme, sunshine, rings):
    model = SoilHeat(np.linspace(0.0, 1.0, 101), 1800.0, scheme)
    forcing = steady_forcing(model, 24, incoming_shortwave=sunshine)
    surface = run(model, parameters(model), forcing)["surface_temperature"]
    assert bool(np.any(np.diff(surface) < 0.0)) is rings

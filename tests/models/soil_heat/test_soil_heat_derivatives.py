"""Derivatives of SoilHeat: reverse = forward = finite difference, and finite at every kink."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from caliche.models import SoilHeat, simulate
from caliche.models.soil_heat.closures import BOWEN_RATIO, BULK_TRANSFER, COMBINED, MONIN_OBUKHOV
from caliche.physics.humidity import saturation_specific_humidity
from soil_heat_cases import COMBINATION_IDS, COMBINATIONS, LIKELY, parameters, steady_forcing

# Of the nine combinations, six in which every scheme, bottom and closure occurs twice: once in each
# half, of which one will do for every day.
TWICE_EACH = [
    pytest.param(*COMBINATIONS[k], id=COMBINATION_IDS[k], marks=marks)
    for marks, half in (((), (1, 5, 6)), (pytest.mark.slow, (2, 3, 7)))
    for k in half
]
DEPTHS = (0.0, 0.02, 0.06, 0.15, 0.3)
STEPS = 6


def night_and_day(model: SoilHeat):
    """Half the steps dark and calm, half sunny and windy; the air cools, the bottom warms."""
    ramp = np.linspace(0.0, 1.0, STEPS + 1)
    return steady_forcing(
        model,
        STEPS,
        incoming_shortwave=np.where(ramp > 0.5, 700.0 * ramp, 0.0),
        wind_speed=np.where(ramp > 0.5, 5.0 * ramp, 0.0),
        air_temperature=291.0 - 6.0 * ramp,
        bottom_temperature=290.0 + ramp,
        precipitation=2e-3 * np.sin(np.arange(STEPS + 1.0)) ** 2,
    )


def summary(model: SoilHeat, params, forcing):
    """A smooth scalar that feels every diagnostic (K, and W m-2 in units of 10)."""
    _, initial, series = simulate(model, params, forcing)
    scales = dict.fromkeys(series, 0.1)  # of fluxes of heat; those of water come as mm an hour
    scales |= {name: 1.0 for name in series if name.endswith(("temperature", "store"))}
    scales |= {name: 3600.0 for name in ("evaporation", "runoff") if name in series}
    misfits = [
        jnp.sum(jnp.sin(scale * series[name]))
        for name, scale in scales.items()
        if name != "energy_imbalance"
    ]
    return sum(misfits) + jnp.sum(jnp.sin(initial["soil_temperature"]))


def in_units_of_the_default(model: SoilHeat):
    """The parameters as a vector of ones, and the way back."""
    names = [d.name for d in model.declarations]
    size = parameters(model, albedo=0.25)
    size |= {
        name: size[name] - 3.0 * k
        for k, name in enumerate(names)
        if name.startswith("initial_temperature")
    }
    return jnp.ones(len(names)), lambda x: {n: size[n] * x[k] for k, n in enumerate(names)}


# Stability, a bucket under either closure that it may feed, and a curved initial profile.
WATER = [
    pytest.param(
        "backward-euler", "zero-flux", MONIN_OBUKHOV, {}, id="stability", marks=pytest.mark.slow
    ),
    pytest.param(
        "backward-euler",
        "varying-temperature",
        MONIN_OBUKHOV,
        {"moisture": "bucket", "initial_interpolation": "cubic"},
        id="stability-bucket",
        marks=pytest.mark.slow,
    ),
    pytest.param(
        "crank-nicolson",
        "fixed-temperature",
        BULK_TRANSFER,
        {"moisture": "bucket"},
        id="bulk-transfer-bucket",
    ),
]


@pytest.mark.parametrize(("scheme", "bottom", "closure", "options"), WATER)
def test_derivatives_agree_with_water(scheme, bottom, closure, options):
    derivatives_agree(scheme, bottom, closure, **options)


@pytest.mark.parametrize(("scheme", "bottom", "closure"), TWICE_EACH)
def test_reverse_forward_and_finite_differences_agree(scheme, bottom, closure):
    derivatives_agree(scheme, bottom, closure)


def derivatives_agree(scheme, bottom, closure, **options):
    model = SoilHeat(
        DEPTHS,
        1800.0,
        scheme,
        closure,
        bottom=bottom,
        layer_bottoms=[0.06],
        initial="estimated",
        initial_depths=[0.0, 0.1],
        **options,
    )
    forcing = night_and_day(model)
    x, to_params = in_units_of_the_default(model)

    def function(x):
        return summary(model, to_params(x), forcing)

    # Two step sizes and Richardson's extrapolation: truncation error of fourth order. Values and
    # the forward derivative come from one compiled program, at x itself and about it.
    step = 2e-5 * jnp.concatenate([jnp.eye(len(x)), 2.0 * jnp.eye(len(x))])
    around = jnp.concatenate([x[None], x[None] + step, x[None] - step])
    direction = jnp.cos(jnp.arange(len(x), dtype=float))
    at = jax.jit(lambda xs: jax.lax.map(lambda x: jax.jvp(function, (x,), (direction,)), xs))
    values, slopes = at(around)
    ahead, behind = values[1:].reshape(2, -1)
    once, twice = ((ahead - behind) / 4e-5).reshape(2, -1)
    difference = (4.0 * once - 0.5 * twice) / 3.0
    forward = slopes[0]
    reverse = jax.jit(jax.grad(function))(x)
    scale = float(jnp.abs(reverse).max())
    assert bool(jnp.all(jnp.abs(reverse) > 1e-9 * scale))  # every parameter is felt
    np.testing.assert_allclose(forward, reverse @ direction, rtol=0, atol=1e-11 * scale)
    np.testing.assert_allclose(difference, reverse, rtol=1e-6, atol=1e-8 * scale)


@pytest.mark.parametrize(
    "closure", [COMBINED, BOWEN_RATIO, BULK_TRANSFER, MONIN_OBUKHOV], ids=lambda c: c.name
)
def test_gradient_at_the_kinks(closure):
    """Night, calm, surface as warm as the air, air saturated: finite, and zero for albedo only."""
    model = SoilHeat(DEPTHS, 1800.0, turbulence=closure, bottom="zero-flux", initial="uniform")
    params = parameters(model, initial_temperature=LIKELY["air_temperature"])
    saturated = saturation_specific_humidity(
        params["initial_temperature"], jnp.asarray(LIKELY["air_pressure"])
    )
    forcing = steady_forcing(
        model, 2, incoming_shortwave=0.0, wind_speed=0.0, specific_humidity=float(saturated)
    )
    by_parameter, by_forcing = jax.jit(jax.grad(lambda p, f: summary(model, p, f), (0, 1)))(
        params, forcing
    )
    assert all(bool(jnp.isfinite(g)) for g in by_parameter.values())
    assert {name for name, gradient in by_parameter.items() if gradient == 0.0} == {"albedo"}
    assert all(bool(jnp.isfinite(g).all()) for g in by_forcing.values())
    assert bool(jnp.all(by_forcing["incoming_shortwave"][1:] != 0.0))


@pytest.mark.slow
def test_second_derivatives_are_finite_symmetric_and_right():
    model = SoilHeat(DEPTHS, 1800.0, "backward-euler", BULK_TRANSFER)
    forcing = night_and_day(model)
    x, to_params = in_units_of_the_default(model)
    gradient = jax.jit(jax.grad(lambda x: summary(model, to_params(x), forcing)))
    hessian = np.asarray(jax.jit(jax.jacfwd(gradient))(x))
    scale = np.abs(hessian).max()
    np.testing.assert_allclose(hessian, hessian.T, rtol=0, atol=1e-9 * scale)
    step = 1e-5 * jnp.eye(len(x))
    rows = [(gradient(x + d) - gradient(x - d)) / 2e-5 for d in step]
    np.testing.assert_allclose(hessian, np.stack(rows), rtol=0, atol=1e-5 * scale)

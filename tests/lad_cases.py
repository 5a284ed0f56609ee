"""Parameters, forcing, states and a replica in NumPy shared by the tests of LaD."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from caliche.models import LaD, simulate
from caliche.models.lad.state import LaDState
from caliche.models.loop.time_loop import everything

FORCING = (
    "incoming_shortwave",
    "incoming_longwave",
    "air_temperature",
    "precipitation",
    "specific_humidity",
    "air_pressure",
    "wind_speed",
)
# Grass on medium soil with the rounded capacity of the independent checks, 129.1 kg m-2.
CAPACITY = 129.1


def number(value: float) -> jax.Array:
    """A number of double precision.

    What JAX makes of a number of Python's is of another, weaker type, for which every program
    would be compiled once more.
    """
    return jnp.asarray(np.float64(value))


def parameters(model: LaD, **values: float) -> dict[str, jax.Array]:
    """Defaults of the model, some replaced."""
    defaults = {d.name: d.default for d in model.declarations}
    assert values.keys() <= defaults.keys()
    return {name: number(value) for name, value in {**defaults, **values}.items()}


def with_capacity(model: LaD, params, capacity: float = CAPACITY):
    """The parameters with the available water that makes the root zone hold so much."""
    now = model.derived(params)["root_zone_capacity"]
    return {
        **params,
        "available_water_capacity": params["available_water_capacity"] * (capacity / now),
    }


def state_of(model: LaD, prepared, temperatures, snow=0.0, root_zone=60.0, groundwater=20.0):
    """A state from temperatures in K and stores in kg m-2; soil water liquid."""
    anomalies = tuple(number(t - prepared.constants.freezing_point) for t in temperatures)
    frozen = tuple(number(0.0) for _ in anomalies) if model.soil_freezing else ()
    return LaDState(anomalies, frozen, *(number(w) for w in (snow, root_zone, groundwater)))


@eqx.filter_jit
def one_step(model: LaD, params, state, forcing):
    """State and diagnostics after a step."""
    prepared = model.prepare(params)
    after, now = model.step(prepared, state, forcing)
    return after, everything(now)


@eqx.filter_jit
def simulated(model: LaD, params, forcing):
    """Final state, diagnostics at the start, and those of every step."""
    return simulate(model, params, forcing)


def run(model: LaD, params, forcing) -> dict[str, np.ndarray]:
    """Diagnostics of every step."""
    return {name: np.asarray(v) for name, v in simulated(model, params, forcing)[2].items()}


def at(**values: float) -> dict[str, jax.Array]:
    """Forcing of one step."""
    usual = {
        "incoming_shortwave": 300.0,
        "incoming_longwave": 320.0,
        "air_temperature": 288.0,
        "precipitation": 0.0,
        "specific_humidity": 0.007,
        "air_pressure": 1e5,
        "wind_speed": 3.0,
    }
    return {name: number(v) for name, v in {**usual, **values}.items()}


def weather(
    days: int,
    time_step: float,
    mean: float,
    rain: float = 1e-4,
    swing: float = 6.0,
    shortwave: float = 600.0,
    longwave: float = 300.0,
) -> dict[str, jax.Array]:
    """Days of sun, night and showers around a mean air temperature (K).

    A function of time alone, so that it can be refined: forcing is the mean of 60 s samples.
    """
    steps = round(days * 86400.0 / time_step)
    fine = (np.arange(days * 1440) + 0.5) * 60.0
    angle = 2.0 * np.pi * (fine / 86400.0 - 0.5)
    air = mean + swing * np.cos(angle - 0.7) + 3.0 * np.sin(fine / 86400.0 / 3.0 * 2.0 * np.pi)
    shower = ((fine / 3600.0) % 31.0 < 4.0) * rain
    celsius = air - 273.15
    saturation = 0.622e-5 * 611.2 * np.exp(17.67 * celsius / (celsius + 243.5))
    series = {
        "incoming_shortwave": np.maximum(shortwave * np.cos(angle), 0.0),
        "incoming_longwave": longwave + 0.0 * fine,
        "air_temperature": air,
        "precipitation": shower,
        "specific_humidity": 0.7 * saturation,
        "air_pressure": 1e5 + 0.0 * fine,
        "wind_speed": 3.0 + 1.5 * np.cos(angle - 0.5),
    }
    means = {name: values.reshape(steps, -1).mean(axis=1) for name, values in series.items()}
    return {name: jnp.asarray(np.append(v[:1], v)) for name, v in means.items()}


# -- a replica of the original's order of operations, in NumPy, written without the package --------

TF, LV, LF, SIGMA, RD, RV = 273.16, 2.5e6, 3.34e5, 5.6734e-8, 287.04, 461.50
THICKNESS = np.array([0.005, 0.045, 0.1, 0.35, 1.0])


def replica_humidity(t: float, p: float) -> float:
    """Saturation specific humidity, Goff-Gratch."""
    x = 373.16 / t
    water = 101324.6 * 10.0 ** (
        -7.90298 * (x - 1)
        + 5.02808 * np.log10(x)
        - 1.3816e-7 * (10 ** (11.344 * (1 - 1 / x)) - 1)
        + 8.1328e-3 * (10 ** (-3.49149 * (x - 1)) - 1)
    )
    y = 273.16 / t
    ice = 610.71 * 10.0 ** (-9.09718 * (y - 1) - 3.56654 * np.log10(y) + 0.876793 * (1 - 1 / y))
    share = min(max((t - 253.16) / 20.0, 0.0), 1.0)
    e, ratio = share * water + (1.0 - share) * ice, RD / RV
    return ratio * e / (p - (1.0 - ratio) * e)


def replica(temperature, snow, root, ground, forcing, dt):
    """One step of grass on medium soil with neutral drag at 10 m and no gusts.

    `forcing` holds the numbers of FORCING, and all precipitation below 274.2 K is snow. Returns the
    new state, and (net radiation, H, L E, E, melt).
    """
    shortwave, longwave, air, rain, q, p, wind = forcing
    falling = rain if air < 274.2 else 0.0
    rain = rain - falling
    capacity, conductivity = 2e6, 0.8
    t = np.array(temperature)
    warmth = min(max((t[0] - TF + 10.0) / 10.0, 0.0), 1.0)
    albedo = 0.182 + (0.80 - 0.15 * warmth - 0.182) * snow / (snow + 5.0)
    log_m = np.log(10.0 / 0.07)
    resistance = 1.0 / (0.16 / (log_m * (log_m + 2.0)) * wind)
    density = p / (RD * air * (1.0 + (RV / RD - 1.0) * q))
    beta = 1.0 if snow > 0 else min(1.0, max(0.0, root / (0.75 * CAPACITY)))
    latent = LV + (LF if snow > 0 else 0.0)
    k = beta * density / (resistance + 56.6)
    e = k * (replica_humidity(t[0], p) - q)
    de = k * (replica_humidity(t[0] + 0.1, p) - replica_humidity(t[0], p)) / 0.1
    if e * dt > root + snow:
        e, de = (root + snow) / dt, 0.0
    dh = density * 3.5 * RD / resistance
    h = dh * (t[0] - air)
    net = (1.0 - albedo) * shortwave + longwave - SIGMA * t[0] ** 4
    dr = 4.0 * SIGMA * t[0] ** 3
    g = conductivity * 2.0 / (THICKNESS[:-1] + THICKNESS[1:])
    matrix = np.diag(capacity * THICKNESS / dt)
    for i in range(4):
        matrix[i : i + 2, i : i + 2] += g[i] * np.array([[1.0, -1.0], [-1.0, 1.0]])
    right = -(matrix - np.diag(capacity * THICKNESS / dt)) @ t
    right[0] += net - h - latent * e
    matrix[0, 0] += dh + latent * de + dr
    change = np.linalg.solve(matrix, right)
    response = np.linalg.solve(matrix, np.eye(5)[0])
    melt = 0.0
    if snow > 0 and t[0] + change[0] > TF:
        melt = min((t[0] + change[0] - TF) * dt / (LF * response[0]), snow)
        change = change - response * LF * melt / dt
    h, e, net = h + dh * change[0], e + de * change[0], net - dr * change[0]
    root, snow = root + melt, snow - melt
    if snow <= 0.0:
        root, snow = root + (rain - e) * dt, falling * dt
    else:
        snow = snow + (falling - e) * dt
        root = root + min(snow, 0.0) + rain * dt
        snow = max(snow, 0.0)
    drained = max(root - CAPACITY, 0.0)
    steps = dt / (60.0 * 86400.0)
    left = np.exp(-steps)
    ground = left * ground + (1.0 - left) / steps * drained
    return (t + change, snow, root - drained, ground), (net, h, latent * e, e, melt)

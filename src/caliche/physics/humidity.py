"""Humidity of air over a water surface."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from caliche.constants import FREEZING_POINT, WATER_AIR_MASS_RATIO
from caliche.physics.tangents import quotient


def saturation_vapour_pressure(temperature: Float[Array, ""]) -> Float[Array, ""]:
    """Saturation vapour pressure over liquid water (Pa).

    Magnus form e* = 611.21 exp(17.502 t / (240.97 + t)), t in degrees Celsius, within 0.2 % of
    Wexler between -30 and 50 degC. Buck (1981), J. Appl. Meteorol. 20, 1527,
    doi:10.1175/1520-0450(1981)020<1527:NEFCVP>2.0.CO;2.

    Parameters
    ----------
    temperature : K
    """
    celsius = temperature - FREEZING_POINT
    return 611.21 * jnp.exp(17.502 * celsius / (240.97 + celsius))


# Of e*(T)^(1/16), Pa, in x = (T - 280 K) / 80 K: `scripts/fit_saturation.py`.
_ROOT = (
    1.5391046799016008,
    0.5284648497160725,
    -0.07987001266666724,
    0.006879368516038271,
    0.0014221734572190422,
    -0.0010670455780828342,
    0.00041079142624641715,
    -0.000128607014290597,
    3.905424747696729e-05,
    -8.955699504806743e-06,
)
COLDEST, HOTTEST = 200.0, 360.0  # K, range of the polynomial
POLYNOMIAL_ERROR = 1e-7  # relative, bound within that range; the fit reaches 3.1e-8


def saturation_vapour_pressure_polynomial(temperature: Float[Array, ""]) -> Float[Array, ""]:
    """`saturation_vapour_pressure` (Pa) without its exponential and division, several times faster.

    The 16th power of a polynomial of degree 9, within 1e-7 of the exact form from 200 to 360 K;
    beyond that it strays, by 2e-5 at 180 and 380 K and 1e-2 at 450 K. The exponential would take
    most of the time of a surface energy balance.

    Parameters
    ----------
    temperature : K
    """
    root = sixteenth_root(temperature)
    for _ in range(4):
        root = root * root
    return root


def sixteenth_root(temperature: Float[Array, ""]) -> Float[Array, ""]:
    """Of `saturation_vapour_pressure_polynomial`, which is its 16th power."""
    x = (temperature - 280.0) * (1.0 / 80.0)
    # Estrin's scheme: pairs, then pairs of pairs; half the waiting of Horner's.
    terms: list = list(_ROOT)
    power = x
    while len(terms) > 1:
        pairs = zip(terms[::2], terms[1::2], strict=False)
        terms = [low + high * power for low, high in pairs] + terms[len(terms) & ~1 :]
        power = power * power
    return terms[0]


def specific_humidity(
    vapour_pressure: Float[Array, ""], air_pressure: Float[Array, ""]
) -> Float[Array, ""]:
    """Specific humidity q = eps e / (p - (1 - eps) e) (kg kg-1), from pressures in Pa."""
    eps = WATER_AIR_MASS_RATIO
    return quotient(eps * vapour_pressure, air_pressure - (1.0 - eps) * vapour_pressure)


def vapour_pressure(
    specific_humidity: Float[Array, ""], air_pressure: Float[Array, ""]
) -> Float[Array, ""]:
    """Vapour pressure e = q p / (eps + (1 - eps) q) (Pa): the inverse of `specific_humidity`."""
    eps = WATER_AIR_MASS_RATIO
    return specific_humidity * air_pressure / (eps + (1.0 - eps) * specific_humidity)


def saturation_specific_humidity(
    temperature: Float[Array, ""], air_pressure: Float[Array, ""]
) -> Float[Array, ""]:
    """Saturation specific humidity over liquid water (kg kg-1), T in K and p in Pa.

    From `saturation_vapour_pressure_polynomial`: within 1.2e-7 of the exact form. From the boiling
    point on, all of the air is vapour: 1.
    """
    vapour = saturation_vapour_pressure_polynomial(temperature)
    vapour = jnp.where(vapour < air_pressure, vapour, air_pressure)
    return specific_humidity(vapour, air_pressure)

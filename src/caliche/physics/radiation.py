"""Radiation at a grey, opaque surface.

Incoming terms are positive towards the surface, outgoing terms positive away from it.
"""

from __future__ import annotations

from jaxtyping import Array, Float

from caliche.constants import STEFAN_BOLTZMANN


def reflected_shortwave(
    albedo: Float[Array, ""], incoming_shortwave: Float[Array, ""]
) -> Float[Array, ""]:
    """Reflected shortwave radiation, albedo * SWdown (W m-2)."""
    return albedo * incoming_shortwave


def emitted_longwave(
    emissivity: Float[Array, ""], surface_temperature: Float[Array, ""]
) -> Float[Array, ""]:
    """Longwave radiation emitted by the surface, eps sigma Ts^4 (W m-2)."""
    return emissivity * STEFAN_BOLTZMANN * surface_temperature**4


def reflected_longwave(
    emissivity: Float[Array, ""], incoming_longwave: Float[Array, ""]
) -> Float[Array, ""]:
    """Reflected longwave radiation of an opaque surface, (1 - eps) LWdown (W m-2; Kirchhoff)."""
    return (1.0 - emissivity) * incoming_longwave

"""Arithmetic on tangents of which some are known to be zero, for custom derivative rules.

A tangent is an array, or None where it is zero: what does not vary then costs nothing, neither in
the compiled program nor in what reverse mode keeps.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array

Tangent = Array | None


def known(tangent: Any) -> Tangent:
    """A tangent as JAX hands it to a rule with symbolic zeros."""
    return None if isinstance(tangent, SymbolicZero) else tangent


def times(factor: Array, tangent: Tangent) -> Tangent:
    """Product of a value and a tangent."""
    return None if tangent is None else factor * tangent


def add(*tangents: Tangent) -> Tangent:
    """Sum of tangents."""
    total = None
    for tangent in tangents:
        if tangent is not None:
            total = tangent if total is None else total + tangent
    return total


def minus(tangent: Tangent) -> Tangent:
    """A tangent with the sign changed."""
    return None if tangent is None else -tangent


def or_zeros(tangent: Tangent, like: Array) -> Array:
    """The tangent as an array, shaped like the value that it belongs to."""
    return jnp.zeros_like(like) if tangent is None else tangent

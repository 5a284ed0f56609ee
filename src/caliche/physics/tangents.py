"""Arithmetic on tangents of which some are known to be zero, for custom derivative rules.

A tangent is an array, or None where it is zero: what does not vary then costs nothing, neither in
the compiled program nor in what reverse mode keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
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


def along(slopes: Sequence[Array], tangents: Sequence[Any], like: Array) -> Array:
    """Tangent of a value shaped `like` this, from its slope by each argument and the tangents of
    these as a rule with symbolic zeros gets them. A slope is found once, however many tangents."""
    pairs = zip(slopes, tangents, strict=True)
    return or_zeros(add(*(times(slope, known(tangent)) for slope, tangent in pairs)), like)


@jax.custom_jvp
def quotient(a: Array, b: Array) -> Array:
    """a / b, whose tangent is one quotient: shorter than that of the rule which JAX has, and XLA
    computes a quotient once, where it repeats sums and products wherever they are used."""
    return a / b


def _quotient_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    value = quotient(*primals)
    a_dot, b_dot = (known(t) for t in tangents)
    moved = add(a_dot, minus(times(value, b_dot)))
    return value, or_zeros(None if moved is None else moved / primals[1], value)


quotient.defjvp(_quotient_jvp, symbolic_zeros=True)


def of_one(function: Callable[[Array], Any]) -> Callable[[Array], Any]:
    """The same function of one number, its slope found once however many tangents there are."""
    wrapped = jax.custom_jvp(function)

    @wrapped.defjvp
    def _jvp(primals: tuple, tangents: tuple) -> tuple[Any, Any]:
        value, slope = jax.jvp(function, primals, (jnp.ones_like(primals[0]),))
        return value, jax.tree.map(lambda s: s * tangents[0], slope)

    return wrapped


_KEPT = "kept for reverse"


def kept_for_reverse(values: Any) -> Any:
    """What was found by a search, as it is: reverse mode keeps it instead of searching again."""
    return jax.tree.map(lambda value: checkpoint_name(value, _KEPT), values)


def recomputed(step: Any) -> Any:
    """A step of a loop of which reverse mode keeps what it begins with and what `kept_for_reverse`
    names. The rest is computed again: cheaper than to store and read it, and half to compile."""
    policy = jax.checkpoint_policies.save_only_these_names(_KEPT)
    return jax.checkpoint(step, prevent_cse=False, policy=policy)

"""Which outputs of a function vary with which of its inputs, found by tracing."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float


def depends(function: Callable, entries: tuple[Array, ...], which: tuple[int, ...]) -> Any:
    """For each leaf of `function(*entries)`, whether it varies with these entries at all."""
    varying: set[int] = set()
    structures = []

    @functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
    def probe(index: int, leaf: Array) -> Array:
        return leaf

    @functools.partial(probe.defjvp, symbolic_zeros=True)
    def _note(index: int, primals: tuple, tangents: tuple) -> tuple[Array, Any]:
        if not isinstance(tangents[0], SymbolicZero):
            varying.add(index)
        return primals[0], tangents[0]

    def probed(*some: Float[Array, ""]) -> list:
        every = list(entries)
        for p, entry in zip(which, some, strict=True):
            every[p] = entry
        leaves, structure = jax.tree.flatten(function(*every))
        structures.append(structure)
        return [probe(k, leaf) for k, leaf in enumerate(leaves)]

    some = tuple(entries[p] for p in which)
    jax.eval_shape(lambda *some: jax.jvp(probed, some, some), *some)
    structure = structures[0]
    return jax.tree.unflatten(structure, [k in varying for k in range(structure.num_leaves)])

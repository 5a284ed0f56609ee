"""What runs at the same time: programs side by side, and devices for many sites."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
from jaxtyping import Array

from caliche.models.loop.time_loop import preparation
from caliche.problems.inverse import InverseProblem

# Operations that LAPACK does on the CPU.
LAPACK = {"cholesky", "eig", "eigh", "geqrf", "lu", "schur", "svd", "tridiagonal_solve"}
# Members for each device: their states stay in the second-level cache of a core.
LANES = 64


def side_by_side(function: Callable, *arguments: Any) -> list[Any]:
    """`map` on a thread for each core."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(function, *arguments))


def devices_for(problem: InverseProblem, devices: Sequence[Any]) -> list[Any]:
    """Those of the devices that many runs of a problem, as it is given, may be spread over.

    The modes of a layered column and a periodic start need LAPACK, which shares a batch of matrices
    out among the threads that run the devices; they then wait for each other without end (jaxlib
    0.10.2). Such a problem gets one device of each process.
    """

    def prepared(u: Array) -> Any:
        prepare, first, _ = preparation(problem.model, problem.space.to_physical(u))
        return prepare(first)

    if len(devices) > 1:
        used = _primitives(jax.make_jaxpr(prepared)(problem.space.initial()).jaxpr)
        devices = devices[:1] if LAPACK & used or problem.period else devices
    return list(devices)


def _primitives(jaxpr: Any) -> set[str]:
    """Names of the operations of a program, and of the programs that it calls."""
    names = set()
    for equation in jaxpr.eqns:
        names.add(equation.primitive.name)
        for inner in jax.tree.leaves(list(equation.params.values())):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                names |= _primitives(inner)
    return names

"""The mean of an emulator: a constant, a line or a quadratic, and whether runs determine it."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

CONSTANT, LINEAR, QUADRATIC = "constant", "linear", "quadratic"
BASES = (CONSTANT, LINEAR, QUADRATIC)
# Numbers that must be left over once the coefficients are found, for a variance to be estimated.
FEWEST_LEFT = 3
# Singular values of the scaled basis, over the largest, below which a column says nothing new.
_RANK = 1e-8


def terms(basis: str, x: Float[Array, " p"]) -> Float[Array, " q"]:
    """The terms of the mean at a point: 1, then x_i, then x_i x_j for i <= j."""
    found = [jnp.ones(1)]
    if basis != CONSTANT:
        found.append(x)
    if basis == QUADRATIC:
        row, column = np.triu_indices(len(x))
        found.append(x[row] * x[column])
    return jnp.concatenate(found)


def number_of_terms(basis: str, p: int) -> int:
    """How many terms the mean has with p inputs."""
    return {CONSTANT: 1, LINEAR: 1 + p, QUADRATIC: (p + 1) * (p + 2) // 2}[basis]


def design(
    basis: str, values_at: Float[Array, "n p"], slopes_at: Float[Array, "a p"]
) -> Float[Array, "row q"]:
    """Rows (n + a P, q) of the mean's terms: values, then slopes, those of one point together."""
    return _design(basis, values_at, slopes_at, jnp)


def _design(basis: str, values_at: Any, slopes_at: Any, numpy: Any) -> Any:
    """The same with either kind of arrays."""
    n, p = values_at.shape
    a, q = len(slopes_at), number_of_terms(basis, p)
    columns = [numpy.ones((n, 1))]
    slopes = [numpy.zeros((a, p, 1))]
    if basis != CONSTANT:
        columns.append(values_at)
        slopes.append(numpy.broadcast_to(numpy.eye(p)[None], (a, p, p)))
    if basis == QUADRATIC:
        row, column = np.triu_indices(p)
        columns.append(values_at[:, row] * values_at[:, column])
        first, second = np.eye(p)[:, row], np.eye(p)[:, column]
        slopes.append(
            first[None] * slopes_at[:, None, column] + second[None] * slopes_at[:, None, row]
        )
    rows = numpy.concatenate(columns, axis=1)
    if a == 0:
        return rows
    return numpy.concatenate([rows, numpy.concatenate(slopes, axis=2).reshape(a * p, q)])


def determined(basis: str, values_at: np.ndarray, slopes_at: np.ndarray) -> bool:
    """Whether runs determine every coefficient, with enough numbers left for a variance.

    How many numbers there are does not tell: with gradients at n <= P points the square of a linear
    form that vanishes at all of them is invisible, however many slopes they give.
    """
    p = values_at.shape[1]
    q = number_of_terms(basis, p)
    if len(values_at) + len(slopes_at) * p - q < FEWEST_LEFT:
        return False
    rows = _design(basis, values_at, slopes_at, np)
    size = np.linalg.norm(rows, axis=0)
    if not np.all(size > 0.0):
        return False
    found = np.linalg.svd(rows / size, compute_uv=False)
    return bool(found[-1] > _RANK * found[0])


def richest(wanted: str, values_at: np.ndarray, slopes_at: np.ndarray) -> str:
    """The richest basis, up to the one wanted, that runs determine."""
    for basis in BASES[BASES.index(wanted) :: -1]:
        if basis == CONSTANT or determined(basis, values_at, slopes_at):
            return basis
    return CONSTANT

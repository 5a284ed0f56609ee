"""The ranges that are searched: a unit cube in which volume is what a prior means by it.

A flat prior counts by physical value, between its bounds (or over its start range, where that is
asked for or a bound is missing). An informative one counts by probability, within 3 standard
deviations. An emulator's inputs are the physical values of the former and u of the latter, in which
models bend less than in probabilities.
"""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import ndtr, ndtri

from caliche.emulators.box import Box
from caliche.errors import InputError
from caliche.parameters.priors import Prior
from caliche.parameters.rows import by_rows
from caliche.parameters.space import Entry, ParameterSpace

REACH = 3.0  # standard deviations of an informative prior
_EDGE = 1e-9  # of the cube, where a logistic coordinate has no end


class Ranges:
    """The map between the unit cube x, emulator inputs e, u and physical values, all (n, P).

    Parameters
    ----------
    starts : search a flat prior over its start range where it has one.

    Raises
    ------
    InputError : a flat prior without two bounds or a start range.
    """

    def __init__(self, space: ParameterSpace, starts: bool = False) -> None:
        self._space = space
        self.flat = np.zeros(space.size, bool)
        ends = np.tile([-REACH, REACH], (space.size, 1))
        self._low_tail = float(ndtr(-REACH))
        for k, entry in enumerate(space.entries):
            if entry.informative:
                continue
            prior, start = entry.parameter.prior, entry.parameter.start
            bounded = math.isfinite(prior.lower) and math.isfinite(prior.upper)
            if start is None and not bounded:
                raise InputError(
                    f"a prior, two bounds or a start range of {entry.name}, over which to search",
                    "a flat prior without them",
                    f"give {entry.parameter.name} bounds or a prior, or fix it",
                )
            use_start = start is not None and (starts or not bounded)
            self.flat[k] = True
            ends[k] = start if use_start and start else (prior.lower, prior.upper)
        self.lower, self.upper = ends.T.copy()
        self._priors = tuple(
            e.parameter.prior if flat else None
            for e, flat in zip(space.entries, self.flat, strict=True)
        )

    @property
    def names(self) -> tuple[str, ...]:
        return self._space.names

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What each entry of u is."""
        return self._space.entries

    @property
    def size(self) -> int:
        return self._space.size

    @property
    def box(self) -> Box:
        """The whole of the ranges, as an emulator's box."""
        return Box(self.lower, self.upper, self.names)

    def to_inputs(self, x: np.ndarray) -> np.ndarray:
        """Emulator inputs of points of the cube."""
        x = np.clip(x, _EDGE, 1.0 - _EDGE)
        straight = self.lower + (self.upper - self.lower) * x
        tail = self._low_tail
        return np.where(self.flat, straight, ndtri(tail + (1.0 - 2.0 * tail) * x))

    def from_inputs(self, e: np.ndarray) -> np.ndarray:
        """Points of the cube of emulator inputs."""
        straight = (e - self.lower) / (self.upper - self.lower)
        tail = self._low_tail
        return np.where(self.flat, straight, (ndtr(e) - tail) / (1.0 - 2.0 * tail))

    def inputs_to_u(self, e: np.ndarray) -> np.ndarray:
        """Control vectors of emulator inputs."""
        return by_rows(functools.partial(_whitened, self._priors), np.asarray(e, float))

    def inputs_of(self, u: np.ndarray) -> np.ndarray:
        """Emulator inputs of control vectors."""
        return by_rows(functools.partial(_inputs, self._priors), np.asarray(u, float))

    def to_u(self, x: np.ndarray) -> np.ndarray:
        """Control vectors of points of the cube."""
        return self.inputs_to_u(self.to_inputs(x))

    def slopes(self, e: np.ndarray) -> np.ndarray:
        """(n, P) du / de, entry by entry."""
        return by_rows(functools.partial(_slopes, self._priors), np.asarray(e, float))

    def physical(self, x: np.ndarray) -> np.ndarray:
        """Physical values of points of the cube, in the order of `names`."""
        return by_rows(functools.partial(_vectors, self._space), self.to_u(np.atleast_2d(x)))

    def from_values(self, values: dict[str, float]) -> np.ndarray:
        """The point (P,) of the cube at which the free parameters have these values."""
        u = np.asarray(self._space.to_whitened(dict(values)))[None]
        e = u.copy()
        for k in np.flatnonzero(self.flat):
            prior = self._space.entries[k].parameter.prior
            e[:, k] = np.asarray(prior.to_physical(jnp.asarray(u[:, k])))
        return self.from_inputs(e)[0]


@functools.partial(jax.jit, static_argnums=0)
def _whitened(priors: tuple[Prior | None, ...], e: jax.Array) -> jax.Array:
    columns = [e[:, k] if p is None else p.to_whitened(e[:, k]) for k, p in enumerate(priors)]
    return jnp.stack(columns, axis=1)


@functools.partial(jax.jit, static_argnums=0)
def _inputs(priors: tuple[Prior | None, ...], u: jax.Array) -> jax.Array:
    columns = [u[:, k] if p is None else p.to_physical(u[:, k]) for k, p in enumerate(priors)]
    return jnp.stack(columns, axis=1)


@functools.partial(jax.jit, static_argnums=0)
def _slopes(priors: tuple[Prior | None, ...], e: jax.Array) -> jax.Array:
    columns = [
        jnp.ones_like(e[:, k]) if p is None else jax.vmap(jax.grad(p.to_whitened))(e[:, k])
        for k, p in enumerate(priors)
    ]
    return jnp.stack(columns, axis=1)


@jax.jit
def _vectors(space: ParameterSpace, u: jax.Array) -> jax.Array:
    return jax.vmap(space.vector)(u)

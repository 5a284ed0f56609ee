"""The parameter space: which parameters are free, and the map between them and a vector."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri
from jaxtyping import Array, Float

from caliche.errors import InputError, nearest
from caliche.models.base import ParameterDeclaration
from caliche.parameters.priors import Flat, Prior


@dataclass(frozen=True)
class FreeParameter:
    """A parameter to be estimated.

    `initial` is the first guess; `start` the range from which multi-start draws its guesses, where
    the prior (or the bounds) shall not serve.
    """

    declaration: ParameterDeclaration
    prior: Prior
    initial: float
    start: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        inside = [("first guess", self.initial)]
        if self.start is not None:
            if not self.start[0] < self.start[1]:
                raise InputError(
                    f"a start range of {self.name} that rises", f"{list(self.start)}",
                    "exchange the two numbers",
                )  # fmt: skip
            inside += [("start range", self.start[0]), ("start range", self.start[1])]
        for what, value in inside:
            if not self.prior.lower < value < self.prior.upper:
                raise InputError(
                    f"a {what} of {self.name} between its bounds {self.prior.lower:g} and "
                    f"{self.prior.upper:g}",
                    f"{value:g}",
                    "move it inside, or widen the bounds",
                )

    @property
    def name(self) -> str:
        return self.declaration.name


class ParameterSpace(eqx.Module):
    """Free and fixed parameters of a model.

    A control vector u (P,) holds the free ones in whitened coordinates, in the order of `free`.
    """

    free: tuple[FreeParameter, ...] = eqx.field(static=True)
    fixed: dict[str, Float[Array, ""]]

    @staticmethod
    def build(
        declarations: Sequence[ParameterDeclaration],
        free: Mapping[str, FreeParameter],
        fixed: Mapping[str, float],
    ) -> ParameterSpace:
        """Space of a model's parameters; those not mentioned are fixed at their default.

        Raises
        ------
        InputError : a name the model does not declare; no free parameter; a fixed value outside
            what is physically possible.
        """
        known = {d.name: d for d in declarations}
        for name in [*free, *fixed]:
            if name not in known:
                raise InputError("a parameter of the model", repr(name), nearest(name, known))
        if not free:
            raise InputError(
                "at least one free parameter", "none",
                "give a parameter an initial value instead of a fixed value",
            )  # fmt: skip
        values: dict[str, Array] = {}
        for name, declaration in known.items():
            if name in free:
                continue
            value = fixed.get(name, declaration.default)
            if not declaration.lower <= value <= declaration.upper:
                raise InputError(
                    f"{name} between {declaration.lower:g} and {declaration.upper:g} "
                    f"{declaration.unit.removeprefix('1')}".rstrip(),
                    f"{value:g}",
                    "check its unit",
                )
            values[name] = jnp.asarray(float(value))
        return ParameterSpace(tuple(free[name] for name in known if name in free), values)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the free parameters, in the order of u."""
        return tuple(parameter.name for parameter in self.free)

    @property
    def informative(self) -> np.ndarray:
        """Which free parameters (P,) carry a prior that enters the cost."""
        return np.array([parameter.prior.informative for parameter in self.free])

    def vector(self, u: Float[Array, " parameter"]) -> Float[Array, " parameter"]:
        """Physical values of the free parameters, in order."""
        return jnp.stack([p.prior.to_physical(u[k]) for k, p in enumerate(self.free)])

    def to_physical(self, u: Float[Array, " parameter"] | tuple) -> dict[str, Float[Array, ""]]:
        """Every parameter of the model by name: the free ones at u, the fixed ones as given."""
        # Entry by entry, so that a tangent along one parameter leaves the others alone.
        return {
            **self.fixed,
            **{p.name: p.prior.to_physical(u[k]) for k, p in enumerate(self.free)},
        }

    def to_whitened(self, values: Mapping[str, float | Array]) -> Float[Array, " parameter"]:
        """The control vector at which the free parameters have these values."""
        return jnp.stack([p.prior.to_whitened(jnp.asarray(values[p.name])) for p in self.free])

    def initial(self) -> Float[Array, " parameter"]:
        """The control vector of the first guess."""
        return _initial(self)

    def draw_starts(self, number: int, seed: int) -> Float[Array, "start parameter"]:
        """First guesses for multi-start: the initial one, then a Latin hypercube.

        Each parameter is spread over its `start` range, else its prior, else its bounds.
        """
        if number == 1:
            return _initial(self)[None]
        unit = _latin_hypercube(number - 1, len(self.free), seed)
        return jnp.concatenate([_initial(self)[None], _spread(self, unit)])


def _latin_hypercube(number: int, dimensions: int, seed: int) -> np.ndarray:
    """Points (number, dimensions) in the unit cube, one in each of `number` slices of every side.

    Written out because importing scipy.stats for it takes longer than a calibration.
    """
    generator = np.random.default_rng(seed)
    slices = generator.permuted(np.tile(np.arange(number), (dimensions, 1)), axis=1).T
    return (slices + generator.random((number, dimensions))) / number


@jax.jit
def _initial(space: ParameterSpace) -> Float[Array, " parameter"]:
    return space.to_whitened({p.name: jnp.asarray(p.initial) for p in space.free})


@jax.jit
def _spread(
    space: ParameterSpace, probability: Float[Array, "start parameter"]
) -> Float[Array, "start parameter"]:
    columns = [_quantile(p, probability[:, k]) for k, p in enumerate(space.free)]
    return jnp.stack(columns, axis=1)


def _quantile(parameter: FreeParameter, probability: Float[Array, " start"]) -> Array:
    """Whitened values (start,) at these probabilities of a parameter's start distribution."""
    prior = parameter.prior
    if parameter.start is None and prior.informative:
        return ndtri(probability)
    low, high = parameter.start or (prior.lower, prior.upper)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise InputError(
            f"a range from which to draw starts of {parameter.name}",
            "a flat prior without bounds",
            "give start = [low, high] or bounds, or use one start",
        )
    return jax.vmap(prior.to_whitened)(low + (high - low) * probability)


def free_parameter(
    declaration: ParameterDeclaration,
    prior: Prior | None = None,
    initial: float | None = None,
    start: tuple[float, float] | None = None,
) -> FreeParameter:
    """A free parameter with the declaration's bounds and default where nothing else is said."""
    bounds = Flat(declaration.lower, declaration.upper)
    guess = declaration.default if initial is None else initial
    return FreeParameter(declaration, bounds if prior is None else prior, guess, start)

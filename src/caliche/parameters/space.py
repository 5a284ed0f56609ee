"""The parameter space: which parameters are free, and the map between them and a vector."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri
from jaxtyping import Array, Float

from caliche.errors import InputError, nearest
from caliche.models.base import ParameterDeclaration
from caliche.names import at_knot
from caliche.parameters.correlation import Correlation, Pairs, correlation_between
from caliche.parameters.priors import Flat, Prior, extremes, within
from caliche.parameters.ties import Tie, check_tie
from caliche.parameters.variation import Variation


@dataclass(frozen=True)
class FreeParameter:
    """A parameter to be estimated.

    A normal or log-normal `prior` that lacks a bound takes the declaration's. `initial` is the
    first guess; `start` the range from which multi-start draws its guesses, where the prior (or the
    bounds) shall not serve.
    """

    declaration: ParameterDeclaration
    prior: Prior
    initial: float
    start: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        d = self.declaration
        object.__setattr__(self, "prior", within(self.prior, d.lower, d.upper, d.name))
        inside = [("first guess", self.initial)]
        if self.start is not None:
            if not self.start[0] < self.start[1]:
                raise InputError(
                    f"a start range of {self.name} that rises",
                    f"{list(self.start)}",
                    "exchange the two numbers",
                )
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


@dataclass(frozen=True)
class Entry:
    """One entry of the control vector: a parameter, or one knot of a parameter that varies.

    `leads` is False for the knots after the first, whose entry of u is a whitened increment.
    """

    parameter: FreeParameter
    knot: str | None = None
    leads: bool = True

    @property
    def name(self) -> str:
        return self.parameter.name if self.knot is None else at_knot(self.parameter.name, self.knot)

    @property
    def long_name(self) -> str:
        text = self.parameter.declaration.long_name
        return text if self.knot is None else f"{text}, {self.knot}"

    @property
    def informative(self) -> bool:
        """Whether this entry of u is N(0, 1) a priori, and enters the cost."""
        return self.parameter.prior.informative or not self.leads


class ParameterSpace(eqx.Module):
    """Free, tied and fixed parameters of a model.

    A control vector u (P,) holds the free ones in whitened coordinates, in the order of `free`. A
    parameter that varies in time takes one entry for each of its knots: the level, and whitened
    increments. In physical values (`vector`) these are the values at the knots.

    Attributes
    ----------
    fixed : value () or series (time + 1,) of each parameter that is neither free nor tied.
    variations : how the free parameters vary that do.
    declarations : of every parameter, free or not.
    correlation : of the priors, None if they are independent.
    ties : parameters that follow another.
    """

    free: tuple[FreeParameter, ...] = eqx.field(static=True)
    fixed: dict[str, Float[Array, "..."]]
    variations: dict[str, Variation] = eqx.field(default_factory=dict)
    declarations: tuple[ParameterDeclaration, ...] = eqx.field(static=True, default=())
    correlation: Correlation | None = None
    ties: tuple[Tie, ...] = eqx.field(static=True, default=())

    @staticmethod
    def build(
        declarations: Sequence[ParameterDeclaration],
        free: Mapping[str, FreeParameter],
        fixed: Mapping[str, float],
        variations: Mapping[str, Variation] | None = None,
        ties: Sequence[Tie] = (),
        correlations: Pairs | None = None,
    ) -> ParameterSpace:
        """Space of a model's parameters; those not mentioned are fixed at their default.

        Parameters
        ----------
        ties : parameters that follow a free or fixed one.
        correlations : of the priors of pairs of free parameters, see `parameters.correlation`.

        Raises
        ------
        InputError : a name the model does not declare; no free parameter; a fixed value outside
            what is physically possible; ties or correlations that cannot be.
        """
        known = {d.name: d for d in declarations}
        variations, tied = dict(variations or {}), {tie.name: tie for tie in ties}
        for name in [*free, *fixed, *variations, *tied]:
            if name not in known:
                raise InputError("a parameter of the model", repr(name), nearest(name, known))
        if not free:
            raise InputError(
                "at least one free parameter",
                "none",
                "give a parameter an initial value instead of a fixed value",
            )
        values: dict[str, Array] = {}
        for name, declaration in known.items():
            if name in free or name in tied:
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
        constant = [name for name in variations if name not in free]
        if constant:
            raise InputError(
                f"{constant[0]} to be free, as it varies in time", "a fixed value", "free it"
            )
        for tie in ties:
            check_tie(tie, known, tied, _reach(free.get(tie.to), values.get(tie.to)))
        order = [free[name] for name in known if name in free]
        correlation = correlation_between(
            [p.name for p in order], [p.prior.informative for p in order], correlations or {}
        )
        return ParameterSpace(
            tuple(order), values, variations, tuple(declarations), correlation, tuple(ties)
        )

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What each entry of u is, in order."""
        found = []
        for p in self.free:
            knots = self.variations[p.name].labels if p.name in self.variations else (None,)
            found += [Entry(p, knot, k == 0) for k, knot in enumerate(knots)]
        return tuple(found)

    @property
    def size(self) -> int:
        """Number of entries of u."""
        return len(self.entries)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the entries of u: parameters, and knots such as `albedo[2012-07-01]`."""
        return tuple(entry.name for entry in self.entries)

    @property
    def informative(self) -> np.ndarray:
        """Which entries (P,) of u carry a prior that enters the cost."""
        return np.array([entry.informative for entry in self.entries])

    def slices(self) -> list[tuple[FreeParameter, slice]]:
        """The entries of u that belong to each free parameter."""
        found, at = [], 0
        for p in self.free:
            size = self.variations[p.name].size if p.name in self.variations else 1
            found.append((p, slice(at, at + size)))
            at += size
        return found

    def coordinates(self, u: Float[Array, " parameter"]) -> Float[Array, " parameter"]:
        """The transformed coordinate of each parameter and knot: linear in u, and u itself unless
        something varies in time or priors are correlated. A prior's bijection makes it physical."""
        if not self.variations and self.correlation is None:
            return u
        parts = []
        for (p, where), level in zip(self.slices(), self._levels(u), strict=True):
            own = jnp.concatenate([level[None], u[where.start + 1 : where.stop]])
            varies = p.name in self.variations
            parts.append(self.variations[p.name].coordinate(own) if varies else own)
        return jnp.concatenate(parts)

    def _levels(self, u: Float[Array, " parameter"] | tuple) -> list[Array]:
        """Coordinate of each free parameter: of its level, if it varies in time."""
        levels = [u[where.start] for _, where in self.slices()]
        return levels if self.correlation is None else self.correlation.correlated(levels)

    def from_coordinates(self, w: Float[Array, " parameter"]) -> Float[Array, " parameter"]:
        """Physical values (P,) of transformed coordinates."""
        # The knots of a parameter in one piece: knot by knot the program grows with their number.
        return jnp.concatenate([p.prior.to_physical(w[where]) for p, where in self.slices()])

    def vector(self, u: Float[Array, " parameter"]) -> Float[Array, " parameter"]:
        """Physical values of the free parameters and knots, in order."""
        return self.from_coordinates(self.coordinates(u))

    def to_physical(self, u: Float[Array, " parameter"] | tuple) -> dict[str, Float[Array, "..."]]:
        """Every parameter of the model by name: the free ones at u, the fixed ones as given, and
        those that are tied.

        A value () each, or a series (time + 1,) of those that vary.
        """
        # Entry by entry, so that a tangent along one parameter leaves the others alone.
        values = dict(self.fixed)
        for (p, where), coordinate in zip(self.slices(), self._levels(u), strict=True):
            if p.name in self.variations:
                variation = self.variations[p.name]
                own = [coordinate, *u[where.start + 1 : where.stop]]
                coordinate = variation.basis @ variation.coordinate(jnp.stack(own))
            values[p.name] = p.prior.to_physical(coordinate)
        return self.tied(values)

    def tied(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters by name, with those that follow another as the others say."""
        return {**values, **{tie.name: tie.follow(values) for tie in self.ties}}

    def describe_prior(self, name: str) -> str:
        """The prior of a free parameter in words, with what it is correlated with."""
        p = next(p for p in self.free if p.name == name)
        said = [p.prior.describe(p.declaration.unit)]
        for a, b, value in self.correlation.pairs if self.correlation is not None else ():
            if name in (a, b):
                said.append(f"correlation {value:g} with {b if name == a else a}")
        return ", ".join(said)

    def led_by(self, k: int) -> tuple[ParameterSpace, np.ndarray]:
        """The space with control vectors turned so that entry k is a coordinate by itself.

        Correlated priors mix the entries of u: u_k alone does not set the parameter k. Returns the
        space and the orthogonal matrix Q (P, P) with u_turned = Q u; the prior, and with it
        everything else, is the same.
        """
        leads = [where.start for _, where in self.slices()]
        own, turn = self.correlation, np.eye(self.size)
        if own is None or k not in [leads[m] for m in own.members]:
            return self, turn
        turned = own.led_by([leads[m] for m in own.members].index(k))
        rows = np.array([leads[m] for m in own.members])
        turn[np.ix_(rows, rows)] = np.linalg.solve(np.asarray(turned.root), np.asarray(own.root))
        return dataclasses.replace(self, correlation=turned), turn

    def to_whitened(self, values: Mapping[str, float | Array]) -> Float[Array, " parameter"]:
        """The control vector at which the free parameters have these values.

        A parameter that varies may be given as one value, as one for each of its knots, or as
        `names` name its knots.
        """
        entries = self.names
        parts: list[Array] = []
        for p, where in self.slices():
            size = where.stop - where.start
            by_knot = p.name not in values and size > 1
            value = [values[n] for n in entries[where]] if by_knot else values[p.name]
            whitened = jnp.broadcast_to(p.prior.to_whitened(jnp.asarray(value)), (size,))
            varies = p.name in self.variations
            parts.append(self.variations[p.name].whitened(whitened) if varies else whitened)
        return jnp.concatenate(self._uncorrelated(parts))

    def _uncorrelated(self, parts: list[Array]) -> list[Array]:
        """Entries (knot,) of u of every free parameter, from those with the level's coordinate."""
        if self.correlation is None:
            return parts
        levels = self.correlation.whitened([part[0] for part in parts])
        return [jnp.concatenate([u[None], p[1:]]) for u, p in zip(levels, parts, strict=True)]

    def until(self, n_time: int) -> ParameterSpace:
        """The space over the first so many times."""
        fixed = {name: v[:n_time] if v.ndim else v for name, v in self.fixed.items()}
        shorter = {name: v.until(n_time) for name, v in self.variations.items()}
        return dataclasses.replace(self, fixed=fixed, variations=shorter)

    def initial(self) -> Float[Array, " parameter"]:
        """The control vector of the first guess."""
        return _initial(self)

    def draw_starts(self, number: int, seed: int) -> Float[Array, "start parameter"]:
        """First guesses for multi-start: the initial one, then a Latin hypercube.

        Each parameter is spread over its `start` range, else its prior, else its bounds.
        """
        if number == 1:
            return _initial(self)[None]
        unit = unit_hypercube(number - 1, len(self.free), np.random.default_rng(seed))
        return jnp.concatenate([_initial(self)[None], _spread(self, unit)])

    def rescaled(self, smoothness: Mapping[str, float]) -> ParameterSpace:
        """The space with another smoothness of the parameters named."""
        variations = {
            name: eqx.tree_at(lambda v: v.smoothness, v, jnp.asarray(float(smoothness[name])))
            if name in smoothness
            else v
            for name, v in self.variations.items()
        }
        return dataclasses.replace(self, variations=variations)


def unit_hypercube(number: int, dimensions: int, random: np.random.Generator) -> np.ndarray:
    """A Latin hypercube: points (number, dimensions) in the unit cube, one in each of `number`
    slices of every side.

    Written out because importing scipy.stats for it takes longer than a calibration.
    """
    slices = random.permuted(np.tile(np.arange(number), (dimensions, 1)), axis=1).T
    return (slices + random.random((number, dimensions))) / number


@jax.jit
def _initial(space: ParameterSpace) -> Float[Array, " parameter"]:
    return space.to_whitened({p.name: jnp.asarray(p.initial) for p in space.free})


@jax.jit
def _spread(
    space: ParameterSpace, probability: Float[Array, "start free"]
) -> Float[Array, "start parameter"]:
    spread = [_quantile(p, probability[:, k]) for k, p in enumerate(space.free)]
    if space.correlation is not None:
        # A start range is about the coordinate; all else of a correlated prior is drawn from it.
        drawn = space.correlation.correlated(spread)
        drawn = [
            w if p.start is None else s for p, w, s in zip(space.free, drawn, spread, strict=True)
        ]
        spread = jax.vmap(space.correlation.whitened)(drawn)
    columns = []
    for (_, where), level in zip(space.slices(), spread, strict=True):
        columns.append(level[:, None])  # the level of one that varies
        columns.append(jnp.zeros((len(probability), where.stop - where.start - 1)))
    return jnp.concatenate(columns, axis=1)


def _reach(parameter: FreeParameter | None, fixed: Array | None) -> tuple[float, float]:
    """Between which values a parameter can move."""
    if parameter is None:
        if fixed is None:
            return math.nan, math.nan
        return float(jnp.min(fixed)), float(jnp.max(fixed))
    return extremes(parameter.prior)


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

"""The parameter space of an experiment: the model's parameters and nuisances, with priors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from caliche.errors import InputError
from caliche.experiments.config.tables import NuisanceConfig, ParameterConfig, VariationConfig
from caliche.experiments.config.window import utc
from caliche.experiments.models import unknown_parameter
from caliche.models.base import ParameterDeclaration
from caliche.observations import Nuisance
from caliche.parameters import FreeParameter, ParameterSpace, Tie, Variation, harmonics, random_walk
from caliche.parameters.correlation import Pairs
from caliche.parameters.priors import PRIORS, Flat, Prior

DAY = np.timedelta64(86400, "s")
YEAR = 365.2425  # days
# Smoothness from which the search for it starts, in the prior's transformed coordinate.
FIRST_SMOOTHNESS = 0.1
MOST_KNOTS = 10_000
# A declaration with this start of its name holds at one instant only.
_AT_START = "initial_"


def make_nuisances(configs: Mapping[str, NuisanceConfig]) -> tuple[Nuisance, ...]:
    """The nuisances of an experiment."""
    return tuple(
        Nuisance(name, c.kind, c.streams, c.parameter.lower, c.parameter.upper)  # type: ignore[arg-type]
        for name, c in configs.items()
    )


def make_space(
    declarations: Sequence[ParameterDeclaration],
    parameters: Mapping[str, ParameterConfig],
    times: np.ndarray,
    utc_offset: float,
    correlations: Pairs | None = None,
) -> ParameterSpace:
    """Free, tied and fixed parameters, those that vary over `times` (UTC) included.

    Raises
    ------
    InputError : an unknown parameter, a value outside its bounds, a variation, tie or correlation
        that cannot be.
    """
    declared = {d.name: d for d in declarations}
    if len(declared) < len(declarations):
        names = [d.name for d in declarations]
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(
            "nuisances with names of their own",
            f"{twice}, which is a parameter of the model",
            f"rename [nuisances.{twice}]",
        )
    free, fixed, variations, ties = {}, {}, {}, []
    for name, config in parameters.items():
        if name not in declared:
            raise unknown_parameter(name, declared)
        declaration = declared[name]
        if config.tied_to is not None:
            ties.append(Tie(name, config.tied_to, config.factor))
            continue
        if config.fixed:
            fixed[name] = _guess(declaration, config)
            continue
        free[name] = _free(declaration, config)
        if config.variation is not None:
            variations[name] = _variation(name, config.variation, times, utc_offset)
    return ParameterSpace.build(declarations, free, fixed, variations, ties, correlations)


def true_parameters(space: ParameterSpace, truth: Mapping[str, Any]) -> dict[str, Any]:
    """Value or series of every parameter of a twin; those without a truth are at first guess.

    Raises
    ------
    InputError : several values of a parameter that does not vary, another number of values than
        there are knots, or one outside the bounds.
    """
    params = space.to_physical(space.initial())
    at_knots = {p.name: jnp.asarray(p.initial) for p in space.free}
    for name, value in truth.items():
        given = np.atleast_1d(value)
        variation = space.variations.get(name)
        knots = 1 if variation is None else variation.size
        if len(given) not in (1, knots):
            raise InputError(
                f"one truth of {name}" + (f", or one for each of {knots} knots" * (knots > 1)),
                f"{len(given)}",
                "count the knots, or leave one number",
            )
        lower, upper = _bounds(space, name)
        if variation is None:
            if not lower <= given[0] <= upper:
                raise InputError(
                    f"a truth of {name} between {lower:g} and {upper:g}",
                    f"{name} = {given[0]:g}",
                    "move it inside, or widen the bounds",
                )
            params[name] = jnp.asarray(float(given[0]))
            continue
        if not ((lower < given) & (given < upper)).all():
            raise InputError(
                f"a truth of {name}, which varies, between its bounds {lower:g} and {upper:g}",
                f"{given.tolist()}",
                "move it inside, or widen the bounds",
            )
        at_knots[name] = jnp.asarray(given if len(given) > 1 else given[0], float)
    varying = space.to_physical(space.to_whitened(at_knots))
    params |= {name: varying[name] for name in space.variations}
    return space.tied(params) | {name: params[name] for name in truth}  # a truth may break a tie


def _variation(
    name: str, config: VariationConfig, times: np.ndarray, utc_offset: float
) -> Variation:
    if name.startswith(_AT_START):
        raise InputError(
            f"a parameter that holds over time to vary, not {name}", "a variation", "leave it out"
        )
    if len(times) == 0 or np.isnat(times).any():
        raise InputError(
            f"a window over which {name} varies", "many sites", "make it constant, or run one site"
        )
    local = times + np.timedelta64(round(utc_offset * 3600), "s")
    midnight = local[0].astype("datetime64[D]").astype(local.dtype)
    days = (local - midnight) / DAY
    smoothness = FIRST_SMOOTHNESS if config.smoothness is None else config.smoothness
    if config.kind == "diurnal":
        size = 2 * config.harmonics + 1
        midnight = np.datetime64("2000-01-01T00:00")
        clock = [midnight + np.timedelta64(round(1440 * k / size), "m") for k in range(size)]
        labels = [str(t)[11:16] for t in clock]
        return harmonics(days, 1.0, config.harmonics, labels, smoothness)
    if config.kind == "seasonal":
        size = 2 * config.harmonics + 1
        of_year = (local - local[0].astype("datetime64[Y]").astype(local.dtype)) / DAY
        labels = [f"day {1 + round(YEAR * k / size)}" for k in range(size)]
        return harmonics(of_year, YEAR, config.harmonics, labels, smoothness)
    if config.every is not None:
        count = max(1, int(np.ceil((days[-1] - days[0]) / config.every - 1e-9)))
        if count > MOST_KNOTS:
            raise InputError(
                f"a number of knots of {name} up to {MOST_KNOTS:,}",
                f"{count:,} with every_days = {config.every:g}",
                "make every_days longer",
            )
        ends = config.kind != "piecewise-constant"
        knots = days[0] + config.every * np.arange(count + ends)
    else:
        shift = np.timedelta64(round(utc_offset * 3600), "s")
        knots = np.array([(utc(t, utc_offset) + shift - midnight) / DAY for t in config.at])
    moments = midnight + (np.asarray(knots) * 86400e9).astype("timedelta64[ns]")
    short = len(knots) > 1 and np.diff(knots).min() < 0.999
    labels = [str(t.astype("datetime64[m]"))[: 16 if short else 10] for t in moments]
    between = {"piecewise-constant": "step", "piecewise-linear": "linear"}.get(config.kind, "cubic")
    try:
        return random_walk(days, [float(k) for k in knots], labels, between, smoothness)  # type: ignore[arg-type]
    except InputError as error:
        raise InputError(f"{error.expected}, for {name}", error.got, error.suggestion) from None


def _bounds(space: ParameterSpace, name: str) -> tuple[float, float]:
    """What a parameter cannot leave: by its prior if it is free, else as it is declared."""
    own = [p.prior for p in space.free if p.name == name] or [
        d for d in space.declarations if d.name == name
    ]
    return (own[0].lower, own[0].upper) if own else (-np.inf, np.inf)


def _free(declaration: ParameterDeclaration, config: ParameterConfig) -> FreeParameter:
    return FreeParameter(
        declaration, _prior(declaration, config), _guess(declaration, config), config.start
    )


def _prior(declaration: ParameterDeclaration, config: ParameterConfig) -> Prior:
    lower = declaration.lower if config.lower is None else config.lower
    upper = declaration.upper if config.upper is None else config.upper
    try:
        if config.prior == "flat":
            return Flat(lower, upper)
        if config.mean is None or config.sd is None:
            raise InputError("mean and sd of the prior", "none", "give both")
        return PRIORS[config.prior](config.mean, config.sd, lower, upper)
    except InputError as error:
        raise InputError(
            f"{error.expected}, for parameter {declaration.name}", error.got, error.suggestion
        ) from None


def _guess(declaration: ParameterDeclaration, config: ParameterConfig) -> float:
    if config.value is not None:
        return config.value
    return declaration.default if config.mean is None else config.mean

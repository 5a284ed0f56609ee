"""The data of many sites: as they are read, and as a block of them is evaluated."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P
from jaxtyping import Array

from caliche.models.loop.time_loop import Cut, cut
from caliche.problems.inverse import InverseProblem, Record


class SiteData(NamedTuple):
    """What belongs to each site; the site axis comes last, as the time loop reads it.

    forcing : name -> (time + 1, site).  values, mask : (time + 1, stream, site).
    initial_values : (knot, site) observed profile to start from, or None.
    sites : (site,) number of each site in its collection.
    """

    forcing: dict[str, np.ndarray]
    values: np.ndarray
    mask: np.ndarray
    initial_values: np.ndarray | None
    sites: np.ndarray


class BlockData(NamedTuple):
    """The data of a block on its devices; the site axis comes last in every array.

    forcing : name -> value.  seen : for each stream its observed value, and whether it is fitted.
    Both cut at the start, once for all evaluations.  initial : (knot, site), no knots if the model
    does not start from an observed profile.
    """

    forcing: Cut
    seen: Cut
    initial: Any


_CUT = Cut(P("site"), P(None, "site"))
DATA = BlockData(_CUT, _CUT, P(None, "site"))  # how it is dealt out


def without_data(problem: InverseProblem) -> InverseProblem:
    """The problem with nothing in the places of forcing and observations."""
    o = problem.observations
    observations = dataclasses.replace(o, values=o.values[:0], mask=o.mask[:0])
    return dataclasses.replace(problem, forcing={}, observations=observations)


def at_site(problem: InverseProblem, data: BlockData) -> InverseProblem:
    """The problem with the data of one site."""
    forcing, seen, initial = data
    n_steps = len(jax.tree.leaves(seen.later)[0])
    inverse = cut(
        jnp.broadcast_to(1.0 / problem.observations.scale, (n_steps + 1, len(seen.first)))
    )

    def with_scale(part: tuple, inverse: Array) -> tuple:
        return tuple((*stream, inverse[..., k]) for k, stream in enumerate(part))

    weighted = Cut(with_scale(seen.first, inverse.first), with_scale(seen.later, inverse.later))
    model = problem.model
    if initial.size:
        model = eqx.tree_at(lambda m: m.initial_values, model, initial)
    return dataclasses.replace(problem, model=model, data=Record(forcing, weighted))


def take(data: SiteData, rows: np.ndarray | slice) -> SiteData:
    """The data of some sites: a copy, but where they are a slice, or all of them in order."""
    if not isinstance(rows, slice) and np.array_equal(rows, np.arange(len(data.sites))):
        return data
    return SiteData(
        {name: v[:, rows] for name, v in data.forcing.items()},
        data.values[:, :, rows],
        data.mask[:, :, rows],
        None if data.initial_values is None else data.initial_values[:, rows],
        data.sites[rows],
    )

"""One parameter space for several sites: what they share, what is of a group, what is their own.

A parameter may have one value everywhere, one for each group of sites (a vegetation type, a soil
type, a cluster), one for each site, or one for each site under a prior that holds the sites
together: partial pooling, a hierarchical model (Gelman and Hill 2006,
doi:10.1017/CBO9780511790942). Between the sites the prior then has the standard deviation
`spread` of the whole prior, so that the coordinates of two sites are correlated by
1 - spread^2: with 0 they are one value, with 1 nothing is shared. A site without observations gets
what the others say of it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from caliche.errors import InputError, nearest
from caliche.names import at_site
from caliche.parameters.correlation import correlation_between
from caliche.parameters.space import FreeParameter, ParameterSpace
from caliche.parameters.variation import Variation

# The narrowest spread between sites, as a share of the prior's; below, share the value.
SMALLEST_SPREAD = 0.01


@dataclass(frozen=True)
class Sharing:
    """How sites share one parameter.

    labels : (site,) sites with one label have one value; "" everywhere for one value of all.
    spread : of partially pooled values between sites, as a share of the prior's standard
        deviation; None where labels say all.
    """

    labels: tuple[str, ...]
    spread: float | None = None


@dataclass(frozen=True)
class SharedSpace:
    """The joint space of several sites, and where each finds its own parameters in it.

    Attributes
    ----------
    space : of the joint control vector v (P,). Its parameters are named `albedo` where all sites
        share one value, else `albedo@desert` or `albedo@US-Whs`.
    rows : for each site, the entries of the mixed control vector that are its own u.
    mix : (P, P); mix @ v is v with correlated coordinates, which are those that sites take.
    """

    space: ParameterSpace
    rows: tuple[tuple[int, ...], ...]
    mix: np.ndarray

    def slopes(self, site: int) -> np.ndarray:
        """d u_site / d v (P_site, P): a site's control vector is linear in the joint one."""
        return self.mix[list(self.rows[site])]


def share(
    sites: Sequence[str],
    spaces: Sequence[ParameterSpace],
    sharing: Mapping[str, Sharing] | None = None,
) -> SharedSpace:
    """The joint space of sites with spaces of their own.

    Parameters
    ----------
    sharing : by parameter; one that is not named has a value for each site.

    Raises
    ------
    InputError : sites of one name; a shared parameter that is not free anywhere, varies in time, or
        has another prior at another site; a pooled one with a flat prior; correlated priors.
    """
    if len(set(sites)) < len(sites) or not sites:
        raise InputError(
            "sites, each with a name of its own", ", ".join(sites) or "none", "rename them"
        )
    sharing = dict(sharing or {})
    names = list(dict.fromkeys(p.name for space in spaces for p in space.free))
    for name in sharing:
        if name not in names:
            raise InputError(
                "a parameter that is free at some site", repr(name), nearest(name, names)
            )
    own = Sharing(tuple(sites))
    kinds = {name: sharing.get(name, own) for name in names}
    free: dict[str, FreeParameter] = {}
    variations: dict[str, Variation] = {}
    for name in names:
        for site, label, space in zip(sites, kinds[name].labels, spaces, strict=True):
            if space.correlation is not None:
                raise InputError(
                    f"independent priors at {site}, as sites are calibrated together",
                    "correlated ones",
                    "leave prior_correlations out",
                )
            mine = next((p for p in space.free if p.name == name), None)
            if mine is not None:
                _take(free, variations, mine, space, label, site, label == site)
    pairs = _pooled(kinds, free)
    order, informative = list(free), [p.prior.informative for p in free.values()]
    correlation = correlation_between(order, informative, pairs)
    declarations = tuple(p.declaration for p in free.values())
    joint = ParameterSpace(tuple(free.values()), {}, variations, declarations, correlation)
    where = {p.name: part for p, part in joint.slices()}
    rows = tuple(
        tuple(
            row
            for p in space.free
            for row in range(*where[at_site(p.name, kinds[p.name].labels[k])].indices(joint.size))
        )
        for k, space in enumerate(spaces)
    )
    mix = np.eye(joint.size)
    if correlation is not None:
        leads = [where[order[m]].start for m in correlation.members]
        mix[np.ix_(leads, leads)] = np.asarray(correlation.root)
    return SharedSpace(joint, rows, mix)


def _take(
    free: dict[str, FreeParameter],
    variations: dict[str, Variation],
    mine: FreeParameter,
    space: ParameterSpace,
    label: str,
    site: str,
    own: bool,
) -> None:
    """Take a site's parameter into the joint ones, or check that it is the one there."""
    name = at_site(mine.name, label)
    if mine.name in space.variations:
        if not own:
            raise InputError(
                f"{mine.name} constant in time at {site}, as sites share it",
                "one that varies",
                'share = "site"',
            )
        variations[name] = space.variations[mine.name]
    there = free.get(name)
    if there is None:
        long_name = f"{mine.declaration.long_name}, {label}" if label else None
        d = dataclasses.replace(
            mine.declaration, name=name, long_name=long_name or mine.declaration.long_name
        )
        free[name] = dataclasses.replace(mine, declaration=d)
    elif there.prior != mine.prior:
        unit = mine.declaration.unit
        raise InputError(
            f"one prior of {mine.name} at all sites that share it",
            f"{mine.prior.describe(unit)} at {site}, {there.prior.describe(unit)} before",
            f"give [parameters.{mine.name}] a prior in the file that joins the sites",
        )


def _pooled(
    kinds: Mapping[str, Sharing], free: Mapping[str, FreeParameter]
) -> dict[tuple[str, str], float]:
    """Correlations between the values of sites that are partially pooled."""
    pairs: dict[tuple[str, str], float] = {}
    for name, kind in kinds.items():
        if kind.spread is None:
            continue
        if not SMALLEST_SPREAD <= kind.spread <= 1.0:
            raise InputError(
                f"a spread of {name} between {SMALLEST_SPREAD:g} and 1, as a share of its prior's",
                f"{kind.spread:g}",
                'share = "global" for one value, "site" for nothing shared',
            )
        members = [n for n in dict.fromkeys(at_site(name, k) for k in kind.labels) if n in free]
        if not all(free[n].prior.informative for n in members):
            raise InputError(
                f"a normal or log-normal prior of {name}, as its values are pooled",
                "a flat prior",
                'give it prior = "normal" with mean and sd',
            )
        correlation = 1.0 - kind.spread**2
        if math.isclose(correlation, 0.0, abs_tol=1e-12):
            continue
        pairs |= dict.fromkeys(combinations(members, 2), correlation)
    return pairs

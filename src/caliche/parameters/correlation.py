"""Priors that are correlated: between transformed coordinates, and exactly.

The informative priors of a space make every coordinate N(0, 1). With correlations R between them
the coordinates are w = L u, L L^T = R, and u ~ N(0, I) as before: all that takes u takes correlated
priors too. Between normal priors without bounds R is the correlation of the values themselves;
between log-normal ones without bounds that of their logarithms; else that of the normal scores (a
Gaussian copula, Nelsen 2006, doi:10.1007/0-387-28678-0).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.errors import InputError, nearest

# Smallest eigenvalue of a correlation matrix: below it a direction has no prior width left.
SMALLEST_EIGENVALUE = 1e-8

Pairs = Mapping[tuple[str, str], float]


class Correlation(eqx.Module):
    """Correlations between the coordinates of some free parameters.

    A parameter that varies in time takes part with its level.

    Attributes
    ----------
    members : indices of those parameters among the free ones.
    root : (member, member) L, any square root of the correlation matrix.
    pairs : names of two parameters, and the correlation that was given.
    """

    members: tuple[int, ...] = eqx.field(static=True)
    root: Float[Array, "member member"]
    pairs: tuple[tuple[str, str, float], ...] = eqx.field(static=True)

    def correlated(self, whitened: Sequence[Any]) -> list[Any]:
        """Coordinates w of every free parameter, from whitened ones: an entry each."""
        found = list(whitened)
        # One by one, so that separate tangents stay separate.
        for i, k in enumerate(self.members):
            terms = [self.root[i, j] * whitened[m] for j, m in enumerate(self.members)]
            found[k] = sum(terms[1:], terms[0])
        return found

    def whitened(self, coordinates: Sequence[Any]) -> list[Any]:
        """The inverse of `correlated`."""
        found = list(coordinates)
        given = jnp.stack([coordinates[k] for k in self.members])
        solved = jnp.linalg.solve(self.root, given)
        for i, k in enumerate(self.members):
            found[k] = solved[i]
        return found

    def led_by(self, member: int) -> Correlation:
        """The same with a root whose first factor is the coordinate of a member alone."""
        root = np.asarray(self.root)
        order = [member, *(k for k in range(len(root)) if k != member)]
        matrix = root @ root.T
        lower = np.linalg.cholesky(matrix[np.ix_(order, order)])
        back = np.argsort(order)
        return eqx.tree_at(lambda c: c.root, self, jnp.asarray(lower[np.ix_(back, back)]))


def correlation_between(names: Sequence[str], informative: Sequence[bool], pairs: Pairs):
    """The correlation of free parameters, or None where there are no pairs.

    Parameters
    ----------
    names, informative : of the free parameters, in order.
    pairs : correlation of each pair; pairs that are not named are uncorrelated.

    Raises
    ------
    InputError : a name that is not free or has a flat prior, a pair named twice, numbers that no
        covariance can have.
    """
    if not pairs:
        return None
    known = dict(zip(names, informative, strict=True))
    matrix, seen = np.eye(len(names)), set()
    for (a, b), value in pairs.items():
        for name in (a, b):
            if name not in known:
                raise InputError(
                    "free parameters in prior_correlations", repr(name), nearest(name, known)
                )
            if not known[name]:
                raise InputError(
                    f"a normal or log-normal prior of {name}, as it is correlated with another",
                    "a flat prior",
                    'give it prior = "normal" with mean and sd',
                )
        if a == b or frozenset((a, b)) in seen:
            raise InputError(
                "every pair of two parameters once in prior_correlations",
                f"{a} and {b}",
                "take one of them out",
            )
        if not -1.0 < value < 1.0:
            raise InputError(
                f"a prior correlation of {a} and {b} between -1 and 1",
                f"{value:g}",
                "tie the parameters if one determines the other",
            )
        seen.add(frozenset((a, b)))
        i, j = names.index(a), names.index(b)
        matrix[i, j] = matrix[j, i] = value
    members = [k for k in range(len(names)) if (matrix[k] != 0.0).sum() > 1]
    if not members:
        return None
    matrix = matrix[np.ix_(members, members)]
    values, vectors = np.linalg.eigh(matrix)
    if values[0] < SMALLEST_EIGENVALUE:
        part = [names[members[k]] for k in np.flatnonzero(np.abs(vectors[:, 0]) > 0.1)]
        raise InputError(
            "prior correlations that can hold together (a positive definite matrix)",
            f"a smallest eigenvalue of {values[0]:.2g}, between {', '.join(part)}",
            "make some of them weaker, or give the pair that is missing",
        )
    listed = tuple((a, b, float(value)) for (a, b), value in pairs.items())
    return Correlation(tuple(members), jnp.asarray(np.linalg.cholesky(matrix)), listed)

"""Do the intervals of a posterior by several methods agree?"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from caliche.commands.posterior.ensembles import ENSEMBLES
from caliche.wording import listing

METHODS = ("laplace", "profile", "nuts", *ENSEMBLES)
# Ends of intervals further apart than this share of their width are said to disagree.
DISAGREEMENT = 0.2


def agreement(
    parameters: Mapping[str, Mapping[str, Any]], left_out: Collection[str] = ()
) -> list[str]:
    """Sentences on the parameters whose 95 % intervals differ between the methods.

    An ensemble is held against one other method only: NUTS, else the profile, else curvature.

    left_out : methods that cannot be relied upon.
    """
    apart: dict[tuple[str, str], dict[str, float]] = {}
    for name, entry in parameters.items():
        known = {
            method: entry[method]["interval95"]
            for method in METHODS
            if entry.get(method) and entry[method]["interval95"] is not None
            if method not in left_out
        }
        exact = [method for method in known if method not in ENSEMBLES]
        pairs = list(itertools.combinations(exact, 2))
        pairs += [(exact[-1], method) for method in known if method in ENSEMBLES and exact]
        for a, b in pairs:
            share = disagreement(known[a], known[b])
            if share > DISAGREEMENT:
                apart.setdefault((a, b), {})[name] = share
    said = []
    for (a, b), shares in apart.items():
        largest = max(shares.values())
        how = f"by up to {100 * largest:.0f} % of their width" if largest < np.inf else "in kind"
        listed = listing(shares)
        if b in ENSEMBLES and a == "laplace":
            reason = (
                "the posterior is not Gaussian, or the ensemble is rough; --method profile tells"
            )
        elif b in ENSEMBLES:
            reason = (
                "the ensemble is rough where the model bends between prior and posterior, and "
                f"noisy where its members are few; believe the {_NOUNS[a]}"
            )
        elif a == "laplace":
            reason = "the posterior is not Gaussian, and the symmetric error bar misleads"
        else:
            reason = "the profile shows the best fit at a value, the draws how much fits near it"
        said.append(
            f"The 95 % intervals by {_WORDS[a]} and by {_WORDS[b]} differ {how} for {listed}: "
            f"{reason}."
        )
    return said


_WORDS = {
    "laplace": "curvature (Laplace)",
    "profile": "profile",
    "nuts": "sampling (NUTS)",
    "etki": "ensemble (ETKI)",
    "eki": "ensemble (EKI)",
    "4denvar": "ensemble (4DEnVar)",
}
_NOUNS = {"profile": "profile", "nuts": "draws of NUTS"}


def disagreement(one: Sequence[float], other: Sequence[float]) -> float:
    """Largest distance between the ends of two intervals, as a share of their mean width."""
    (a, b), (c, d) = one, other
    if not np.isfinite([a, b, c, d]).all():
        same = all(p == q or (np.isfinite(p) and np.isfinite(q)) for p, q in ((a, c), (b, d)))
        return 0.0 if same else float("inf")
    width = 0.5 * ((b - a) + (d - c))
    return max(abs(a - c), abs(b - d)) / width if width > 0.0 else 0.0

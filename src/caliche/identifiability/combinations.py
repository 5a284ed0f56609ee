"""Which combinations of parameters the observations constrain, where not the parameters themselves.

A direction that the data do not see says by which small changes parameters can trade places. What
stays constant along it is the constrained combination. Its gradient is known at one point; that it
is a product, a ratio, a sum or one of a few other forms is a guess, which is believed only if it
holds at several points.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations, permutations

import numpy as np

from caliche.errors import InputError
from caliche.identifiability.linearised import (
    TOUCHED,
    Linearised,
    derived_gradients,
    invert,
    linearised,
)
from caliche.problems.inverse import InverseProblem

ALIKE = 1e-4  # how well an exponent is known from a numerical null direction
LARGEST_EXPONENT = 4
OTHER_POINTS = 2  # at which a form must hold as well
MOST_TRIED = 200  # ways of fixing parameters that are looked at
# Forms of a second parameter b beside a, and d ln f / d ln b.
_FORMS: tuple[tuple[str, Callable[[float], float]], ...] = (
    ("(1 + 1/{})", lambda b: -1.0 / (1.0 + b)),
    ("(1 + {})", lambda b: b / (1.0 + b)),
    ("(1 - {})", lambda b: -b / (1.0 - b) if b < 1.0 else math.nan),
)


@dataclass(frozen=True)
class Combination:
    """Parameters of which the observations see fewer combinations than there are parameters.

    Attributes
    ----------
    parameters : their names.
    unseen : how many directions among them are not seen.
    constrained : the one combination that is, such as `a x b`; "" if there is none, None if it is
        not of a known form or there are several.
    derived : quantities of the model that are constrained although these parameters are not.
    direction : change of each along an unseen direction, as a share of its `step`, largest 1.
    fix : sets of parameters; to fix those of one set would determine the others.
    """

    parameters: tuple[str, ...]
    unseen: int
    constrained: str | None
    derived: tuple[str, ...]
    direction: dict[str, float]
    fix: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class _Point:
    """Where a form is tested: values (d,), whether a percentage means something (d,), and the
    unseen directions (d, m), in physical units."""

    values: np.ndarray
    ratio: np.ndarray
    unseen: np.ndarray


def unobservable(problem: InverseProblem, linear: Linearised) -> list[Combination]:
    """The combinations of parameters that the data do not constrain, priors left aside."""
    null = invert(linear.data, linear.steps).unseen
    if not null.shape[1]:
        return []
    others = _elsewhere(problem, linear.u)
    gradients = derived_gradients(problem, linear.u)
    found = []
    for members, basis in _components(null / linear.steps[:, None]):
        names = [linear.names[k] for k in members]
        own = basis * linear.steps[members][:, None]
        points = [_point(linear, members, own)]
        points += [_point(o, members, _restricted(o, members)) for o in others]
        points = [p for p in points if p.unseen.shape == own.shape]
        constrained = expression(names, points) if len(points) > 1 else None
        derived = tuple(
            name for name, (_, slope) in gradients.items() if _holds(slope, members, own, linear)
        )
        direction = basis[:, 0] / np.abs(basis[:, 0]).max()
        found.append(
            Combination(
                tuple(names),
                own.shape[1],
                constrained,
                derived,
                dict(zip(names, direction.tolist(), strict=True)),
                _remedies(names, own / linear.steps[members][:, None]),
            )
        )
    return found


def _elsewhere(problem: InverseProblem, u: np.ndarray) -> list[Linearised]:
    """The problem linearised at a few other points, none of them special."""
    generator, found = np.random.default_rng(0), []
    for _ in range(OTHER_POINTS):
        try:
            found.append(linearised(problem, u + generator.uniform(-0.5, 0.5, len(u))))
        except InputError:
            continue
    return found


def _components(null: np.ndarray) -> list[tuple[list[int], np.ndarray]]:
    """Sets of parameters that share unseen directions (P, m), each with its own of them (d, k)."""
    rows = _reduced(null.T)
    left, found = list(range(len(rows))), []
    while left:
        group = [left.pop(0)]
        members = set(np.flatnonzero(rows[group[0]]))
        grown = True
        while grown:
            touching = [k for k in left if members & set(np.flatnonzero(rows[k]))]
            grown = bool(touching)
            for k in touching:
                left.remove(k)
                group.append(k)
                members |= set(np.flatnonzero(rows[k]))
        index = sorted(int(k) for k in members)
        found.append((index, rows[group][:, index].T))
    return found


def _reduced(rows: np.ndarray) -> np.ndarray:
    """Reduced echelon form with the largest pivots: as many exact zeros as there can be."""
    rows = rows.copy()
    for k in range(len(rows)):
        i, j = np.unravel_index(np.abs(rows[k:]).argmax(), rows[k:].shape)
        rows[[k, k + i]] = rows[[k + i, k]]
        rows[k] /= rows[k, j]
        for other in range(len(rows)):
            if other != k:
                rows[other] -= rows[other, j] * rows[k]
    return np.where(np.abs(rows) > ALIKE, rows, 0.0)


def _point(linear: Linearised, members: list[int], unseen: np.ndarray) -> _Point:
    entries = [linear.entries[k] for k in members]
    return _Point(
        np.array([e.value for e in entries]), np.array([e.ratio_scale for e in entries]), unseen
    )


def _restricted(linear: Linearised, members: list[int]) -> np.ndarray:
    """Unseen directions (d, k) among some parameters, the others held."""
    return invert(linear.data[:, members], linear.steps[members]).unseen


def _holds(slope: np.ndarray, members: list[int], null: np.ndarray, linear: Linearised) -> bool:
    """Whether a quantity depends on these parameters, yet not along what is unseen of them."""
    relative, along = slope * linear.steps, null / linear.steps[members][:, None]
    size = np.linalg.norm(relative[members])
    if size <= TOUCHED * np.linalg.norm(relative):
        return False
    across = np.abs(relative[members] @ along) / np.linalg.norm(along, axis=0)
    return bool(np.all(across < TOUCHED * size))


def _remedies(names: Sequence[str], null: np.ndarray) -> tuple[tuple[str, ...], ...]:
    """Smallest sets of parameters that leave nothing unseen when they are fixed."""
    m = null.shape[1]
    null = null / np.linalg.norm(null, axis=0)
    found = []
    for count, chosen in enumerate(combinations(range(len(names)), m)):
        if count >= MOST_TRIED:
            break
        if np.linalg.svd(null[list(chosen)], compute_uv=False)[-1] > TOUCHED:
            found.append(tuple(names[k] for k in chosen))
    return tuple(found)


# -- what form a constrained combination has ---------------------------------------------------


def expression(names: Sequence[str], points: Sequence[_Point]) -> str | None:
    """The only combination that is constrained, in words; "" for none, None if it has no name."""
    d, m = points[0].unseen.shape
    if d == m:
        return ""
    if d - m > 1:
        return None
    if all(p.ratio.all() for p in points):
        exponents = _simple([_complement(p.unseen / p.values[:, None]) for p in points])
        if exponents is not None:
            return _product(names, exponents)
    weights = _simple([_complement(p.unseen) for p in points])
    if weights is not None and np.all(np.abs(weights) == 1):
        signs = [" + " if w == weights[0] else " - " for w in weights]
        return names[0] + "".join(s + n for s, n in zip(signs[1:], names[1:], strict=True))
    return _with_form(names, points) if d == 2 else None


def _complement(null: np.ndarray) -> np.ndarray:
    """The direction (d,) across d - 1 others (d, d - 1)."""
    return np.linalg.svd(null, full_matrices=True)[0][:, -1]


def _simple(gradients: Sequence[np.ndarray]) -> np.ndarray | None:
    """Small whole numbers in proportion to a gradient, if they are the same at every point."""
    first = gradients[0] / gradients[0][np.abs(gradients[0]).argmax()]
    for other in gradients[1:]:
        if np.abs(other / other[np.abs(gradients[0]).argmax()] - first).max() > ALIKE:
            return None
    shares = [Fraction(float(g)).limit_denominator(LARGEST_EXPONENT) for g in first]
    if any(abs(float(s) - g) > ALIKE or s == 0 for s, g in zip(shares, first, strict=True)):
        return None
    whole = math.lcm(*(s.denominator for s in shares))
    exponents = np.array([int(s * whole) for s in shares])
    if np.abs(exponents).max() > LARGEST_EXPONENT:
        return None
    return exponents if exponents[np.flatnonzero(exponents)[0]] > 0 else -exponents


def _product(names: Sequence[str], exponents: np.ndarray) -> str:
    def power(name: str, exponent: int) -> str:
        return name if exponent == 1 else f"{name}^{exponent}"

    pairs = list(zip(names, exponents.tolist(), strict=True))
    above = [power(n, e) for n, e in pairs if e > 0]
    below = [power(n, -e) for n, e in pairs if e < 0]
    return " / ".join([" x ".join(above), *below])


def _with_form(names: Sequence[str], points: Sequence[_Point]) -> str | None:
    """One parameter times or over a form of the other, such as `a x (1 + 1/b)`."""
    for a, b in permutations(range(2)):
        for text, exponent in _FORMS:
            for sign, joint in ((1.0, " x "), (-1.0, " / ")):
                if all(_constant(p, a, b, sign * exponent(p.values[b])) for p in points):
                    return names[a] + joint + text.format(names[b])
    return None


def _constant(point: _Point, a: int, b: int, exponent: float) -> bool:
    """Whether ln a + (a form of b) stays constant along the unseen direction."""
    if not (point.ratio[a] and point.values[b] != 0.0):
        return False
    relative = point.unseen[:, 0] / point.values
    change = relative[a] + exponent * relative[b]
    return bool(abs(change) < ALIKE * np.abs(relative).max())

"""Profile likelihood: hold one parameter, fit all others again, and see how the misfit rises.

The profile of a parameter is J_p(x) = min over the others of J with the parameter held at x. Its
interval ends where 2 (J_p - J) reaches the quantile of chi-square with one degree of freedom
(Venzon and Moolgavkar 1988, doi:10.2307/2347496), which needs no Gaussian posterior. Under an
informative prior the prior is part of J: this is then the profile of the posterior density. How
much the observations tell is in J as well.

An end that is not reached before a bound, or only because another parameter ran into a bound, is
not known from the data, and is said not to be.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from statistics import NormalDist

import numpy as np

from caliche.errors import InputError, nearest
from caliche.estimation.curvature import Posterior, posterior
from caliche.estimation.density import bounds_in_u, moved, physical, reach
from caliche.parameters.space import ParameterSpace
from caliche.posterior.crossing import crossing
from caliche.posterior.held_fits import Fit, Fits
from caliche.posterior.profile_result import End, ParameterProfile, Profiles
from caliche.problems.base import Problem

LEVELS = (0.68, 0.95)
# The grid of a side is extended or refined at most so often.
PASSES = 10
# The first grid reaches so many standard deviations on each side.
REACH = 3.0
# Points inside the interval, on each side, below which the grid is refined.
FEWEST_INSIDE = 3
# A coordinate this far out in a logistic's tail is moved back before others are fitted from it.
TAIL = 6.0
# Fits are added at the interpolated ends, so often or until one is that close to the level.
CLOSER = 4
CLOSE = 1e-3
# A fall of J by more than this is a better optimum, not rounding.
BETTER = 1e-3


def profile(
    problem: Problem,
    u: np.ndarray,
    names: Sequence[str] | None = None,
    points: int = 8,
    callback: Callable[[int, int], None] | None = None,
) -> Profiles:
    """Profile likelihood of free parameters about an optimum u (P,).

    The grid of each side begins with `points` values out to three standard deviations, is extended
    until the misfit has risen enough or a bound is reached, and refined where the rise is steep.

    Parameters
    ----------
    names : which parameters; all that are constant in time if None. Of one that varies, the entries
        of u are a mean and increments, none of which is the value of a knot.
    callback : called with the number of fits done, and known of so far.

    Raises
    ------
    InputError : a name that is not free, or of a parameter that varies in time; nothing to hold.
    """
    constant = {e.name: k for k, e in enumerate(problem.space.entries) if e.knot is None}
    for name in names or (() if constant else problem.space.names[:1]):
        if name in problem.space.names and name not in constant:
            raise InputError(
                "a parameter that is constant in time, for a profile",
                repr(name),
                "sample the posterior instead: --method nuts",
            )
        if name not in constant:
            raise InputError("the name of a free parameter", repr(name), nearest(name, constant))
    u = np.asarray(u, float)
    chosen = [constant[name] for name in names or constant]
    found, runs, best, misfit = {}, 0, (np.inf, u), np.inf
    for space, turn, members in _turns(problem.space, chosen):
        turned = dataclasses.replace(problem, space=space)
        fits = Fits(turned, callback)
        misfit, sides = _sides(turned, fits, turn @ u, members, points)
        pairs = zip(sides[::2], sides[1::2], strict=True)
        found |= {k: _profile(turned, *pair) for k, pair in zip(members, pairs, strict=True)}
        lowest = min((fit for side in sides for fit in side.fits), key=lambda fit: fit.cost)
        best = min(best, (lowest.cost, turn.T @ lowest.u), key=lambda pair: pair[0])
        runs += fits.n_model_runs
    improved = best[0] < misfit - BETTER
    warnings = ()
    if improved:
        warnings = (
            f"A profile found a lower misfit, {best[0]:.6g} instead of {misfit:.6g}: the "
            "calibration had not found the lowest one. Run it again with more starts.",
        )
    if names is None and len(constant) < problem.space.size:
        warnings += ("Parameters that vary in time have no profile; NUTS has intervals of knots.",)
    named = {found[k].name: found[k] for k in chosen}
    return Profiles(misfit, named, runs, best[1] if improved else None, warnings)


def _turns(
    space: ParameterSpace, chosen: Sequence[int]
) -> list[tuple[ParameterSpace, np.ndarray, list[int]]]:
    """Spaces in which the entries named are coordinates by themselves, all that can be together."""
    turns = {k: space.led_by(k) for k in chosen}
    plain = [k for k in chosen if turns[k][0] is space]
    return [(space, np.eye(space.size), plain)] * bool(plain) + [
        (*turns[k], [k]) for k in chosen if k not in plain
    ]


def _sides(
    problem: Problem,
    fits: Fits,
    u: np.ndarray,
    chosen: Sequence[int],
    points: int,
) -> tuple[float, list[_Side]]:
    """J at the optimum, and the two sides of each profile with all their fits."""
    curvature, centre = posterior(problem, u), fits.evaluate(u)
    limits = bounds_in_u(problem.space, u)
    sides = [_Side(k, way, limits[k], curvature, centre) for k in chosen for way in (-1, 1)]
    for _ in range(PASSES):
        if not _extend(sides, fits, limits, [side.next_points(points) for side in sides]):
            break
    _repair(sides, fits)
    for _ in range(CLOSER):
        if not _extend(sides, fits, limits, [side.near_ends() for side in sides]):
            break
    return centre.cost, sides


class _Side:
    """The grid on one side of the optimum: what has been fitted, and what to fit next.

    Distances are in u, positive outwards.
    """

    def __init__(
        self, k: int, way: int, limits: tuple[float, float], curvature: Posterior, centre: Fit
    ) -> None:
        unit = np.eye(len(centre.u))[k]
        sd = curvature.sd(unit)
        seen = bool(np.isfinite(sd) and sd > 0.0)
        self.k, self.way, self.centre = k, way, centre
        self.threshold = quantile(LEVELS[-1])
        self.limit = max(0.0, way * (limits[way > 0] - centre.u[k]))
        self._reach, self.seen = 0.0, seen
        self._first = REACH * sd if seen else 2.0
        line = curvature.covariance[:, k] if seen else unit
        self._line = line / line[k]
        self.fits: list[Fit] = []

    @property
    def distance(self) -> np.ndarray:
        """Of every fit, rising."""
        return self.way * (np.array([fit.u[self.k] for fit in self.fits]) - self.centre.u[self.k])

    @property
    def rise(self) -> np.ndarray:
        """2 (J - J*) of every fit."""
        return 2.0 * (np.array([fit.cost for fit in self.fits]) - self.centre.cost)

    @property
    def at_limit(self) -> bool:
        """Whether the grid goes as far as it can."""
        return bool(self._reach >= self.limit)

    def crossing(self, threshold: float) -> int | None:
        """Index of the first fit beyond the threshold."""
        beyond = np.flatnonzero(self.rise >= threshold)
        return int(beyond[0]) if len(beyond) else None

    def next_points(self, number: int) -> np.ndarray:
        """Distances to fit next: none when the end is resolved, or cannot be reached."""
        steps = np.arange(1, number + 1) / number
        crossed = self.crossing(self.threshold) if self.fits else None
        if crossed is None:
            if self.at_limit:
                return np.array([])
            low, high = self._reach, min(self.limit, 2.0 * self._reach or self._first)
            self._reach = high
            return low + (high - low) * steps
        if crossed >= FEWEST_INSIDE:
            return np.array([])
        inner = 0.0 if crossed == 0 else self.distance[crossed - 1]
        return inner + (self.distance[crossed] - inner) * steps[:-1]

    def near_ends(self) -> list[float]:
        """Distances of the ends by interpolation, where no fit has been made close to one yet."""
        found = []
        for level in LEVELS:
            threshold = quantile(level)
            crossed = self.crossing(threshold)
            if crossed is None or not np.isfinite(self.rise[crossed]):
                continue
            near = self.rise[max(crossed - 1, 0) : crossed + 1]
            if np.abs(near / threshold - 1.0).min() > CLOSE:
                found.append(crossing(self.distance, self.rise, threshold))
        return found

    def start(self, distance: float, limits: Sequence[tuple[float, float]]) -> np.ndarray:
        """Where to begin a fit: on the line of the Gaussian posterior, later on the path found."""
        known = [f for f in self.fits if f.converged]
        u = self.centre.u + self.way * distance * self._line
        if len(known) > 1:
            at = self.way * (np.array([f.u[self.k] for f in known]) - self.centre.u[self.k])
            at, path = np.append(0.0, at), np.stack([self.centre.u, *(f.u for f in known)])
            i = int(np.clip(np.searchsorted(at, distance), 1, len(at) - 1))
            weight = (distance - at[i - 1]) / (at[i] - at[i - 1])
            u = path[i - 1] + weight * (path[i] - path[i - 1])
        # In the tail of a logistic nothing moves any more.
        low = np.where(
            np.isfinite([b for b, _ in limits]), np.minimum(-TAIL, self.centre.u), -np.inf
        )
        high = np.where(
            np.isfinite([b for _, b in limits]), np.maximum(TAIL, self.centre.u), np.inf
        )
        u = np.clip(u, low, high)
        u[self.k] = self.centre.u[self.k] + self.way * distance
        return u

    def add(self, fit: Fit) -> None:
        self.fits = sorted([*self.fits, fit], key=lambda f: self.way * f.u[self.k])

    def suspects(self) -> list[tuple[int, np.ndarray]]:
        """Fits to repeat from a neighbour's solution: not converged, or above one further out."""
        path, found = [self.centre, *self.fits], []
        for i, fit in enumerate(self.fits):
            outer = path[i + 2 : i + 3]
            if not fit.converged:
                best = min([path[i], *outer], key=lambda f: f.cost)
            elif outer and outer[0].cost < fit.cost - BETTER:
                best = outer[0]
            else:
                continue
            start = best.u.copy()
            start[self.k] = fit.u[self.k]
            found.append((i, start))
        return found


def _extend(
    sides: Sequence[_Side],
    fits: Fits,
    limits: Sequence[tuple[float, float]],
    distances: Sequence[Iterable[float]],
) -> bool:
    """Fit at these distances of every side; False if there are none."""
    asked = [(side, at) for side, wanted in zip(sides, distances, strict=True) for at in wanted]
    if asked:
        held = np.array([side.k for side, _ in asked])
        starts = np.stack([side.start(at, limits) for side, at in asked])
        for (side, _), fit in zip(asked, fits.run(held, starts), strict=True):
            side.add(fit)
    return bool(asked)


def _repair(sides: Sequence[_Side], fits: Fits) -> None:
    """Repeat fits that look as if they ended in the wrong place; keep the lower misfit."""
    asked = [(side, i, start) for side in sides for i, start in side.suspects()]
    if not asked:
        return
    held = np.array([side.k for side, _, _ in asked])
    found = fits.run(held, np.stack([start for _, _, start in asked]))
    for (side, i, _), fit in zip(asked, found, strict=True):
        if fit.cost < side.fits[i].cost or (fit.converged and not side.fits[i].converged):
            side.fits[i] = fit


def quantile(level: float) -> float:
    """Quantile of chi-square with one degree of freedom."""
    return NormalDist().inv_cdf(0.5 + 0.5 * level) ** 2


def _profile(problem: Problem, below: _Side, above: _Side) -> ParameterProfile:
    """Both sides of a parameter put together, with its intervals and what to say about them."""
    space, k, centre = problem.space, below.k, below.centre
    path = [*reversed(below.fits), centre, *above.fits]
    u = np.stack([fit.u for fit in path])
    others = physical(space, u)
    intervals = {}
    for level in LEVELS:
        threshold = quantile(level)
        low, high = (_end(space, side, threshold) for side in (below, above))
        intervals[level] = (low, high)
    return ParameterProfile(
        name=space.names[k],
        u=u[:, k],
        value=others[:, k],
        misfit=np.array([fit.cost for fit in path]),
        others=others,
        converged=np.array([fit.converged for fit in path]),
        held=np.stack([fit.held for fit in path]),
        intervals=intervals,
        verdict=_verdict(below, above, *intervals[LEVELS[-1]]),
    )


def _end(space: ParameterSpace, side: _Side, threshold: float) -> End:
    """Where the profile of one side crosses the threshold."""
    crossed, u, k = side.crossing(threshold), side.centre.u, side.k
    held = np.zeros(len(u), bool)
    closed = crossed is not None and bool(np.isfinite(side.rise[crossed]))
    if crossed is not None and closed:
        held = side.fits[crossed].held
        at = u[k] + side.way * crossing(side.distance, side.rise, threshold)
    elif crossed is not None:  # where the model still gave a number
        at = u[k] if crossed == 0 else side.fits[crossed - 1].u[k]
    else:
        return End(float(reach(space, u)[side.way > 0][k]), False, ())
    value = float(moved(space, u, np.full(len(u), at))[k])
    return End(value, closed, tuple(n for n, h in zip(space.names, held, strict=True) if h))


def _verdict(below: _Side, above: _Side, low: End, high: End) -> str:
    """What the profile says beyond its interval, in words."""
    said = []
    failed = sum(not fit.converged for side in (below, above) for fit in side.fits)
    if not (low.known or high.known):
        said.append("the observations do not bound it on either side")
    elif not (low.closed and high.closed):
        where = "below" if high.closed else "above"
        said.append(f"the observations do not bound it from {where}")
    for where, end in (("lower", low), ("upper", high)):
        if end.closed and end.held:
            said.append(f"its {where} end is where {' and '.join(end.held)} reached a bound")
    if failed:
        said.append(f"{failed} of {len(below.fits) + len(above.fits)} fits did not converge")
    return "; ".join(said)

"""Designs of runs over the unit cube for Morris' and Sobol' indices, and the sums they need.

Both kinds of indices are sums over rows of runs. A row holds all that one contribution needs (a
trajectory, or A, B and the mixed points), so that rows can be left out, summed block by block and
resampled. Points lie in the unit cube, one column a parameter; the parameters of a group move
together.

Everything is summed as a departure from a reference, since a variance of 1 K2 around 290 K would
lose its digits otherwise.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from caliche.errors import InputError, nearest

# Bags of consecutive rows, by which the sums are kept; they are what the bootstrap draws.
BAGS = 64
SOBOL, MORRIS = "sobol", "morris"
# Morris' grid: four levels, and a step of p / (2 (p - 1)) that reaches each with equal chance.
LEVELS = 4
STEP = LEVELS / (2.0 * (LEVELS - 1))
MOST_ROWS = 2**20


@dataclass(frozen=True)
class Groups:
    """Parameters that move together: a name, and the columns of the cube, of each group."""

    names: tuple[str, ...]
    columns: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def dimensions(self) -> int:
        return sum(map(len, self.columns))


def make_groups(
    parameters: Sequence[str], together: Mapping[str, Sequence[str]] | None = None
) -> Groups:
    """Groups of the columns of a cube.

    Parameters
    ----------
    parameters : the name of each column; columns of one name belong together.
    together : name of a group -> names of parameters. The others stay by themselves.

    Raises
    ------
    InputError : an unknown parameter, one that is in two groups, or a group named like a parameter
        that is not in it.
    """
    together = together or {}
    owner: dict[str, str] = {}
    for group, members in together.items():
        if not members:
            raise InputError(f"parameters in group {group}", "none", f"write {group}=albedo,...")
        for name in members:
            if name not in parameters:
                raise InputError(
                    f"free parameters in group {group}", repr(name), nearest(name, parameters)
                )
            if name in owner:
                raise InputError(
                    f"{name} in one group", f"{owner[name]} and {group}", "take it out of one"
                )
            owner[name] = group
    found: dict[str, list[int]] = {}
    for column, name in enumerate(parameters):
        group = owner.get(name, name)
        if group == name and name in together and name not in together[name]:
            raise InputError(
                f"a group with a name of its own, as {name} is a parameter outside it",
                name,
                "rename the group",
            )
        found.setdefault(group, []).append(column)
    return Groups(tuple(found), tuple(tuple(columns) for columns in found.values()))


class Sums(NamedTuple):
    """Sums over the good rows of each bag; o outputs, g groups.

    number : (bag,) of rows.  level, square : (bag, o) of y - centre and its square, over the runs
    that represent the whole cube.  first, second, third : (bag, g, o), as the method says.
    centre : (o,) and slope : (g, o), what was subtracted; NaN until a row is there.
    """

    number: np.ndarray
    level: np.ndarray
    square: np.ndarray
    first: np.ndarray
    second: np.ndarray
    third: np.ndarray
    centre: np.ndarray
    slope: np.ndarray

    @staticmethod
    def empty(n_groups: int, n_outputs: int) -> Sums:
        flat, full = (BAGS, n_outputs), (BAGS, n_groups, n_outputs)
        return Sums(
            np.zeros(BAGS),
            np.zeros(flat),
            np.zeros(flat),
            np.zeros(full),
            np.zeros(full),
            np.zeros(full),
            np.full(n_outputs, np.nan),
            np.full(full[1:], np.nan),
        )


class Parts(NamedTuple):
    """What the indices are made of, each (..., o) or (..., g, o).

    variance : of the output.  main, total : partial variances of a group (Sobol'), or its mean and
    mean square effect (Morris).  size, spread : mean absolute effect and the variance of the
    effects; Morris alone, else zero.
    """

    variance: np.ndarray
    main: np.ndarray
    total: np.ndarray
    size: np.ndarray
    spread: np.ndarray


@runtime_checkable
class Design(Protocol):
    """Rows of runs over the unit cube, and what is to be summed over them."""

    @property
    def groups(self) -> Groups: ...
    @property
    def rows(self) -> int: ...
    @property
    def method(self) -> str: ...
    @property
    def per_row(self) -> int: ...
    def points(self, begin: int, end: int) -> np.ndarray:
        """Where to run (row, run, parameter)."""
        ...

    def begin(self, sums: Sums, y: np.ndarray, begin: int) -> None:
        """Set the references by the first good rows (row, run, o); `begin`: number of the first."""
        ...

    def terms(self, sums: Sums, y: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, ...]:
        """What each of these rows (row, run, o) adds to level, square, first, second, third."""
        ...

    def parts(self, sums: Sums) -> Parts:
        """From sums, with any number of axes instead of the bags, to the parts of the indices."""
        ...


@dataclass(frozen=True)
class SobolDesign:
    """Saltelli's design: A, B, and A with each group's columns taken from B.

    Main effects by Saltelli et al. (2010), doi:10.1016/j.cpc.2009.09.018, with outputs as
    departures from their mean; total effects by Jansen (1999), doi:10.1016/S0010-4655(98)00154-4.
    """

    groups: Groups
    rows: int
    base: np.ndarray  # (row, 2 parameter)

    method = SOBOL

    @property
    def per_row(self) -> int:
        return len(self.groups) + 2

    def points(self, begin: int, end: int) -> np.ndarray:
        a, b = np.split(self.base[begin:end], 2, axis=1)
        points = np.repeat(a[:, None], self.per_row, axis=1)
        points[:, 1] = b
        for k, columns in enumerate(self.groups.columns):
            points[:, k + 2, columns] = b[:, columns]
        return points

    def begin(self, sums: Sums, y: np.ndarray, begin: int) -> None:
        sums.centre[:] = y[:, :2].mean(axis=(0, 1))
        sums.slope[:] = 0.0

    def terms(self, sums: Sums, y: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, ...]:
        base = y[:, :2] - sums.centre
        change = y[:, 2:] - y[:, :1]
        return (
            base.sum(axis=1),
            (base**2).sum(axis=1),
            change,
            base[:, 1:2] * change,
            change**2,
        )

    def parts(self, sums: Sums) -> Parts:
        n = sums.number[..., None]
        mean = sums.level / (2.0 * n)
        variance = sums.square / (2.0 * n) - mean**2
        main = (sums.second - mean[..., None, :] * sums.first) / n[..., None]
        none = np.zeros_like(main)
        return Parts(variance, main, 0.5 * sums.third / n[..., None], none, none)


@dataclass(frozen=True)
class MorrisDesign:
    """Random trajectories on a grid of four levels, one step of 2/3 for each group.

    Morris (1991), doi:10.1080/00401706.1991.10484804; mean absolute effects and groups by
    Campolongo et al. (2007), doi:10.1016/j.envsoft.2006.10.004. Effects are changes of the output
    per side of the cube. The parameters of a group move at once, each in its own direction, so that
    an effect of a group has a size but no sign.
    """

    groups: Groups
    rows: int
    start: np.ndarray  # (row, parameter)
    order: np.ndarray  # (row, group), at which step each group moves

    method = MORRIS

    @property
    def per_row(self) -> int:
        return len(self.groups) + 1

    def points(self, begin: int, end: int) -> np.ndarray:
        start, order = self.start[begin:end], self.order[begin:end]
        moved = np.where(start < 0.5, start + STEP, start - STEP)
        points = np.repeat(start[:, None], self.per_row, axis=1)
        for group, columns in enumerate(self.groups.columns):
            after = np.arange(self.per_row) > order[:, group, None]
            for column in columns:
                points[..., column] = np.where(
                    after, moved[:, column, None], start[:, column, None]
                )
        return points

    def _effects(self, y: np.ndarray, rows: np.ndarray) -> np.ndarray:
        steps = np.diff(y, axis=1) / STEP
        effects = np.take_along_axis(steps, self.order[rows][..., None], axis=1)
        sign = [
            np.where(self.start[rows, columns[0]] < 0.5, 1.0, -1.0)
            if len(columns) == 1
            else np.ones(len(rows))
            for columns in self.groups.columns
        ]
        return effects * np.stack(sign, axis=1)[..., None]

    def begin(self, sums: Sums, y: np.ndarray, begin: int) -> None:
        sums.centre[:] = y.mean(axis=(0, 1))
        sums.slope[:] = self._effects(y[:1], np.array([begin]))[0]

    def terms(self, sums: Sums, y: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, ...]:
        base = y - sums.centre
        effects = self._effects(y, rows)
        departure = effects - sums.slope
        return (
            base.mean(axis=1),
            (base**2).mean(axis=1),
            departure,
            np.abs(effects),
            departure**2,
        )

    def parts(self, sums: Sums) -> Parts:
        n = sums.number[..., None]
        mean = sums.level / n
        variance = sums.square / n - mean**2
        departure = sums.first / n[..., None]
        spread = np.maximum(sums.third / n[..., None] - departure**2, 0.0)
        main = sums.slope + departure
        return Parts(variance, main, spread + main**2, sums.second / n[..., None], spread)


def sobol_design(groups: Groups, rows: int, seed: int) -> SobolDesign:
    """Scrambled Sobol' points; `rows` a power of two, which their balance needs.

    Raises
    ------
    InputError : fewer than 8 or more than 2^20 rows.
    """
    from scipy.stats import qmc

    _check_rows(rows, 8)
    random = np.random.default_rng(seed)
    engine = qmc.Sobol(2 * groups.dimensions, scramble=True, rng=random)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        base = engine.random(rows)
    # From the corner to the middle of the smallest cells: no point lies on the edge of the cube.
    return SobolDesign(groups, rows, base + 0.5**31)


def morris_design(groups: Groups, rows: int, seed: int) -> MorrisDesign:
    """Random trajectories.

    Raises
    ------
    InputError : fewer than 4 or more than 2^20 of them.
    """
    _check_rows(rows, 4)
    random = np.random.default_rng(seed)
    start = random.integers(LEVELS, size=(rows, groups.dimensions)) / (LEVELS - 1)
    order = random.permuted(np.tile(np.arange(len(groups)), (rows, 1)), axis=1)
    return MorrisDesign(groups, rows, start, order)


def _check_rows(rows: int, fewest: int) -> None:
    if not fewest <= rows <= MOST_ROWS:
        raise InputError(
            f"from {fewest} to {MOST_ROWS} samples", str(rows), "change --samples, or leave it out"
        )

"""What a Gaussian process is fitted to: values and slopes of runs as rows, padded with a mask.

Points and slopes are filled up to few different numbers, so that another wave of runs needs no new
compilation. Rows that only fill up have a unit diagonal in the covariance and nothing else; they
change no number.
"""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from caliche.emulators.box import Box
from caliche.emulators.runs import Runs
from caliche.errors import InputError
from caliche.wording import number_of

# Runs nearer to each other than this, in length-scales, give their slopes once: the condition of a
# covariance with slopes grows with the sixth power of one over the distance.
NEAREST = 0.02
_FEWEST = 8
# Rows that can be factorised in a minute and in the memory of a laptop.
MOST_ROWS = 4000


class Rows(eqx.Module):
    """Rows of the regression of one or several outputs.

    Attributes
    ----------
    points : (n, P) in the unit box, where values are known.
    slopes_at : (a, P) where slopes are known; a = 0 without any.
    mask : (n + a P,) 1 where a row is real.
    y : (K, n + a P) values of each output over its scale, then the slopes by the unit box's x,
        those of one point together; 0 where a row only fills up.
    count : () how many rows are real.
    slopes_of : (a,) the number of the run whose slopes these are; -1 where it only fills up.
    """

    points: Float[Array, "n p"]
    slopes_at: Float[Array, "a p"]
    mask: Float[Array, " row"]
    y: Float[Array, "k row"]
    count: Float[Array, ""]
    slopes_of: Int[Array, " a"]

    def of_run(self, run: int) -> np.ndarray:
        """The rows of one run: its value, then its slopes."""
        p, n = self.points.shape[1], len(self.points)
        slopes = n + np.flatnonzero(np.asarray(self.slopes_of) == run)[:, None] * p + np.arange(p)
        return np.concatenate([[run], slopes.ravel()])

    def without(self, run: int) -> Rows:
        """The rows with those of a run masked."""
        mine = self.of_run(run)
        mask = np.array(self.mask)
        mask[mine] = 0.0
        y = np.asarray(self.y) * mask
        return eqx.tree_at(
            lambda r: (r.mask, r.y, r.count),
            self,
            (jnp.asarray(mask), jnp.asarray(y), jnp.asarray(mask.sum())),
        )


def padded(number: int) -> int:
    """To how many so many are filled up: 8, 12, 16, 24, 32, ... (a power of two, or one and a half,
    as the work grows with the cube); none stay none."""
    if number == 0:
        return 0
    power = max(_FEWEST, 1 << (number - 1).bit_length())
    middle = 3 * power // 4
    return middle if _FEWEST < number <= middle else power


def rows_of(
    runs: Runs, box: Box, centre: np.ndarray, scale: np.ndarray, slopes: bool, fewest: int = 0
) -> Rows:
    """Rows of runs that did not fail, for outputs (y - centre) / scale.

    Parameters
    ----------
    centre, scale : (K,) of the outputs.
    slopes : whether the slopes of the runs are used.
    fewest : points that both are filled up to at least.
    """
    x = box.to_unit(runs.u)
    n, p = x.shape
    chosen = np.flatnonzero(runs.with_slopes) if slopes else np.zeros(0, int)
    values = ((runs.values - centre) / scale).T
    points, mask = _filled(x, padded(max(n, fewest)))
    parts, masks = [_wide(values, len(points))], [mask]
    at, numbers = np.zeros((0, p)), np.zeros(0, int)
    if len(chosen):
        assert runs.slopes is not None
        at, where = _filled(x[chosen], padded(max(len(chosen), fewest)))
        known = runs.slopes[chosen] * box.half / scale[:, None]  # (a, K, P), by x
        known = known.transpose(1, 0, 2).reshape(len(scale), -1)
        parts.append(_wide(known, len(at) * p))
        masks.append(np.repeat(where, p))
        numbers = np.concatenate([chosen, np.full(len(at) - len(chosen), -1)])
    whole = np.concatenate(masks)
    return Rows(
        jnp.asarray(points),
        jnp.asarray(at),
        jnp.asarray(whole),
        jnp.asarray(np.concatenate(parts, axis=1)),
        jnp.asarray(whole.sum()),
        jnp.asarray(numbers),
    )


def check_rows(runs: int, sloped: int, p: int) -> None:
    """Refuse more rows than can be factorised: of runs, so many of them with p slopes.

    Raises
    ------
    InputError : more than 4000.
    """
    if runs + sloped * p > MOST_ROWS:
        raise InputError(
            f"at most {MOST_ROWS} numbers of each output to learn from",
            f"{runs + sloped * p}: {number_of(runs, 'value')} and {number_of(sloped * p, 'slope')}",
            "use fewer runs, or values alone",
        )


def thinned(runs: Runs, box: Box) -> tuple[Runs, int]:
    """The runs with the slopes of close pairs kept once, and how many were dropped.

    Distances are compared with the length-scale that the prior expects.
    """
    if runs.slopes is None:
        return runs, 0
    x = box.to_unit(runs.u)
    nearest = NEAREST * expected_scale(x.shape[1])
    kept: list[int] = []
    slopes, dropped = np.array(runs.slopes), 0
    for run in np.flatnonzero(runs.with_slopes):
        if kept and np.min(np.linalg.norm(x[kept] - x[run], axis=1)) < nearest:
            slopes[run], dropped = np.nan, dropped + 1
        else:
            kept.append(int(run))
    return Runs(runs.u, runs.values, slopes, runs.failed), dropped


def expected_scale(p: int) -> float:
    """Median of the prior of length-scales on [-1, 1]: e sqrt(P)."""
    return float(np.e * np.sqrt(p))


def _filled(x: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    mask = (np.arange(size) < len(x)).astype(float)
    return np.concatenate([x, np.zeros((size - len(x), x.shape[1]))]), mask


def _wide(y: np.ndarray, size: int) -> np.ndarray:
    return np.concatenate([y, np.zeros((len(y), size - y.shape[1]))], axis=1)

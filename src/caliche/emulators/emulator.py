"""An emulator: the outputs of a model over a box of control vectors, with their uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np

from caliche.emulators.box import Box
from caliche.emulators.checks import Check
from caliche.emulators.fit import Fit, Material, Options, fit_output
from caliche.emulators.rows import check_rows, padded, rows_of, thinned
from caliche.emulators.runs import Runs
from caliche.emulators.surface import Surface, moments_of, slopes_of
from caliche.errors import InputError
from caliche.wording import number_of

# Points that are predicted in one call: what a call holds grows with it.
_TOGETHER = 2048
# Numbers that the calls may hold at once: draws by points by rows.
_MOST_NUMBERS = 2**24
# An output whose spread over the runs is below this share of its size does not vary.
CONSTANT = 1e-12


class Prediction(NamedTuple):
    """Mean and variance (n, K) of each output at each point. The variance of an output that was
    refused is infinite: it then takes no part, whatever it is used for."""

    mean: np.ndarray
    variance: np.ndarray


@runtime_checkable
class Predictor(Protocol):
    """Anything that predicts outputs: an emulator, or the model itself with a variance of zero."""

    def predict(self, u: np.ndarray) -> Prediction: ...


@dataclass(frozen=True)
class Checks:
    """Verdict of each output.

    passed : (K,) which may be used.  sentences : (K,) why, or why not.  each : (K,) in full.
    """

    each: tuple[Check, ...]

    @property
    def passed(self) -> np.ndarray:
        return np.array([one.passed for one in self.each])

    @property
    def sentences(self) -> tuple[str, ...]:
        return tuple(one.sentence for one in self.each)


@dataclass(frozen=True)
class Emulator:
    """Gaussian processes of K outputs over a box of control vectors.

    Attributes
    ----------
    outputs : their names.
    box : inside which it answers.
    runs : that it was fitted to; those that failed are among them.
    held_out : runs that it was judged by, not fitted to; none if it was judged by leaving runs out.
    fits : of each output.
    options : as it was fitted.
    thinned : runs whose slopes were left out, as another run is close by.
    """

    outputs: tuple[str, ...]
    box: Box
    runs: Runs
    held_out: Runs
    fits: tuple[Fit, ...]
    options: Options
    centre: np.ndarray
    scale: np.ndarray
    thinned: int = 0
    surface: Surface = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        surface = Surface.build([fit.process for fit in self.fits], self.centre, self.scale)
        object.__setattr__(self, "surface", surface)

    @property
    def checks(self) -> Checks:
        """How each output did on runs that it was not fitted to."""
        return Checks(tuple(fit.check for fit in self.fits))

    def predict(self, u: np.ndarray) -> Prediction:
        """Mean and variance (n, K) at control vectors u (n, P) inside the box.

        Raises
        ------
        InputError : a point outside the box.
        """
        x = self.box.to_unit(self.box.demand(u))
        parts = [moments_of(self.surface, jnp.asarray(block)) for block in self._blocks(x)]
        mean, variance = (np.concatenate([np.asarray(p[side]) for p in parts]) for side in (0, 1))
        refused = ~self.checks.passed
        return Prediction(mean[: len(x)], np.where(refused, np.inf, variance[: len(x)]))

    def slopes(self, u: np.ndarray) -> np.ndarray:
        """The exact derivative (n, K, P) of the means by u, at u (n, P) inside the box.

        Raises
        ------
        InputError : a point outside the box.
        """
        x = self.box.to_unit(self.box.demand(u))
        parts = [slopes_of(self.surface, jnp.asarray(block)) for block in self._blocks(x)]
        return np.concatenate([np.asarray(part) for part in parts])[: len(x)] / self.box.half

    def _blocks(self, x: np.ndarray) -> list[np.ndarray]:
        """The points in blocks of few different sizes, the last one filled up."""
        rows = max(group.mask.size for group in self.surface.alike)
        size = int(np.clip(_MOST_NUMBERS // rows, 64, _TOGETHER))
        size = min(size, padded(len(x)))
        filled = np.concatenate([x, np.zeros((-len(x) % size, x.shape[1]))])
        return [filled[k : k + size] for k in range(0, len(filled), size)]

    def refit(self, more: Runs, box: Box | None = None, held_out: Runs | None = None) -> Emulator:
        """The emulator of these runs and more, over another box; runs outside it are left out.

        Parameters
        ----------
        held_out : runs to judge it by, beside those of before.
        """
        box = self.box if box is None else box
        judged = self.held_out if held_out is None else self.held_out.joined(held_out)
        runs = self.runs.joined(more)
        return fit_emulator(runs.inside(box), box, self.outputs, self.options, judged.inside(box))


def fit_emulator(
    runs: Runs,
    box: Box,
    outputs: Sequence[str],
    options: Options | None = None,
    held_out: Runs | None = None,
) -> Emulator:
    """Fit a Gaussian process to every output of some runs, and judge it.

    Parameters
    ----------
    runs : inside the box; those that failed teach nothing, and slopes are used where there are any.
    outputs : names of the K outputs.
    held_out : runs by which outputs are judged; without any, runs are left out one by one.

    Raises
    ------
    InputError : runs outside the box, too few that did not fail, or names that do not fit.
    """
    options = options or Options()
    names = tuple(outputs)
    if len(names) != runs.values.shape[1]:
        raise InputError(
            f"a name for each of {number_of(runs.values.shape[1], 'output')}",
            f"{len(names)}",
            "name every output",
        )
    good, fewest = runs.good, 3
    if len(good):
        box.demand(good.u)
    slopes = options.slopes and bool(good.with_slopes.any())
    if not slopes:
        fewest = max(box.size + 2, 4)
    if len(good) < fewest:
        raise InputError(
            f"at least {number_of(fewest, 'run')} that did not fail",
            f"{len(good)} of {len(runs)}",
            "run more, or narrow the priors so that fewer fail",
        )
    check_rows(len(good), int(good.with_slopes.sum()) if slopes else 0, box.size)
    judged = runs.rows(np.zeros(0, int)) if held_out is None else held_out.good
    if len(judged):
        box.demand(judged.u)
    centre, scale = centre_and_scale(good.values)
    spread = good.values.std(axis=0)
    thin, dropped = thinned(good, box)
    plain = rows_of(good, box, centre, scale, slopes=False)
    full = rows_of(thin, box, centre, scale, slopes=True) if slopes else None
    fits = []
    for k, name in enumerate(names):
        held_y = (judged.values[:, k] - centre[k]) / scale[k]
        material = Material(
            name, plain, full, len(good), k, box.to_unit(judged.u), held_y, spread[k] / scale[k]
        )
        fits.append(fit_output(material, options))
    return Emulator(names, box, runs, judged, tuple(fits), options, centre, scale, dropped)


def centre_and_scale(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (K,) of outputs (n, K); 1 for one that does not vary."""
    centre, spread = values.mean(axis=0), values.std(axis=0)
    varies = spread > CONSTANT * np.maximum(np.abs(centre), 1e-300)
    return centre, np.where(varies, spread, 1.0)

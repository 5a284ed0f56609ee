"""Streams whose observations have the other sign: model and data move against each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from caliche.problems.inverse import InverseProblem
from caliche.variables import label, variable

# Model and data move against each other where their correlation is below the first; a fit after
# which it is above the second has shown that the first guess was to blame.
AGAINST, CURED = -0.5, 0.2
FEWEST = 12  # values of a stream whose correlation is believed
HALF_DAY = 12.0  # h; how far a clock is moved before a sign is suspected
BETTER = 0.02  # by which a moved clock has to correlate better than a turned sign


@dataclass(frozen=True)
class WrongSign:
    """A stream that moves against the model.

    correlation : of model and data.  lag : hours by which the data would have to be moved to
    explain it as well as a turned sign does; 0 where no clock does.
    """

    stream: str
    correlation: float
    lag: float = 0.0

    kind = "sign"

    @property
    def is_flux(self) -> bool:
        """Whether it can have a sign; a temperature has none, but may be another column."""
        return not variable(self.stream).is_state

    @property
    def streams(self) -> tuple[str, ...]:
        """The stream, as other suspicions name theirs."""
        return (self.stream,)

    @property
    def sentence(self) -> str:
        """What a user is told."""
        what = label(self.stream)
        against = f"the correlation of model and data is {self.correlation:.3f}"
        if not self.is_flux:
            text = f"The observed {what} moves against the model: {against}; check its column"
            return f"{text}, its depth and its clock (half a day?) before anything else"
        convention = variable(self.stream).long_name
        if "positive" not in convention:
            convention = f"{convention}, positive"
        text = (
            f"The observed {what} ({self.stream}) has the opposite sign from caliche's convention "
            f"({convention}): {against}"
        )
        if self.lag:
            text += f"; or its clock is about {abs(self.lag):g} h off"
        return f"{text}; correct that column (times -1) before anything else"


def wrong_signs(problem: InverseProblem, predictions: Sequence[np.ndarray]) -> list[WrongSign]:
    """Fitted streams that move against the model, the worst first.

    Parameters
    ----------
    predictions : (time + 1, stream) of the first guess or a draw of the prior, then, where there
        was a fit, of its optimum: a fit of the wrong sign may leave a model that moves no more.
    """
    mask, observed = np.asarray(problem.mask), np.asarray(problem.observations.values)
    hours = problem.operator.time_step / 3600.0
    found = []
    for k, name in enumerate(problem.stream_names):
        # A first guess of a temperature may drift the other way.
        state = variable(name).is_state
        told = predictions[1:] if state else predictions
        pairs = [(p[:, k], np.where(mask[:, k], observed[:, k], np.nan)) for p in told]
        known = [r for modelled, data in pairs if (r := correlation(modelled, data)) is not None]
        if not known or min(known) >= AGAINST or known[-1] > CURED:
            continue
        modelled, data = pairs[int(np.argmin(known))] if len(known) == len(pairs) else pairs[-1]
        late, lag = _best_lag(modelled, data, hours)
        explains = late > -min(known) + BETTER and not state
        found.append(WrongSign(name, min(known), lag if explains else 0.0))
    return sorted(found, key=lambda s: s.correlation)


def correlation(modelled: np.ndarray, observed: np.ndarray) -> float | None:
    """Correlation where both exist; None for few values, or where one does not vary."""
    both = np.isfinite(modelled) & np.isfinite(observed)
    m, y = modelled[both], observed[both]
    if len(m) < FEWEST or np.ptp(m) < 1e-9 * (1.0 + np.abs(m).max()) or np.ptp(y) == 0.0:
        return None
    return float(np.corrcoef(m, y)[0, 1])


def _best_lag(modelled: np.ndarray, observed: np.ndarray, hours: float) -> tuple[float, float]:
    """Best correlation when the data lag by up to half a day, and the lag (h)."""
    furthest = min(int(HALF_DAY / hours), len(observed) // 4)
    best, lag = -1.0, 0
    for k in range(-furthest, furthest + 1):
        rows = slice(max(k, 0), len(observed) + min(k, 0))
        r = correlation(np.roll(modelled, k)[rows], observed[rows])
        if r is not None and r > best:
            best, lag = r, k
    return best, lag * hours

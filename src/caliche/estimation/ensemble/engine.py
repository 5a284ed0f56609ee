"""The one loop of every method that runs members: ask for them, be told what they gave.

An `Engine` asks in u and is told residuals; it counts runs and failures, draws failed members anew
where that is asked for, records the way, and can be kept in a file and go on from there.
`AskTell` is the same for a model that is not caliche's: physical parameters out, outputs in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from caliche.errors import InputError
from caliche.estimation.ensemble.core import (
    REDRAW,
    STOP,
    MemberMethod,
    Verdict,
    half_square,
    normals,
    survived,
)
from caliche.estimation.ensemble.prior import normal_prior
from caliche.files.checkpoint import read_arrays, write_arrays
from caliche.parameters.space import ParameterSpace
from caliche.wording import number_of

_REDRAWN = 100  # purpose of random numbers, beside those of the methods
MOST_REDRAWS = 3
# Outputs that differ by less, in sigma, do not depend on what differs.
NO_EFFECT = 1e-9


class Engine:
    """A method at work from one start.

    Parameters
    ----------
    start : (P,) in u, where a search begins; an ensemble begins at the prior.

    Attributes
    ----------
    misfits, controls : J and u (P,) at each iteration: of the member at the estimate where the
        method runs one, else the median of the ensemble's J at its mean; of the best so far in a
        search.
    failed : members that failed, by iteration.  runs : model runs so far.
    tries : how often members of this iteration were drawn anew.
    """

    def __init__(
        self, method: MemberMethod, space: ParameterSpace, start: np.ndarray, seed: int
    ) -> None:
        self.method, self._space = method, space
        self._prior = normal_prior(space, method.name) if method.gives_posterior else None
        self.state = method.begin(space, np.asarray(start), seed)
        self._seed = seed
        self.misfits: list[float] = []
        self.controls: list[np.ndarray] = []
        self.failed: list[int] = []
        self.runs = 0
        self._moved = False
        self._open_batch()

    # -- ask and tell ----------------------------------------------------------------------------

    @property
    def verdict(self) -> Verdict | None:
        """Why it is done; None while it is not."""
        return self.method.verdict(self.state)

    @property
    def batch(self) -> tuple[int, np.ndarray] | None:
        """Which batch of the record to run next, and the u (P,) at which its epoch began; None for
        all of the record."""
        if self.method.batches == 1:
            return None
        number, centre = self.method.batch(self.state)
        return number, self._to_u(centre)

    def ask(self) -> np.ndarray:
        """Members to be run next, u (k, P): all of an iteration, or those drawn anew."""
        return self._to_u(self._members[self._waiting])

    def tell(self, residuals: np.ndarray, slopes: np.ndarray | None = None) -> None:
        """What the members asked for gave, (k, n); NaN, infinite or huge where one failed.

        slopes : of J by u, as the method's runner gives them; then a run counts with a tangent for
        each parameter.

        Raises
        ------
        InputError : too few members are left.
        """
        residuals = np.asarray(residuals, float)
        if self._residuals is None:
            self._residuals = np.full((len(self._members), residuals.shape[1]), np.nan)
        self._residuals[self._waiting] = residuals
        if slopes is not None:
            self.state = self.method.sloped(self.state, np.asarray(slopes, float))
        self.runs += len(residuals) * (1 if slopes is None else 1 + self._space.size)
        ok = survived(self._residuals, compare=self.method.gives_posterior)
        self._failures += int((~ok[self._waiting]).sum())
        self._refuse(ok)
        again = self.method.failures == REDRAW and self.tries < MOST_REDRAWS
        lost = ~ok
        lost[0] &= not self.method.centre_first  # where the estimate stands cannot be redrawn
        if again and lost.any():
            self._redraw(ok, lost)
            return
        self._finish(ok)

    def _open_batch(self) -> None:
        self._members = self.method.proposal(self.state)
        self._waiting = np.ones(len(self._members), bool)
        self._residuals: np.ndarray | None = None
        self._failures = 0
        self.tries = 0

    def _refuse(self, ok: np.ndarray) -> None:
        method, n, number = self.method, int(ok.sum()), self.state.iteration + 1
        if method.failures == STOP and n < len(ok):
            raise InputError(
                'no member to fail, as failures = "stop" asks',
                f"{len(ok) - n} of {len(ok)} without finite numbers in iteration {number}",
                'narrow the priors, or set failures = "drop"',
            )
        if n < method.fewest or ok[method.centre_first :].sum() < method.fewest:
            raise InputError(
                f"at least {method.fewest} of the {len(ok)} members of {method.name} to give "
                "finite numbers",
                f"{n} in iteration {number}",
                "narrow the priors or bounds, or run the model once and look at what it gives",
            )

    def _redraw(self, ok: np.ndarray, lost: np.ndarray) -> None:
        """Replace members that failed by draws from the Gaussian of those that did not."""
        number = self._seed, self.state.iteration, _REDRAWN + self.tries
        kept = self._members[ok]
        weights = normals(*number, (len(lost), len(lost)))[lost][:, : len(kept)]
        mean = kept.mean(axis=0)
        self._members = self._members.copy()
        self._members[lost] = mean + weights @ (kept - mean) / np.sqrt(len(kept) - 1)
        self._waiting = lost
        self.tries += 1

    def demand_effect(self) -> None:
        """Refuse a model that gave the same to all members since it began.

        Raises
        ------
        InputError : no output depends on any parameter.
        """
        if self._moved or self.state.iteration < self.method.updates:
            return
        raise InputError(
            f"outputs that depend on a free parameter ({', '.join(self._space.names)})",
            f"none that changes in any of {number_of(self.runs, 'run')}",
            "check that the model reads its parameters under these names, or observe more",
        )

    def _finish(self, ok: np.ndarray) -> None:
        assert self._residuals is not None
        alone = ok.sum() < 2
        self._moved |= alone or bool(np.ptp(self._residuals[ok], axis=0).max() > NO_EFFECT)
        residuals = np.where(ok[:, None], self._residuals, np.nan)
        u = self._to_u(self._members)
        prior = 0.5 * np.sum(np.where(self._space.informative, u, 0.0) ** 2, axis=1)
        cost = half_square(residuals) + prior
        if self.method.gives_posterior:
            at = self.method.estimate(self.state)
            first = self.method.centre_first and ok[0]
            self._record(cost[0] if first else np.nanmedian(cost), self._to_u(at))
        self.failed.append(self._failures)
        self.state = self.method.update(self._space, self.state, self._members, residuals)
        if not self.method.gives_posterior:
            known = self.method.misfit(self.state)
            best = min(float(np.min(cost, where=ok, initial=np.inf)), *self.misfits[-1:], np.inf)
            self._record(best if known is None else known, self.method.estimate(self.state))
        self._open_batch()

    def _record(self, cost: float, u: np.ndarray) -> None:
        self.misfits.append(float(cost))
        self.controls.append(np.array(u))

    def _to_u(self, members: np.ndarray) -> np.ndarray:
        return members if self._prior is None else self._prior.to_u(members)

    # -- what came out ---------------------------------------------------------------------------

    @property
    def estimate(self) -> np.ndarray:
        """The estimate u (P,)."""
        return self._to_u(self.method.estimate(self.state))

    @property
    def posterior(self) -> np.ndarray | None:
        """Members of the posterior u (N, P); None for a search."""
        found = self.method.posterior(self.state)
        return None if found is None else self._to_u(found)

    @property
    def informed(self) -> float:
        """How many parameters' worth the data told: P less what is left of the prior variance."""
        found = self.method.posterior(self.state)
        if found is None:
            return float(self._space.size)
        left = np.clip(np.var(found, axis=0, ddof=1), 0.0, 1.0)
        return float(np.sum(1.0 - left))

    # -- keeping -----------------------------------------------------------------------------------

    def arrays(self) -> dict[str, np.ndarray]:
        """All that is needed to go on after the last whole iteration."""
        shape = (-1, self._space.size)
        kept = {f"state_{name}": np.asarray(x) for name, x in self.state._asdict().items()}
        return kept | {
            "misfits": np.asarray(self.misfits),
            "controls": np.reshape(np.asarray(self.controls, float), shape),
            "failed": np.asarray(self.failed, int),
            "runs": np.asarray(self.runs),
        }

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from what `arrays` gave."""
        names = self.state._fields
        loaded = {name: arrays[f"state_{name}"] for name in names}
        self.state = type(self.state)(**{n: x if x.ndim else x.item() for n, x in loaded.items()})
        self.misfits = arrays["misfits"].tolist()
        self.controls = list(arrays["controls"])
        self.failed = arrays["failed"].tolist()
        self.runs = int(arrays["runs"])
        self._moved = self.state.iteration > 0
        self._open_batch()


# -- states in a file ----------------------------------------------------------------------------


def keep(path: Path, mark: str, engines: Sequence[Engine]) -> None:
    """Write the engines' states, so that a whole file is there at any time."""
    arrays = {
        f"{k}_{name}": values
        for k, engine in enumerate(engines)
        for name, values in engine.arrays().items()
    }
    write_arrays(path, mark, arrays)


def resume(path: Path, mark: str, engines: Sequence[Engine]) -> None:
    """Put the engines where a file says they were.

    Raises
    ------
    InputError : no such file, one that cannot be read, or one of another problem.
    """
    arrays = read_arrays(path, mark, "problem, method, options and seed")
    for k, engine in enumerate(engines):
        prefix = f"{k}_"
        mine = {n.removeprefix(prefix): x for n, x in arrays.items() if n.startswith(prefix)}
        if mine:
            engine.restore(mine)

"""Ask and tell: the methods that run members, for a model that is not caliche's.

job = AskTell("etki", space, observed, sigma, seed=1)
while not job.done:
    members = job.ask()                      # physical values (k, P), in the order job.names
    job.tell([my_model(m) for m in members])  # outputs (k, n); NaN where a run failed
found = job.result()
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from caliche.constants import NORMAL_QUANTILE
from caliche.errors import InputError
from caliche.estimation.checkpoint import fingerprint
from caliche.estimation.density import physical
from caliche.estimation.ensemble_engine import Engine, keep, member_method, resume
from caliche.estimation.ensemble_prior import normal_prior
from caliche.parameters import FreeParameter, ParameterSpace


@dataclass(frozen=True)
class Found:
    """What came out.

    Attributes
    ----------
    estimate : by parameter.  sd, interval : the ensemble's, declared errors taken at their word;
        None after a random search, which has none.
    members : (N, P) physical values of the posterior ensemble; None after a random search.
    misfits : J at each iteration, see `Engine`.
    converged, reason : how it ended.
    n_runs, n_failed : model runs, and how many of them failed.
    """

    method: str
    names: tuple[str, ...]
    estimate: dict[str, float]
    sd: dict[str, float] | None
    interval: dict[str, tuple[float, float]] | None
    members: np.ndarray | None
    misfits: np.ndarray
    converged: bool
    reason: str
    n_runs: int
    n_failed: int


class AskTell:
    """A method at work on a model that is run elsewhere.

    Parameters
    ----------
    method : `4denvar`, `eki`, `etki`, `uki`, `ga` or `cma`; `options` are its own.
    parameters : what is to be estimated, or a space of it.
    observed : (n,) values, NaN where nothing was seen.  sigma : their standard deviations, one or
        (n,), in the units of the observations.

    Raises
    ------
    InputError : an unknown method or option; shapes that do not fit; a sigma that is not positive.
    """

    def __init__(
        self,
        method: str,
        parameters: ParameterSpace | Sequence[FreeParameter],
        observed: Sequence[float] | np.ndarray,
        sigma: float | Sequence[float] | np.ndarray,
        seed: int = 0,
        **options: Any,
    ) -> None:
        space = parameters
        if not isinstance(space, ParameterSpace):
            space = ParameterSpace.build(
                [p.declaration for p in space], {p.name: p for p in space}, {}
            )
        self.space = space
        values = np.atleast_1d(np.asarray(observed, float))
        self._size = len(values)
        errors = np.asarray(sigma, float)
        if errors.shape not in ((), values.shape):
            raise InputError(
                f"one sigma, or one for each of the {self._size} observations",
                f"shape {errors.shape}", "give as many as observations",
            )  # fmt: skip
        self._seen = np.isfinite(values)
        self._observed = values[self._seen]
        self._sigma = np.broadcast_to(errors, values.shape)[self._seen]
        if not self._seen.any():
            raise InputError("at least one observation", "none", "give some that are not NaN")
        if not (self._sigma > 0.0).all():
            raise InputError("a positive sigma", f"{self._sigma.min():g}", "check its unit")
        chosen = member_method(method, options)
        if getattr(chosen, "batches", 1) > 1:
            raise InputError(
                "all observations at once from a model that is not caliche's",
                f"batches = {chosen.batches}", "leave out batches",  # type: ignore[attr-defined]
            )  # fmt: skip
        start = np.asarray(self.space.initial())
        self._engine = Engine(chosen, self.space, start, seed)
        self._mark = fingerprint(chosen, seed, start, repr(space.free), self._observed, self._sigma)

    @property
    def names(self) -> tuple[str, ...]:
        """Parameters in the order of the columns of `ask`."""
        return self.space.names

    @property
    def done(self) -> bool:
        return self._engine.verdict is not None

    @property
    def reason(self) -> str:
        """Why it is done; empty while it is not."""
        verdict = self._engine.verdict
        return "" if verdict is None else verdict.reason

    @property
    def iteration(self) -> int:
        """Whole iterations made."""
        return self._engine.state.iteration

    @property
    def tries(self) -> int:
        """How often members of this iteration were drawn anew."""
        return self._engine.tries

    @property
    def misfits(self) -> list[float]:
        """J at each iteration so far."""
        return self._engine.misfits

    def ask(self) -> np.ndarray:
        """Members to be run (k, P), in physical units; the same until they are told."""
        return physical(self.space, self._engine.ask())

    def tell(self, outputs: Sequence[Any] | np.ndarray) -> None:
        """Outputs (k, n) of the members asked for; a row with a NaN is one that failed.

        So is a row that is shorter or longer than the others, or None: a run that was cut off.

        Raises
        ------
        InputError : another shape; too few members that did not fail.
        """
        found, k = _table(outputs, self._size), len(self._engine.ask())
        if found.shape != (k, self._size):
            raise InputError(
                f"outputs of shape ({k}, {self._size}), members by observations",
                f"{found.shape}", "give a row of NaN for a member that failed",
            )  # fmt: skip
        with np.errstate(invalid="ignore", over="ignore"):
            self._engine.tell((found[:, self._seen] - self._observed) / self._sigma)

    def result(self) -> Found:
        """What came out so far."""
        engine = self._engine
        u, verdict = engine.estimate, engine.verdict
        values = physical(self.space, u)
        members = engine.posterior
        sd = interval = drawn = None
        if members is not None:
            drawn = physical(self.space, members)
            sd = dict(zip(self.names, drawn.std(axis=0, ddof=1).tolist(), strict=True))
            interval = self._interval(members)
        return Found(
            method=engine.method.name,
            names=self.names,
            estimate=dict(zip(self.names, values.tolist(), strict=True)),
            sd=sd,
            interval=interval,
            members=drawn,
            misfits=np.array(engine.misfits),
            converged=verdict is not None and verdict.converged,
            reason="not finished" if verdict is None else verdict.reason,
            n_runs=engine.runs,
            n_failed=sum(engine.failed),
        )

    def _interval(self, members: np.ndarray) -> dict[str, tuple[float, float]]:
        """95 % intervals, of a normal v."""
        prior = normal_prior(self.space, self._engine.method.name)
        v = prior.from_u(members)
        reach = NORMAL_QUANTILE * v.std(axis=0, ddof=1)
        ends = prior.to_u(np.stack([v.mean(axis=0) - reach, v.mean(axis=0) + reach]))
        low, high = physical(self.space, ends)
        pairs = zip(low.tolist(), high.tolist(), strict=True)
        return dict(zip(self.names, pairs, strict=True))

    def save(self, path: Path | str) -> None:
        """Keep the state after the last whole iteration in a file."""
        keep(Path(path), self._mark, [self._engine])

    def restore(self, path: Path | str) -> None:
        """Go on from a file; what follows is what would have followed.

        Raises
        ------
        InputError : no such file, or one of another problem.
        """
        resume(Path(path), self._mark, [self._engine])


def _table(outputs: Sequence[Any] | np.ndarray, size: int) -> np.ndarray:
    """Outputs as an array; rows of NaN for those of another length, if any has the right one."""
    if isinstance(outputs, np.ndarray) and outputs.dtype != object:
        return np.asarray(outputs, float)
    rows = [np.atleast_1d(np.asarray(np.nan if row is None else row, float)) for row in outputs]
    fits = [row.shape == (size,) for row in rows]
    if all(fits) or not any(fits):
        longest = max((row.size for row in rows), default=0)
        return np.array(rows) if all(fits) else np.full((len(rows), longest), np.nan)
    blank = np.full(size, np.nan)
    return np.stack([row if fit else blank for row, fit in zip(rows, fits, strict=True)])

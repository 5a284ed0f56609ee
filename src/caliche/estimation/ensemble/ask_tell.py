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

from caliche.cards.methods import MEMBER_METHODS, method_of
from caliche.constants import NORMAL_QUANTILE
from caliche.errors import InputError, nearest
from caliche.estimation.density import physical
from caliche.estimation.ensemble.check import LastLook, last_look
from caliche.estimation.ensemble.core import Verdict
from caliche.estimation.ensemble.engine import Engine, keep, resume
from caliche.estimation.ensemble.prior import normal_prior
from caliche.files.checkpoint import fingerprint
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
    no_effect : parameters on which no output depends: of these, all of the above is the prior's, or
        chance.
    n_runs, n_failed : model runs of the method, and how many runs failed.
    n_last : runs of the last look, see `AskTell`.
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
    no_effect: tuple[str, ...] = ()
    n_last: int = 0


class AskTell:
    """A method at work on a model that is run elsewhere.

    When it has come to its end it asks once more where its answer may be none: near a bound, and of
    parameters that the data may not see.

    Parameters
    ----------
    method : `4denvar`, `eki`, `etki`, `uki`, `ga` or `cma`; `options` are its own.
    parameters : FreeParameters to be estimated, or a ParameterSpace of them.
    observed : (n,) values, NaN where nothing was seen.  sigma : their standard deviations, one or
        (n,), in the units of the observations.

    Raises
    ------
    InputError : an unknown method or option; parameters that are not FreeParameters; shapes that do
        not fit; a sigma that is not positive.
    """

    def __init__(
        self,
        method: str,
        parameters: Any,
        observed: Sequence[float] | np.ndarray,
        sigma: float | Sequence[float] | np.ndarray,
        seed: int = 0,
        **options: Any,
    ) -> None:
        space = parameters
        if not isinstance(space, ParameterSpace):
            space = _checked(parameters)
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
                f"shape {errors.shape}",
                "give as many as observations",
            )
        self._seen = np.isfinite(values)
        self._observed = values[self._seen]
        self._sigma = np.broadcast_to(errors, values.shape)[self._seen]
        if not self._seen.any():
            raise InputError("at least one observation", "none", "give some that are not NaN")
        if not (self._sigma > 0.0).all():
            raise InputError("a positive sigma", f"{self._sigma.min():g}", "check its unit")
        if method not in MEMBER_METHODS:
            raise InputError(
                "the name of a method that runs members",
                repr(method),
                nearest(method, MEMBER_METHODS),
            )
        chosen = method_of(method, options)
        if chosen.batches > 1:
            raise InputError(
                "all observations at once from a model that is not caliche's",
                f"batches = {chosen.batches}",
                "leave out batches",
            )
        start = np.asarray(self.space.initial())
        self._engine = Engine(chosen, self.space, start, seed)
        self._look: LastLook | None = None
        self._mark = fingerprint(chosen, seed, start, repr(space.free), self._observed, self._sigma)

    @property
    def names(self) -> tuple[str, ...]:
        """Parameters in the order of the columns of `ask`."""
        return self.space.names

    @property
    def done(self) -> bool:
        return self._engine.verdict is not None and (self._last is None or self._last.told)

    @property
    def _last(self) -> LastLook | None:
        """The last look, once the method has come to its end by itself."""
        verdict = self._engine.verdict
        if self._look is None and verdict is not None and verdict.converged:
            self._look = last_look(self._engine, self.space)
        return self._look

    @property
    def _verdict(self) -> Verdict | None:
        verdict, look = self._engine.verdict, self._last
        if verdict is None or look is None:
            return verdict
        if look.doubt:
            return Verdict(False, f"came to its end, but {look.doubt}")
        return verdict

    @property
    def reason(self) -> str:
        """Why it is done; empty while it is not."""
        return "" if self._verdict is None or not self.done else self._verdict.reason

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
        return physical(self.space, self._asked)

    @property
    def _asked(self) -> np.ndarray:
        """Control vectors (k, P) of the members to be run."""
        look = self._last
        return self._engine.ask() if look is None or look.told else look.u

    def tell(self, outputs: Sequence[Any] | np.ndarray) -> None:
        """Outputs (k, n) of the members asked for; a row with a NaN is one that failed.

        So is a row that is shorter or longer than the others, or None: a run that was cut off.

        Raises
        ------
        InputError : another shape; too few members that did not fail; no output that depends on
            any parameter.
        """
        found, k = _table(outputs, self._size), len(self._asked)
        if found.shape != (k, self._size):
            raise InputError(
                f"outputs of shape ({k}, {self._size}), members by observations",
                f"{found.shape}",
                "give a row of NaN for a member that failed",
            )
        with np.errstate(invalid="ignore", over="ignore"):
            residuals = (found[:, self._seen] - self._observed) / self._sigma
        look = self._last
        if look is not None and not look.told:
            look.tell(residuals)
            return
        self._engine.tell(residuals)
        self._engine.demand_effect()

    def result(self) -> Found:
        """What came out so far."""
        engine = self._engine
        u, verdict, look = engine.estimate, self._verdict, self._look
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
            converged=self.done and verdict is not None and verdict.converged,
            reason="not finished" if verdict is None or not self.done else verdict.reason,
            n_runs=engine.runs,
            n_last=len(look.u) if look is not None and look.told else 0,
            n_failed=sum(engine.failed) + (0 if look is None else look.failed),
            no_effect=tuple(self.names[k] for k in look.unseen) if look is not None else (),
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
        self._look = None
        resume(Path(path), self._mark, [self._engine])


def _checked(parameters: Any) -> tuple[FreeParameter, ...]:
    """The free parameters, none of them twice."""
    listed = list(parameters) if isinstance(parameters, list | tuple) else [parameters]
    wrong = [p for p in listed if not isinstance(p, FreeParameter)]
    if wrong or not listed:
        raise InputError(
            "a list of FreeParameter, or a ParameterSpace, of what is to be estimated",
            f"{type(parameters).__name__}" + (f" with {wrong[0]!r}"[:60] if wrong else ", empty"),
            "make each by caliche.parameters.space.free_parameter(ParameterDeclaration(name, "
            "long_name, unit, default, lower, upper, source))",
        )
    names = [p.name for p in listed]
    if len(set(names)) < len(names):
        raise InputError("parameters with different names", ", ".join(names), "rename one")
    return tuple(listed)


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

"""What may be wrong with the sensors, before anybody declares it: a score test of each nuisance.

About an optimum, every nuisance that could be declared (a clock offset, a depth offset, a bias, a
share of the flux) changes the predictions along a direction that the run itself gives: its slope in
time, its slope in depth, one, and the prediction. The part of that direction which the parameters
cannot imitate, held against the residuals, says by how much freeing the nuisance would lower the
misfit, where it would end and which parameter it would move, all to first order (Rao 1948,
doi:10.1017/S0305004100023987). No model has to be calibrated again. Clocks are moved step by step
first, as a lag of hours is not small (`caliche.evaluation.clock_search`). A stream that moves
against the model comes before all: while its sign is suspected, nothing else is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from caliche.estimation.descent.levenberg_marquardt import LevenbergMarquardt
from caliche.estimation.information import with_information
from caliche.estimation.method import run_method
from caliche.estimation.tangent_run import run_with_tangents
from caliche.evaluation.clock_search import LONGEST_MEAN, Optimum, best_lag, furthest_lag, optimum
from caliche.evaluation.depth_slopes import depth_slopes
from caliche.evaluation.signs import WrongSign, wrong_signs
from caliche.observations.nuisances import Kind, Nuisance
from caliche.problems.inverse import InverseProblem
from caliche.variables import variable

# A suspicion is uttered where the offset is so many of its standard deviations (which count the
# memory of the residuals), and would lower the misfit by such a share.
SURE = 3.0
WORTH = 0.1
# Less of a direction than this, in length, that the parameters cannot imitate: not to be told.
IMITATED = 1e-3

_TURBULENT = ("sensible_heat_flux", "latent_heat_flux", "turbulent_heat_flux")
_NAMES: dict[Kind, str] = {
    "clock-offset": "clock",
    "depth-offset": "depth",
    "bias": "bias",
    "flux-fraction": "share",
}
_RIVALS: dict[Kind, Kind] = {"bias": "flux-fraction", "flux-fraction": "bias"}


@dataclass(frozen=True)
class Suspicion:
    """A nuisance that the observations ask for.

    value, sd : where it would end, in `unit`.  gain : share of the misfit that it would take away.
    moves, by : the parameter that it would move most, and by how many of its standard deviations.
    at_limit : whether the search ends there, and the truth may lie beyond.
    section : name of the table that would declare it.
    """

    kind: Kind
    streams: tuple[str, ...]
    value: float
    sd: float
    unit: str
    gain: float
    moves: str
    by: float
    at_limit: bool = False
    section: str = ""

    @property
    def sentence(self) -> str:
        """What a user is told."""
        which = " and ".join(self.streams)
        amount = f"{self.value:+.2g} ± {self.sd:.1g} {self.unit}".strip()
        what = {
            "clock-offset": f"a lag of {which} behind the forcing by {amount}",
            "depth-offset": f"an offset of the depth of {which} by {amount}",
            "bias": f"a bias of {which} of {self.value:+.2g} ± {self.sd:.1g} {self.unit}",
            "flux-fraction": f"a measured share {self.value:.2g} ± {self.sd:.1g} of {which}",
        }[self.kind]
        limit = " (the search ends there: it may be more)" if self.at_limit else ""
        moved = f" and move {self.moves} by {abs(self.by):.1f} of its sd" if self.moves else ""
        effect = f"would lower the misfit by {100 * self.gain:.0f} %{moved}"
        return f"{what[0].upper()}{what[1:]}{limit} {effect}; {self._advice}"

    @property
    def _advice(self) -> str:
        """The table that declares it, which its own bounds and prior must allow."""
        neutral, lowest, highest = _range(self.kind, self.streams)
        if not lowest <= self.value <= highest:
            return "correct the time stamps of that file: an estimated clock ends at 3 h"
        streams = ", ".join(f'"{name}"' for name in self.streams)
        width = abs(self.value - neutral)
        prior = ""
        if self.kind == "bias" or width > _USUAL[self.kind]:
            prior = f", mean = {neutral:g}" if self.kind == "flux-fraction" else ""
            prior += f", sd = {width:.1g}"
        name = self.section or _NAMES[self.kind]
        return (
            f'to estimate it: [nuisances.{name}] kind = "{self.kind}", streams = [{streams}]{prior}'
        )


# A nuisance further from its neutral value needs a prior that is wider than the default.
_USUAL: dict[Kind, float] = {
    "clock-offset": 1.0,
    "depth-offset": 0.01,
    "bias": 0.0,
    "flux-fraction": 0.35,
}


def screen_first(problem: InverseProblem) -> list[Suspicion | WrongSign]:
    """`screen_sensors` about the optimum that one fit from the first guess finds."""
    final = run_method(LevenbergMarquardt(), problem, problem.space.initial()[None]).final
    if not np.isfinite(final.cost[0]):
        return list(screen_signs(problem))
    return screen_sensors(problem, np.asarray(final.u[0]))


def screen_signs(problem: InverseProblem, u: np.ndarray | None = None) -> list[WrongSign]:
    """Streams that move against the model at the first guess, or about the optimum u (P,)."""
    points = [problem.space.initial(), *([] if u is None else [jnp.asarray(u)])]
    return wrong_signs(
        problem, [np.asarray(run_with_tangents(problem, at).prediction) for at in points]
    )


def screen_sensors(problem: InverseProblem, u: np.ndarray) -> list[Suspicion | WrongSign]:
    """What nobody declared and the observations ask for, the worst first: turned signs alone where
    there are any, else nuisances.

    Parameters
    ----------
    u : (P,) an optimum of the problem.
    """
    if problem.observations.information is not None:
        # A suspicion allows for the size and persistence of residuals by itself.
        problem = with_information(problem, None)
    against = screen_signs(problem, u)
    if signs := [found for found in against if found.is_flux]:
        return list(signs)
    about = optimum(problem, u)
    known = about.statistics(about.residual)
    if all(s.lag1_autocorrelation * s.n**0.5 < SURE for s in known.values()):
        return list(against)  # what a sensor does wrong it does for longer than one observation
    found = []
    for kind, columns, at, change, beyond in _candidates(about):
        suspicion = _suspicion(kind, columns, at, change, beyond)
        if suspicion is not None:
            found.append(suspicion)
    kept = _worst_of_each(found)
    explained = {stream for suspicion in kept for stream in suspicion.streams}
    return [*kept, *(a for a in against if a.stream not in explained)]


def _suspicion(
    kind: Kind, columns: list[int], at: Optimum, change: np.ndarray, moved: float
) -> Suspicion | None:
    """The suspicion of one nuisance, from the derivative (time + 1, stream) of the predictions by
    it about an optimum with it moved so far already; None where there is none."""
    problem, residual = at.problem, at.residual
    names = [problem.stream_names[c] for c in columns]
    whitened = np.zeros_like(residual)
    whitened[: at.n_data] = at.whitened(change).ravel()
    along = -at.covariance @ (at.jacobian.T @ whitened)  # how parameters would follow
    left = whitened + at.jacobian @ along
    if np.linalg.norm(left) <= IMITATED * np.linalg.norm(whitened):
        return None
    power = left @ left
    neutral, lowest, highest = _range(kind, names)
    if kind == "clock-offset":  # the search of a clock has limits of its own
        furthest = furthest_lag(problem)
        lowest, highest = min(lowest, -furthest), max(highest, furthest)
    here = neutral + moved
    value = float(np.clip(here - (left @ residual) / power, lowest, highest))
    after = residual + (value - here) * left
    gain = float(1.0 - (after @ after) / at.before)
    # Errors as they would be without what is suspected.
    statistics = at.statistics(after)
    inflation = max(statistics[name].inflation for name in names)
    sd = float(np.sqrt(inflation / power))
    if abs(value - neutral) < SURE * sd or gain < WORTH:
        return None
    spread = np.sqrt(inflation * np.clip(np.diag(at.covariance), 1e-300, None))
    by = (at.followed + (value - here) * along) / spread
    k = int(np.abs(by).argmax())
    unit = Nuisance("it", kind, tuple(names)).declaration.unit
    return Suspicion(
        kind,
        tuple(names),
        value,
        sd,
        unit,
        gain,
        problem.space.names[k] if abs(by[k]) >= 1.0 else "",
        float(by[k]),
        value in (lowest, highest),
    )


def _worst_of_each(found: list[Suspicion]) -> list[Suspicion]:
    """One suspicion of each kind for a stream (a bias or a share, not both), the worst first."""
    kept: list[Suspicion] = []
    for suspicion in sorted(found, key=lambda s: -s.gain):
        kinds = {suspicion.kind, _RIVALS.get(suspicion.kind, suspicion.kind)}
        rivals = [s for s in kept if s.kind in kinds]
        if not any(set(s.streams) & set(suspicion.streams) for s in rivals):
            same = sum(s.kind == suspicion.kind for s in kept)
            name = _NAMES[suspicion.kind] + (f"_{same + 1}" if same else "")
            kept.append(dataclasses.replace(suspicion, section=name))
    return kept


def _range(kind: Kind, streams: list[str] | tuple[str, ...]) -> tuple[float, float, float]:
    """Neutral, lowest and highest value of a nuisance."""
    declaration = Nuisance("it", kind, tuple(streams)).declaration
    return declaration.default, declaration.lower, declaration.upper


def _candidates(
    about: Optimum,
) -> Iterator[tuple[Kind, list[int], Optimum, np.ndarray, float]]:
    """Each nuisance not declared, of every stream that can have it: its kind, the streams (indices)
    it touches, the optimum with it moved, the derivative (time + 1, stream) of the predictions by
    it there, and how far it was moved."""
    problem, prediction = about.problem, about.prediction
    names = list(problem.stream_names)
    free = [n for n in problem.operator.nuisances if n.name in problem.space.names]
    declared = {(n.kind, stream) for n in free for stream in n.streams}

    def open_to(kind: Kind, streams: list[str]) -> list[int]:
        return [names.index(s) for s in streams if (kind, s) not in declared]

    def only(columns: list[int], values: np.ndarray) -> np.ndarray:
        change = np.zeros_like(prediction)
        change[:, columns] = values[:, columns]
        return change

    fluxes = [name for name in names if not variable(name).is_state]
    hours = problem.operator.time_step / 3600.0
    if furthest_lag(problem) > 0.0:
        streams = problem.operator.streams
        stamped = [s.name for s in streams if s.steps * hours <= LONGEST_MEAN]
        for group in _loggers(names, open_to("clock-offset", stamped)):
            lag, moved = best_lag(about, group)
            slope = -np.gradient(moved.prediction, hours, axis=0)
            yield "clock-offset", group, moved, only(group, slope), lag
    deep = [n for n in names if variable(n).depth is not None]
    deep = [n for n in deep if variable(n).name in problem.model.depths]
    if columns := open_to("depth-offset", deep):
        slope = depth_slopes(problem, about.u, columns, prediction)
        for column in columns:
            yield "depth-offset", [column], about, only([column], slope), 0.0
    for name in names:
        if columns := open_to("bias", [name]):
            yield "bias", columns, about, only(columns, np.ones_like(prediction)), 0.0
    turbulent = [name for name in fluxes if variable(name).name in _TURBULENT]
    shares = [turbulent, *([name] for name in fluxes)]
    for columns in _different([open_to("flux-fraction", group) for group in shares]):
        yield "flux-fraction", columns, about, only(columns, prediction), 0.0


def _loggers(names: list[str], columns: list[int]) -> list[list[int]]:
    """Streams that one clock may have stamped: each, those of one quantity, the turbulent ones."""
    of = {c: variable(names[c]).name for c in columns}
    groups = [[c] for c in columns]
    groups += [[c for c in columns if of[c] == quantity] for quantity in dict.fromkeys(of.values())]
    groups.append([c for c in columns if of[c] in _TURBULENT])
    return _different(groups)


def _different(groups: list[list[int]]) -> list[list[int]]:
    """The groups that are not empty, each once."""
    return [list(group) for group in dict.fromkeys(tuple(g) for g in groups) if group]

"""What may be wrong with the sensors, before anybody declares it: a score test of each nuisance.

About an optimum, every nuisance that could be declared (a clock offset, a depth offset, a bias, a
share of the flux) changes the predictions along a direction that the run itself gives: its slope in
time, its slope in depth, one, and the prediction. The part of that direction which the parameters
cannot imitate, held against the residuals, says by how much freeing the nuisance would lower the
misfit, where it would end and which parameter it would move, all to first order (Rao 1948,
doi:10.1017/S0305004100023987). No model has to be calibrated again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from caliche.estimation.least_squares import LevenbergMarquardt
from caliche.estimation.method import run_method
from caliche.estimation.posterior import linearised, residual_statistics
from caliche.estimation.tangent_run import run_with_tangents
from caliche.inverse_problem import InverseProblem
from caliche.observations.nuisances import Kind, Nuisance
from caliche.observations.operator import Stream, make_operator
from caliche.variables import stream_name, variable

# A suspicion is uttered where the offset is so many of its standard deviations (which count the
# memory of the residuals), and would lower the misfit by such a share.
SURE = 3.0
WORTH = 0.1
# Less of a direction than this, in length, that the parameters cannot imitate: not to be told.
IMITATED = 1e-3
DEPTH_STEP = 0.005  # m; for slopes of temperature in depth

_FLUXES = ("sensible_heat_flux", "latent_heat_flux", "turbulent_heat_flux")
_NAMES: dict[Kind, str] = {
    "clock-offset": "clock", "depth-offset": "depth", "bias": "bias", "flux-fraction": "share",
}  # fmt: skip


@dataclass(frozen=True)
class Suspicion:
    """A nuisance that the observations ask for.

    value, sd : where it would end, in `unit`.  gain : share of the misfit that it would take away.
    moves, by : the parameter that it would move most, and by how many of its standard deviations.
    """

    kind: Kind
    streams: tuple[str, ...]
    value: float
    sd: float
    unit: str
    gain: float
    moves: str
    by: float

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
        moved = f" and move {self.moves} by {abs(self.by):.1f} of its sd" if self.moves else ""
        streams = ", ".join(f'"{name}"' for name in self.streams)
        effect = f"would lower the misfit by {100 * self.gain:.0f} %{moved}"
        section = f'[nuisances.{_NAMES[self.kind]}] kind = "{self.kind}", streams = [{streams}]'
        return f"{what[0].upper()}{what[1:]} {effect}; to estimate it: {section}"


def screen_first(problem: InverseProblem) -> list[Suspicion]:
    """`screen_sensors` about the optimum that one fit from the first guess finds."""
    final = run_method(LevenbergMarquardt(), problem, problem.space.initial()[None]).final
    return screen_sensors(problem, np.asarray(final.u[0])) if np.isfinite(final.cost[0]) else []


def screen_sensors(problem: InverseProblem, u: np.ndarray) -> list[Suspicion]:
    """Nuisances that nobody declared and the observations ask for, the worst first.

    Parameters
    ----------
    u : (P,) an optimum of the problem.
    """
    residual, jacobian = linearised(problem, u)
    prediction = run_with_tangents(problem, jnp.asarray(u)).prediction
    shape = problem.observations.mask.shape
    n = int(np.prod(shape))
    curvature = jacobian.T @ jacobian
    covariance = np.linalg.pinv(curvature, hermitian=True)
    fitted = float(np.sum((jacobian[:n] @ covariance) * jacobian[:n]))
    known = residual_statistics(problem, residual[:n].reshape(shape), fitted)
    if all(s.lag1_autocorrelation * s.n**0.5 < SURE for s in known.values()):
        return []  # what a sensor does wrong it does for longer than one observation
    scale = np.broadcast_to(np.asarray(problem.observations.scale), shape)
    found = []
    for kind, columns, change in _candidates(problem, u, np.asarray(prediction)):
        direction = np.nan_to_num(change / scale) * np.asarray(problem.mask)
        whitened = np.zeros_like(residual)
        whitened[:n] = np.asarray(_whiten(problem, jnp.asarray(direction))).ravel()
        along = -covariance @ (jacobian.T @ whitened)  # how parameters would follow
        left = whitened + jacobian @ along
        if np.linalg.norm(left) <= IMITATED * np.linalg.norm(whitened):
            continue
        power = left @ left
        neutral, lowest, highest = _range(kind, [_names(problem)[c] for c in columns])
        value = float(np.clip(-(left @ residual) / power, lowest - neutral, highest - neutral))
        after = residual + value * left
        gain = float(1.0 - (after @ after) / (residual @ residual))
        # Errors as they would be without what is suspected.
        statistics = residual_statistics(problem, after[:n].reshape(shape), fitted)
        inflation = max(statistics[_names(problem)[k]].inflation for k in columns)
        sd = float(np.sqrt(inflation / power))
        if abs(value) < SURE * sd or gain < WORTH:
            continue
        spread = np.sqrt(inflation * np.clip(np.diag(covariance), 1e-300, None))
        moved = value * along / spread
        k = int(np.abs(moved).argmax())
        streams = tuple(_names(problem)[c] for c in columns)
        unit = Nuisance("it", kind, streams).declaration.unit
        found.append(
            Suspicion(
                kind, streams, neutral + value, sd, unit, gain,
                problem.space.names[k] if abs(moved[k]) >= 1.0 else "", float(moved[k]),
            )
        )  # fmt: skip
    return _worst_of_each(found)


def _worst_of_each(found: list[Suspicion]) -> list[Suspicion]:
    """One suspicion of each kind for a stream, the worst first."""
    kept: list[Suspicion] = []
    for suspicion in sorted(found, key=lambda s: -s.gain):
        rivals = [s for s in kept if s.kind == suspicion.kind]
        if not any(set(s.streams) & set(suspicion.streams) for s in rivals):
            kept.append(suspicion)
    return kept


def _names(problem: InverseProblem) -> list[str]:
    return [stream.name for stream in problem.operator.streams]


def _range(kind: Kind, streams: list[str]) -> tuple[float, float, float]:
    """Neutral, lowest and highest value of a nuisance."""
    declaration = Nuisance("it", kind, tuple(streams)).declaration
    return declaration.default, declaration.lower, declaration.upper


def _candidates(
    problem: InverseProblem, u: np.ndarray, prediction: np.ndarray
) -> Iterator[tuple[Kind, list[int], np.ndarray]]:
    """Each nuisance not declared: its kind, the streams (indices) it touches, and the derivative
    (time + 1, stream) of the predictions by it."""
    names, operator = _names(problem), problem.operator
    free = [n for n in operator.nuisances if n.name in problem.space.names]
    declared = {(n.kind, stream) for n in free for stream in n.streams}

    def open_to(kind: Kind, streams: list[str]) -> list[int]:
        return [names.index(s) for s in streams if (kind, s) not in declared]

    def only(columns: list[int], values: np.ndarray) -> np.ndarray:
        change = np.zeros_like(prediction)
        change[:, columns] = values[:, columns]
        return change

    soil = [name for name in names if variable(name).name == "soil_temperature"]
    if columns := open_to("clock-offset", soil):
        slope = -np.gradient(prediction, operator.time_step / 3600.0, axis=0)
        loggers = {tuple(columns), *((column,) for column in columns)}
        for logger in sorted(loggers):
            yield "clock-offset", list(logger), only(list(logger), slope)
    if columns := open_to("depth-offset", soil):
        slope = _depth_slopes(problem, u, columns, prediction)
        for column in columns:
            yield "depth-offset", [column], only([column], slope)
    for name in names:
        if variable(name).is_state and (columns := open_to("bias", [name])):
            yield "bias", columns, only(columns, np.ones_like(prediction))
    fluxes = [name for name in names if variable(name).name in _FLUXES]
    if columns := open_to("flux-fraction", fluxes):
        yield "flux-fraction", columns, only(columns, prediction)


def _depth_slopes(
    problem: InverseProblem, u: np.ndarray, columns: list[int], prediction: np.ndarray
) -> np.ndarray:
    """Slopes (time + 1, stream) of soil temperatures in depth (K m-1); NaN elsewhere."""
    streams = problem.operator.streams
    deepest = float(problem.model.depths["soil_temperature"][-1])
    depth = {k: variable(streams[k].name).depth or 0.0 for k in columns}
    pairs = {k: (max(z - DEPTH_STEP, 0.0), min(z + DEPTH_STEP, deepest)) for k, z in depth.items()}
    moved = [
        Stream(stream_name("soil_temperature", round(z, 6)), streams[k].steps)
        for k, pair in pairs.items()
        for z in pair
    ]
    operator = make_operator(problem.model, moved, (), problem.operator.time_step)
    shape = (prediction.shape[0], len(moved))
    blank = dataclasses.replace(
        problem.observations, values=jnp.zeros(shape), mask=jnp.ones(shape, bool),
        sigma=jnp.ones(len(moved)), autocorrelation=None, freedom=(),
    )  # fmt: skip
    around = dataclasses.replace(problem, operator=operator, observations=blank)
    values = np.asarray(_predict(around, jnp.asarray(u)))
    slopes = np.full_like(prediction, np.nan)
    for j, (k, (above, below)) in enumerate(pairs.items()):
        slopes[:, k] = (values[:, 2 * j + 1] - values[:, 2 * j]) / (below - above)
    return slopes


@jax.jit
def _predict(problem: InverseProblem, u: jax.Array) -> jax.Array:
    return problem.forward(u)


@jax.jit
def _whiten(problem: InverseProblem, change: jax.Array) -> jax.Array:
    """Derivative of the residuals along a change (time + 1, stream) of the standardised misfits,
    for normal errors."""
    observed = dataclasses.replace(problem.observations, freedom=())
    return observed.residual(change, problem.mask)

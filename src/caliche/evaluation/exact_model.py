"""An estimate made through an emulated column, held against the exact model.

At the emulator's optimum the exact problem has a Gauss-Newton step of its own. Such steps are taken
until they are short; how far they lead, in posterior standard deviations of the exact problem, is
how far the emulator was off.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from caliche.column_networks.store import read_facts
from caliche.estimation.method import spectrum
from caliche.experiments.experiment import Experiment
from caliche.problems.inverse import InverseProblem
from caliche.remarks import Remark
from caliche.wording import number_of

MOST_STEPS = 20
SHORT = 1e-3  # posterior standard deviations of the last step
HALVINGS = 6
NEAR = 0.5  # sd within which an emulator's optimum is as good as the model's
OUTSIDE = 0.05  # of the range that a network saw, by which weather may leave it without a word


@dataclass(frozen=True)
class HeldAgainst:
    """The emulator's optimum in the exact problem.

    first : length of the first Gauss-Newton step there, in posterior standard deviations.
    distance : from the emulator's optimum to the exact one, in those of the exact problem.
    steps : taken.  converged : whether the last one was short.
    cost, exact_cost : J of the exact problem at both.
    values, exact_values : physical values of the free parameters at both.
    sd : their distance along each parameter, in its own standard deviation at the exact optimum.
    """

    first: float
    distance: float
    steps: int
    converged: bool
    cost: float
    exact_cost: float
    values: dict[str, float]
    exact_values: dict[str, float]
    sd: dict[str, float]


def hold_against(exact: InverseProblem, values: dict[str, float]) -> HeldAgainst:
    """Gauss-Newton steps of the exact problem from physical values of its free parameters."""
    start = exact.space.to_whitened({n: jnp.asarray(v) for n, v in values.items()})
    u, first, steps, remaining = start, np.nan, 0, np.inf
    cost, remaining, step, covariance = _equations(exact, u)
    begin, first = float(cost), float(remaining)
    while float(remaining) > SHORT and steps < MOST_STEPS:
        for halving in range(HALVINGS):
            tried = u + 0.5**halving * step
            new = _equations(exact, tried)
            if float(new[0]) <= float(cost):
                break
        else:
            break
        u, steps = tried, steps + 1
        cost, remaining, step, covariance = new
    moved = np.asarray(u - start)
    inverse = np.linalg.pinv(np.asarray(covariance))
    names = exact.space.names
    sds = np.sqrt(np.clip(np.diagonal(np.asarray(covariance)), 1e-300, None))
    ends = [np.asarray(exact.space.vector(v)).tolist() for v in (start, u)]
    return HeldAgainst(
        first,
        float(np.sqrt(max(moved @ inverse @ moved, 0.0))),
        steps,
        float(remaining) <= SHORT,
        begin,
        float(cost),
        dict(zip(names, ends[0], strict=True)),
        dict(zip(names, ends[1], strict=True)),
        dict(zip(names, (np.abs(moved) / sds).tolist(), strict=True)),
    )


def exact_remarks(experiment: Experiment, values: dict[str, float]) -> list[Remark]:
    """What the exact model says of an estimate made through its network; nothing without one.

    Parameters
    ----------
    experiment : with hyperparameters as they were found.
    values : estimates of the free parameters, physical.
    """
    if experiment.exact is None:
        return []
    # What the residuals told of the observations' weight, they told of the emulator's errors too.
    own = experiment.found and dataclasses.replace(experiment.found, information=None)
    exact = experiment.exact.calibrated(own)
    found = hold_against(exact.problem(), values)
    far = found.distance > NEAR or not found.converged
    digits = 0 if found.distance >= 10.0 else 1
    text = (
        f"Held against the exact model: the emulator's optimum is {found.distance:.{digits}f} "
        "posterior standard deviations from the model's (J of the exact model "
        f"{found.cost:.5g} and {found.exact_cost:.5g}, after {found.steps} Gauss-Newton steps"
    )
    text += ")." if found.converged else ", which have not converged)."
    if far:
        told = "; ".join(
            f"{name} = {found.exact_values[name]:.4g} instead of {found.values[name]:.4g}"
            for name in found.values
        )
        text += f" The exact model's own: {told}. Use these, or estimate with the model itself."
    return [Remark("emulated", text, far), *weather_remarks(experiment)]


def weather_remarks(experiment: Experiment) -> list[Remark]:
    """Weather of an experiment that its network never saw."""

    seen = read_facts(experiment.config.model.folder).weather  # type: ignore[attr-defined]
    found = []
    for name, values in experiment.problem().forcing.items():
        low, high = seen[name].lower, seen[name].upper
        margin = OUTSIDE * (high - low) + 1e-9 * max(abs(low), abs(high))
        series: Any = np.asarray(values)[1:]
        outside = (series < low - margin) | (series > high + margin)
        if outside.any():
            text = (
                f"The network saw {name} between {low:.4g} and {high:.4g}, but here it lies "
                f"between {series.min():.4g} and {series.max():.4g}: {int(outside.sum())} of "
                f"{number_of(series.size, 'step')} are extrapolations, of which nobody knows the "
                "error."
            )
            found.append(Remark("extrapolated", text, True, (name,)))
    return found


@jax.jit
def _equations(problem: InverseProblem, u: jax.Array) -> tuple[Any, Any, Any, Any]:
    """Cost, length of the Gauss-Newton step, the step, and the inverse curvature."""
    equations = problem.normal_equations(u)
    found = spectrum(problem, u, equations)
    inside = jnp.where(found.seen, 1.0 / found.values, 0.0)
    scaled = (found.vectors * inside[None, :]) @ found.vectors.T
    return (
        equations.cost,
        found.remaining,
        found.step,
        scaled / jnp.outer(found.scale, found.scale),
    )

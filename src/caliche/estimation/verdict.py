"""What a careful referee would say of a result, from the result alone.

What needs observed and modelled series is in `caliche.evaluation.verdict`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from caliche.estimation.curvature import Posterior, ResidualStatistics
from caliche.estimation.information import InformationEstimate
from caliche.estimation.method import GIVEN_UP, NOT_FINITE, STATUS
from caliche.estimation.optima import Optimum, equally_good, optima_note
from caliche.estimation.result import ParameterEstimate, Result, Start
from caliche.names import without_knot
from caliche.parameters.priors import Prior
from caliche.parameters.space import ParameterSpace
from caliche.problems.base import Problem
from caliche.problems.inverse import InverseProblem
from caliche.remarks import Remark, capitalised, error_size_remarks
from caliche.variables import label
from caliche.wording import listing

# An estimate further than this from its prior mean, in prior standard deviations, contradicts it.
FAR = 3.0
# Observations that are told this many times as often as they are worth outvote a prior.
OUTVOTED = 2.0
# A step left that the digits of an estimate show, in posterior standard deviations.
VISIBLE = 0.1
# This close to its bound, in prior standard deviations or halves of its range, whichever is less, a
# truncated prior holds an estimate.
PRESSED = 0.02


def remarks_of(
    space: ParameterSpace,
    parameters: Mapping[str, ParameterEstimate],
    curvature: Posterior,
    starts: Sequence[Start],
    optima: Sequence[Optimum] = (),
    remaining: float = 0.0,
    sensitive: bool = True,
) -> tuple[Remark, ...]:
    """What there is to say of parameters, starts and residuals.

    Parameters
    ----------
    parameters : the free ones by the names of `space`, and others.
    remaining : the step that a search that converged has still to go, in posterior standard
        deviations: some of them on a rough misfit.
    sensitive : whether `curvature` is that of the misfit, so that a parameter without any can be
        told from one that is badly known.
    """
    idle = without_effect(space, curvature) if sensitive else ()
    found = [
        *bound_remarks(space, parameters),
        *prior_remarks(space, parameters),
        *_of_effects(parameters, idle),
        *_of_starts(starts),
    ]
    sds = {name: p.sd for name, p in parameters.items()}
    serious = len(equally_good(optima)) > 1 if optima else False
    found += [Remark("rival-optima", text, serious) for text in optima_note(optima, sds)]
    if remaining > VISIBLE:
        text = (
            f"The misfit is rough near its optimum: the search came to {remaining:.2g} posterior "
            "standard deviations of it and no nearer. Other starts may end as far from this one."
        )
        found.append(Remark("rough", text))
    found += _of_residuals(curvature.residuals)
    return capitalised(found)


def bound_remarks(
    space: ParameterSpace, parameters: Mapping[str, ParameterEstimate]
) -> Iterator[Remark]:
    """Parameters that a bound holds: one of a flat prior, or of a truncated one."""
    priors = {entry.name: entry.parameter.prior for entry in space.entries}
    knots = set()
    for p in parameters.values():
        stem, prior = without_knot(p.name), priors.get(p.name)
        pressed = prior is not None and _is_pressed(prior, p.estimate)
        if p.fixed or not (p.at_bound or pressed) or (p.knot is not None and stem in knots):
            continue
        knots.add(stem)  # said once, of the first knot
        low = abs(p.estimate - p.lower) < abs(p.estimate - p.upper)
        side, bound = ("lower", p.lower) if low else ("upper", p.upper)
        value = f"{bound:g}" if p.unit == "1" else f"{bound:g} {p.unit}"
        text = (
            f"{p.long_name} ended at its {side} bound, {value}: the data ask for a value outside "
            "the allowed range. "
        )
        if p.at_bound:
            text += "Its interval ends there, and the others allow for values inside."
        else:
            text += "Its error bar says how far the prior lets it go, not what the data say."
        yield Remark("bound", text, True, (stem,))


def _is_pressed(prior: Prior, value: float) -> bool:
    """Whether an informative prior's own bound holds a value."""
    if not prior.informative:
        return False
    sd = float(getattr(prior, "sd", math.inf))
    near = PRESSED * min(sd, 0.5 * (prior.upper - prior.lower))
    lower_matters = math.isfinite(prior.lower) and not (
        prior.lower == 0.0 and hasattr(prior, "log_mean")
    )
    return bool(
        (lower_matters and value - prior.lower < near)
        or (math.isfinite(prior.upper) and prior.upper - value < near)
    )


def prior_distance(prior: Prior, value: float | np.ndarray) -> np.ndarray:
    """How far values are from the mean of their prior (of its logarithm, if that is normal), in
    standard deviations of the prior; 0 for a flat one, and where a value is not finite."""
    value = np.asarray(value, float)
    if not prior.informative:
        return np.zeros(value.shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        if hasattr(prior, "log_mean"):
            away = (np.log(value) - prior.log_mean) / prior.log_sd  # type: ignore[attr-defined]
        else:
            away = (value - prior.mean) / prior.sd  # type: ignore[attr-defined]
    return np.where(np.isfinite(value), away, 0.0)


def prior_remarks(
    space: ParameterSpace, parameters: Mapping[str, ParameterEstimate]
) -> Iterator[Remark]:
    """Parameters whose estimate contradicts their prior, at the knot where it does so most."""
    worst: dict[str, tuple[float, ParameterEstimate]] = {}
    for entry in space.entries:
        p = parameters[entry.name]
        away = float(prior_distance(entry.parameter.prior, p.estimate))
        stem = entry.parameter.name
        if abs(away) > abs(worst.get(stem, (FAR, p))[0]):
            worst[stem] = away, p
    for stem, (away, p) in worst.items():
        yield Remark("far-from-prior", far_from_prior(p.long_name, away, p.prior), True, (stem,))


def far_from_prior(name: str, away: float, prior: str) -> str:
    """The sentence on an estimate that contradicts its prior."""
    side = "above" if away > 0.0 else "below"
    what = f" ({prior})" if prior else ""
    return (
        f"{name} is {abs(away):.1f} prior standard deviations {side} its prior mean{what}: the "
        "data contradict what was known before, so the prior, the data or the model is wrong."
    )


def without_effect(space: ParameterSpace, curvature: Posterior) -> tuple[str, ...]:
    """Entries of the control vector on which no fitted value depends."""
    found = []
    for k, entry in enumerate(space.entries):
        own = float(curvature.scale[k]) ** 2 - (1.0 if entry.informative else 0.0)
        if not curvature.held[k] and own < 1e-12:
            found.append(entry.name)
    return tuple(found)


def _of_effects(
    parameters: Mapping[str, ParameterEstimate], idle: Sequence[str]
) -> Iterator[Remark]:
    for name, p in parameters.items():
        if name in idle:
            text = (
                f"Nothing that is fitted depends on the {p.long_name}: its value is the first "
                "guess or the prior, not an estimate. Fix it or observe something that it changes."
            )
            yield Remark("no-effect", text, True, (name,))
        elif not p.fixed and p.sd is not None and np.isinf(p.sd):
            text = f"The observations do not constrain the {p.long_name}: fix it or observe more."
            yield Remark("unconstrained", text, True, (name,))


def _of_starts(starts: Sequence[Start]) -> Iterator[Remark]:
    total = len(starts)
    failed = sum(s.status == STATUS[NOT_FINITE] for s in starts)
    if failed:
        text = f"The model gave no finite misfit from {failed} of {total} starts."
        yield Remark("failed-starts", text, False)
    apart = [s for s in starts if s.optimum != 0 and s.status != STATUS[NOT_FINITE]]
    if not apart or all(s.optimum is None for s in starts):
        return
    parts = []
    elsewhere = sum(s.converged for s in apart)
    given_up = sum(s.status == STATUS[GIVEN_UP] for s in apart)
    if elsewhere:
        parts.append(f"{elsewhere} at another optimum")
    if given_up:
        parts.append(f"{given_up} given up")
    if len(apart) > elsewhere + given_up:
        parts.append(f"{len(apart) - elsewhere - given_up} without having converged")
    text = (
        f"{total - failed - len(apart)} of {total} starts reached the optimum; the others ended "
        f"elsewhere: {', '.join(parts)}."
    )
    yield Remark("starts", text, False)


def _of_residuals(residuals: Mapping[str, ResidualStatistics]) -> Iterator[Remark]:
    for name, r in residuals.items():
        if r.n and np.isfinite(r.variance_ratio):
            factor = float(np.sqrt(r.variance_ratio))
            yield from error_size_remarks(name, label(name), factor, "residuals")


def failure_note(failed: int, runs: int) -> tuple[Remark, ...]:
    """A remark on members that failed, if any did."""
    if not failed:
        return ()
    text = f"The model failed in {failed} of {runs} member runs; they were left out."
    return (Remark("failed-members", text, False),)


def judged(given: Problem, result: Result) -> Result:
    """The result of an estimation of the problem that was given, with what the problem tells.

    A problem none of whose fitted values depends on a free parameter has no estimate: the result
    is then one that did not converge.
    """
    remarks = list(result.remarks)
    if result.hyperparameters is not None and isinstance(given, InverseProblem):
        names, scale = given.stream_names, np.asarray(given.observations.scale)
        for name, sigma in result.hyperparameters.sigma.items():
            declared = float(np.median(scale[:, list(names).index(name)]))
            factor = sigma / declared
            remarks += error_size_remarks(name, label(name), factor, "estimated errors")
        if result.hyperparameters.information is not None:
            remarks += _of_information(given, result, result.hyperparameters.information)
    idle = {name for r in remarks if r.kind == "no-effect" for name in r.about}
    if idle >= set(result.names) and result.starts:
        return dataclasses.replace(
            result,
            converged=False,
            reason="nothing that is fitted depends on any free parameter, so nothing can be "
            "estimated",
            remarks=tuple(remarks),
        )
    return dataclasses.replace(result, remarks=tuple(remarks))


def _of_information(given: Problem, result: Result, told: InformationEstimate) -> Iterator[Remark]:
    """Records too short for the memory of their errors, and priors that data outvote."""
    for name in told.short:
        text = (
            f"The residuals of {label(name)} last for about {told.memory_hours[name]:.2g} h, and "
            f"the record holds {told.memories[name]:.2g} times that: it is too short to tell how "
            "long errors last, and error bars are rough, rather too narrow than too wide."
        )
        yield Remark("short-record", text, True, (name,))
    outvoted = max(told.inflation.values(), default=1.0) > OUTVOTED
    if told.factors and min(told.factors.values()) == 1.0 and outvoted:
        informative = given.space.informative
        names = [e.name for k, e in enumerate(given.space.entries) if e.leads and informative[k]]
        if names:
            text = (
                f"The priors of {listing(names)} count little: with weights as declared the "
                "observations tell more than their residuals allow, up to "
                f'{max(told.inflation.values()):.2g} times as much. Set weights = "information" '
                "in [likelihood]."
            )
            yield Remark("weights", text, True, tuple(names))

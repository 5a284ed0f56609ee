"""The tables of parameters, observations and nuisances of an experiment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from caliche.errors import InputError
from caliche.experiments.config.section import Section
from caliche.experiments.config.tables import (
    NuisanceConfig,
    ObservationConfig,
    ParameterConfig,
    VariationConfig,
)
from caliche.variables import variable

PRIOR_NAMES = ("flat", "normal", "log-normal")
# Kinds of variation, and what each is.
VARIATIONS = {
    "piecewise-constant": "constant between knots",
    "piecewise-linear": "linear between knots",
    "cubic-spline": "a natural cubic spline through knots",
    "diurnal": "harmonics of the day",
    "seasonal": "harmonics of the year",
}
NUISANCES = ("bias", "clock-offset", "depth-offset", "flux-fraction")
# Prior (mean, sd) of a nuisance of which nothing else is said.
_NUISANCE_PRIORS = {
    "clock-offset": (0.0, 0.5),
    "depth-offset": (0.0, 0.005),
    "flux-fraction": (0.85, 0.1),
}


def utc(value: datetime, utc_offset: float) -> np.datetime64:
    """UTC; a time without an offset is local standard time of the site."""
    if value.tzinfo is None:
        moment = value - timedelta(hours=utc_offset)
    else:
        moment = value.astimezone(UTC).replace(tzinfo=None)
    return np.datetime64(moment, "ns")


def parameter(section: Section, utc_offset: float) -> ParameterConfig:
    """[parameters.NAME]"""
    section.get("variation", dict, {})
    variation = None
    if "variation" in section.table:
        variation = _variation(section.section("variation"), utc_offset)
    config = ParameterConfig(**_parameter(section), variation=variation)
    section.finish()
    if variation is not None and not config.free:
        raise InputError(
            f"a parameter that is free in {section.where}, as it varies",
            "fixed = true" if config.fixed else "tied_to",
            "leave it out, or the variation",
        )
    return config


def prior_correlations(top: Section) -> dict[tuple[str, str], float]:
    """[[prior_correlations]]: pairs of parameters, and the correlation of their priors."""
    found: dict[tuple[str, str], float] = {}
    for number, table in enumerate(top.get("prior_correlations", list, [])):
        where = f"{top.where}, prior_correlations number {number + 1}"
        if not isinstance(table, dict):
            raise InputError(
                f"a table for {where}",
                repr(table),
                'write [[prior_correlations]] with parameters = ["A", "B"] and value = 0.5',
            )
        section = Section(table, where)
        pair, value = section.get("parameters", list), section.get("value", float)
        section.finish()
        if len(pair) != 2 or not all(isinstance(name, str) for name in pair):
            raise InputError(
                f"two names for parameters in {where}", repr(pair), 'parameters = ["A", "B"]'
            )
        if found.keys() & {(pair[0], pair[1]), (pair[1], pair[0])}:
            raise InputError(
                f"a pair that was not given before in {where}",
                f"{pair[0]} and {pair[1]}",
                "take one of them out",
            )
        found[pair[0], pair[1]] = value
    return found


def _tie(section: Section) -> dict[str, Any]:
    """tied_to and factor. What else a base experiment says of the parameter does not count."""
    found = {
        "tied_to": section.get("tied_to", str, None),
        "factor": section.get("factor", float, None),
    }
    if found["factor"] is not None and found["tied_to"] is None:
        raise InputError(
            f"tied_to beside factor in {section.where}", "none", 'add tied_to = "PARAMETER"'
        )
    if found["tied_to"] is not None and section.table.get("fixed") is True:
        raise InputError(
            f"fixed = true or tied_to in {section.where}", "both", "leave one of them out"
        )
    return found


def _parameter(section: Section) -> dict[str, Any]:
    start = section.numbers("start")
    if start and len(start) != 2:
        raise InputError(
            f"two numbers for start in {section.where}", f"{list(start)}", "write [low, high]"
        )
    prior = section.choice("prior", PRIOR_NAMES, "flat")
    mean, sd = section.get("mean", float, None), section.get("sd", float, None)
    informative = prior != "flat"
    if informative != (mean is not None) or informative != (sd is not None):
        raise InputError(
            f"mean and sd together with prior = 'normal' or 'log-normal' in {section.where}",
            f"prior = {prior!r}, mean = {mean}, sd = {sd}",
            "give all three, or leave mean and sd out for a flat prior",
        )
    return {
        **_tie(section),
        "value": section.get("value", float, None),
        "fixed": section.get("fixed", bool, False),
        "lower": section.get("lower", float, None),
        "upper": section.get("upper", float, None),
        "start": (start[0], start[1]) if start else None,
        "prior": prior,
        "mean": mean,
        "sd": sd,
    }


def _variation(section: Section, utc_offset: float) -> VariationConfig:
    kind = section.choice("kind", tuple(VARIATIONS), "piecewise-linear")
    every = section.positive("every_days", float, None)
    at = section.get("at", list, [])
    if not all(isinstance(moment, datetime) for moment in at):
        raise InputError(
            f"dates and times for at in {section.where}",
            repr(at),
            "write at = [2012-07-01T00:00:00, 2012-08-01T00:00:00]",
        )
    harmonics = section.positive("harmonics", int, 2)
    smoothness = section.positive("smoothness", float, None)
    section.finish()
    cyclic = kind in ("diurnal", "seasonal")
    if cyclic and (every is not None or at):
        raise InputError(
            f"harmonics in {section.where}, which has kind = {kind!r}",
            "knots",
            "leave out every_days and at",
        )
    if not cyclic and (every is None) == (not at):
        raise InputError(
            f"either every_days or at in {section.where}",
            "both" if at else "neither",
            "write every_days = 7.0",
        )
    moments = tuple(utc(moment, utc_offset) for moment in at)
    return VariationConfig(kind, every, moments, harmonics, smoothness)


def nuisance(section: Section) -> NuisanceConfig:
    """[nuisances.NAME]"""
    kind = section.choice("kind", NUISANCES, "bias")
    streams = section.get("streams", list)
    if not streams or not all(isinstance(stream, str) for stream in streams):
        raise InputError(
            f"names of streams in {section.where}",
            repr(streams),
            'write streams = ["soil_temperature_0.05m"]',
        )
    for stream in streams:
        variable(stream)
    table = dict(section.table)
    if not {"prior", "fixed", "tied_to"} & table.keys():
        if kind not in _NUISANCE_PRIORS and "sd" not in table:
            raise InputError(
                f"sd in {section.where}: how large the bias may be", "nothing", "add sd = 1.0"
            )
        mean, sd = _NUISANCE_PRIORS.get(kind, (0.0, 1.0))
        table = {"prior": "normal", "mean": mean, "sd": sd, **table}
    inner = Section(table, section.where)
    config = _parameter(inner)
    inner.get("kind", str)
    inner.get("streams", list)
    inner.finish()
    return NuisanceConfig(kind, tuple(streams), ParameterConfig(**config))


def observation(stream: str, section: Section) -> ObservationConfig:
    """[observations.STREAM]"""
    variable(stream)
    fit = section.get("fit", bool, True)
    sigma = section.positive("sigma", float, None)
    average = section.positive("average", float, None)
    estimate_sigma = section.get("estimate_sigma", bool, False)
    from_data = section.get("sigma_from_data", bool, False)
    autocorrelation = section.get("autocorrelation", float, None)
    estimate_autocorrelation = section.get("estimate_autocorrelation", bool, False)
    freedom = section.positive("student_degrees_of_freedom", float, None)
    section.finish()
    if fit and sigma is None and not from_data:
        raise InputError(
            f"sigma of the fitted stream in {section.where}",
            "nothing",
            f"give the error of one observation in {variable(stream).unit}, or fit = false",
        )
    if autocorrelation is not None and not 0.0 <= autocorrelation < 1.0:
        raise InputError(
            f"autocorrelation in {section.where} from 0 to below 1",
            f"{autocorrelation:g}",
            "give that of errors one time step apart",
        )
    return ObservationConfig(
        sigma,
        fit,
        average,
        estimate_sigma,
        from_data,
        autocorrelation,
        estimate_autocorrelation,
        freedom,
    )

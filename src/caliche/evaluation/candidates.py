"""Sensors that are not there: which a model could be held against, and their errors."""

from __future__ import annotations

from collections.abc import Sequence

from caliche.experiments.experiment import Experiment
from caliche.identifiability.sensors import TYPICAL_SIGMA
from caliche.models.base import Model
from caliche.variables import stream_name, variable

# Where one would put another thermometer, and a heat flux plate (m).
THERMOMETERS, PLATE = (0.05, 0.2, 0.5), 0.08


def other_streams(model: Model, observed: Sequence[str]) -> list[str]:
    """What else could be observed of a model: one sensor of each kind, some thermometers."""
    found = []
    for name in model.diagnostics:
        if name not in TYPICAL_SIGMA:
            continue
        if name not in model.depths:
            found.append(name)
            continue
        depths = model.depths[name]
        at = THERMOMETERS if name == "soil_temperature" else (PLATE,)
        found += [stream_name(name, z) for z in at if depths[0] < z < depths[-1]]
    if "sensible_heat_flux" in found and "turbulent_heat_flux" in found:
        found.remove("turbulent_heat_flux")  # nobody measures the sum alone
    return [name for name in found if name not in observed]


def sigma_of(experiment: Experiment, stream: str) -> float:
    """Error of a stream: as configured for it, else for its quantity, else a typical one."""
    observations = experiment.config.observations
    if stream in observations and observations[stream].sigma is not None:
        return float(observations[stream].sigma)  # type: ignore[arg-type]
    quantity = variable(stream).name
    alike = [o.sigma for n, o in observations.items() if variable(n).name == quantity and o.sigma]
    return max(alike) if alike else TYPICAL_SIGMA[quantity]

"""A year of half-hours with LaD: seconds per epoch of training, and what a twin's network reaches.

    python scripts/lad_training.py neural-flux

The truth is LaD with another resistance and roughness; noise of one sigma in both fluxes, so that a
loss of 1 is noise alone.
"""

from __future__ import annotations

import dataclasses
import sys
import time

import jax.numpy as jnp
import numpy as np

from caliche import InverseProblem, configure
from caliche.learning.training import TrainingSettings, train
from caliche.models import LaD, simulate
from caliche.models.lad.fluxes import BulkFluxes
from caliche.models.lad.neural_fluxes import HybridFluxes, standardised
from caliche.observations import Observations, Stream, make_operator
from caliche.parameters import ParameterSpace
from caliche.parameters.space import free_parameter

STEP, DAYS, SIGMA = 1800.0, 360, 10.0
STREAMS = ("latent_heat_flux", "sensible_heat_flux")


def weather() -> dict[str, jnp.ndarray]:
    """Days of sun, night and showers."""
    hours = np.arange(DAYS * 48 + 1) * STEP / 3600.0
    angle = 2.0 * np.pi * (hours / 24.0 - 0.5)
    air = 285.0 + 6.0 * np.cos(angle - 0.7) + 3.0 * np.sin(2.0 * np.pi * hours / 72.0)
    vapour = 611.2 * np.exp(17.67 * (air - 273.15) / (air - 29.65))
    series = {
        "incoming_shortwave": np.maximum(600.0 * np.cos(angle), 0.0),
        "incoming_longwave": np.full(hours.shape, 300.0),
        "air_temperature": air,
        "specific_humidity": 0.7 * 0.622e-5 * vapour,
        "air_pressure": np.full(hours.shape, 1e5),
        "wind_speed": 3.0 + 1.5 * np.cos(angle - 0.5),
        "precipitation": (hours % 31.0 < 4.0) * 1e-4,
    }
    return {name: jnp.asarray(values) for name, values in series.items()}


def main(fluxes: str) -> None:
    configure(cache=False)
    truth, forcing = LaD(STEP), weather()
    declared = {d.name: d for d in truth.declarations}
    params = {name: jnp.asarray(d.default) for name, d in declared.items()}
    changed = {"stomatal_resistance": jnp.asarray(150.0), "roughness_length": jnp.asarray(0.2)}
    rng = np.random.default_rng(0)
    series = simulate(truth, {**params, **changed}, forcing)[2]
    observed = {
        name: np.append(np.nan, np.asarray(series[name]) + SIGMA * rng.standard_normal(DAYS * 48))
        for name in STREAMS
    }
    law = HybridFluxes.build(fluxes.removeprefix("neural-"), True, BulkFluxes(10.0), 32, 2, 0)  # type: ignore[arg-type]
    model = standardised(dataclasses.replace(truth, fluxes=law), params, forcing)
    space = ParameterSpace.build(
        model.declarations, {"albedo": free_parameter(declared["albedo"])}, {}
    )
    problem = InverseProblem(
        model,
        forcing,
        make_operator(model, [Stream(name) for name in STREAMS]),
        Observations.from_series(observed, dict.fromkeys(STREAMS, SIGMA)),
        space,
    )
    began = time.perf_counter()
    trained = train(problem, TrainingSettings(epochs=60))
    print(
        f"{fluxes}: {trained.seconds['epoch']:.2f} s per epoch after "
        f"{trained.seconds['compile']:.0f} s of compiling, {time.perf_counter() - began:.0f} s in "
        f"all; held-out loss {trained.history[0, 1]:.3g} at first, {trained.loss:.4g} in epoch "
        f"{trained.best_epoch} of 60"
    )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "neural-flux")

"""Calibrating LaD against itself: the parameters that made the observations are found."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from caliche import InverseProblem
from caliche.estimation import estimate
from caliche.models import LaD
from caliche.observations import Observations, Stream, make_operator
from caliche.parameters import FreeParameter, ParameterSpace
from caliche.parameters.priors import Flat
from lad_cases import parameters, run, weather

STEP = 1800.0
TRUTH = {
    "stomatal_resistance": 90.0,
    "albedo": 0.22,
    "critical_snow_mass": 9.0,
    "thermal_conductivity": 1.1,
}
SIGMA = {
    "latent_heat_flux": 10.0,
    "sensible_heat_flux": 10.0,
    "net_radiation": 10.0,
    "soil_temperature_0.1m": 0.1,
    "snow_water_equivalent": 0.5,
}


@pytest.mark.parametrize(
    "in_block",
    [pytest.param(False, id="one"), pytest.param(True, id="block", marks=pytest.mark.slow)],
)
def test_truth_is_found(in_block):
    """Two weeks that begin with snow, noise-free; one by one, and as a member of a block."""
    # Few layers and neutral drag compile fast; the derivatives of the rest are tested beside.
    model = LaD(STEP, drag="neutral", thicknesses=(0.05, 0.1, 0.5), initial_snow=10.0)
    fixed = {"initial_temperature": 273.0}
    forcing = weather(14, STEP, 279.0, rain=3e-4)
    series = run(model, parameters(model, **fixed, **TRUTH), forcing)
    operator = make_operator(model, [Stream(name) for name in SIGMA])
    depths = list(model.depths["soil_temperature"])
    seen = {n: series[n] for n in SIGMA if n in series}
    seen["soil_temperature_0.1m"] = series["soil_temperature"][:, depths.index(0.1)]
    observed = {n: np.append(np.nan, seen[n]) for n in SIGMA}
    declared = {d.name: d for d in model.declarations}
    free = {
        n: FreeParameter(d, Flat(d.lower, d.upper), d.default, None)
        for n, d in declared.items()
        if n in TRUTH
    }
    fixed_values = {n: d.default for n, d in declared.items() if n not in free} | fixed
    space = ParameterSpace.build(model.declarations, free, fixed_values)
    problem = InverseProblem(
        model, forcing, operator, Observations.from_series(observed, SIGMA), space
    )
    if in_block:
        problem = problem.for_block()
        value, slope, curvature = problem.normal_equations(space.initial())
        assert np.isfinite(value)
        assert slope.shape == (4,)
        assert (np.linalg.eigvalsh(curvature) > 0.0).all()
        return
    result = estimate(problem, starts=1)
    assert result.converged
    for name, value in TRUTH.items():
        assert result.parameters[name].estimate == pytest.approx(value, rel=1e-4), name
    assert jnp.isfinite(result.parameters["albedo"].sd)

"""Both solvers of SoilHeat step the same column."""

from __future__ import annotations

import numpy as np
import pytest

from caliche.models import SoilHeat
from soil_heat_cases import COMBINATION_IDS, COMBINATIONS, parameters, run, steady_forcing

STEPS = 144  # three days of half hours
DEPTHS = 0.8 * np.linspace(0.0, 1.0, 8) ** 2
HOUR = 0.5 * np.arange(STEPS + 1)
DAILY = np.cos(2.0 * np.pi * (HOUR - 13.0) / 24.0)
WEATHER = {
    "incoming_shortwave": 800.0 * np.maximum(DAILY, 0.0),
    "air_temperature": 291.0 + 6.0 * DAILY,
    "wind_speed": 2.0 + 1.5 * np.sin(HOUR),
    "bottom_temperature": 293.0 + 0.01 * HOUR,
}


# Layered soil everywhere; homogeneous soil, a special case of it, in every third combination.
HOMOGENEOUS, LAYERED = (), (float(DEPTHS[4]),)
CASES = [(*c, LAYERED) for c in COMBINATIONS] + [(*c, HOMOGENEOUS) for c in COMBINATIONS[::3]]
CASE_IDS = [f"{n}-layered" for n in COMBINATION_IDS]
CASE_IDS += [f"{n}-homogeneous" for n in COMBINATION_IDS[::3]]


@pytest.mark.parametrize(("scheme", "bottom", "closure", "layers"), CASES, ids=CASE_IDS)
def test_solvers_agree(scheme, bottom, closure, layers):
    """To 1e-10 K over days: round-off does not grow."""
    initial = "uniform" if bottom == "zero-flux" else "bottom-temperature"
    modal, elimination = (
        SoilHeat(
            DEPTHS,
            1800.0,
            scheme,
            closure,
            bottom=bottom,
            initial=initial,
            layer_bottoms=layers,
            solver=solver,
        )
        for solver in ("modal", "elimination")
    )
    agree(modal, elimination)


@pytest.mark.parametrize(("scheme", "bottom", "closure"), COMBINATIONS[1::3])
def test_solvers_agree_under_a_skin(scheme, bottom, closure):
    nodes = np.append(0.0, 0.5 * (DEPTHS[1:] + DEPTHS[:-1]))
    modal, elimination = (
        SoilHeat(
            nodes,
            1800.0,
            scheme,
            closure,
            bottom=bottom,
            initial="uniform",
            solver=solver,
            cell_faces=np.append(0.0, DEPTHS),
        )
        for solver in ("modal", "elimination")
    )
    agree(modal, elimination)


def agree(one: SoilHeat, other: SoilHeat) -> None:
    params, forcing = parameters(one), steady_forcing(one, STEPS, **WEATHER)
    a, b = run(one, params, forcing), run(other, params, forcing)
    assert set(a) == set(one.diagnostics)
    for name in one.diagnostics:
        # a flux within the soil is a few thousand times a difference of temperatures
        tolerance = 1e-10 if name.endswith("temperature") else 1e-7
        np.testing.assert_allclose(a[name], b[name], rtol=0, atol=tolerance, err_msg=name)
    assert np.ptp(np.asarray(a["surface_temperature"])) > 1.0

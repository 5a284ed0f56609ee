"""The twin experiment of Huang et al. (2026), arXiv:2505.02979, against two other solvers.

One is theirs (published results, Jacobi sweeps stopped at 1e-4 K), one is written here: Newton's
method on the ghost-node equations of the paper, with SciPy's banded solver.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import solve_banded

from caliche.constants import STEFAN_BOLTZMANN
from caliche.models import SoilHeat
from soil_heat_cases import parameters, temperatures

HOURS, SPACING, STEP = np.arange(101), 0.01, 3600.0
ALBEDO, TRANSFER, CONDUCTIVITY, CAPACITY, BOTTOM, EMISSIVITY = 0.2, 25.0, 0.8, 2.2e6, 293.0, 0.95
LONGWAVE, AIR = 100.0, 296.0


def shortwave() -> np.ndarray:
    angle = 0.5 * np.pi * (2.0 * (HOURS % 24) - 28.0) / 14.0  # sunrise 7 h, sunset 21 h
    return np.where(np.abs(angle) < 0.5 * np.pi, 800.0 * np.cos(angle), 0.0)


@pytest.fixture(scope="module")
def by_caliche() -> np.ndarray:
    model = SoilHeat(np.linspace(0.0, 1.0, 101), STEP, "backward-euler", longwave="unweighted")
    params = parameters(
        model,
        albedo=ALBEDO,
        combined_heat_transfer_coefficient=TRANSFER,
        emissivity=EMISSIVITY,
        thermal_conductivity=CONDUCTIVITY,
        volumetric_heat_capacity=CAPACITY,
        bottom_temperature=BOTTOM,
    )
    forcing = {
        "incoming_shortwave": jnp.asarray(shortwave()),
        "incoming_longwave": jnp.full(101, LONGWAVE),
        "air_temperature": jnp.full(101, AIR),
    }
    return temperatures(model, params, forcing)


@pytest.mark.parametrize(("node", "file"), [(0, "Ts"), (5, "T5cm")])
def test_published_results_are_reproduced(by_caliche, data_folder, node, file):
    published = np.loadtxt(data_folder / "huang-2026" / f"synthetic_target_{file}.txt")
    np.testing.assert_allclose(by_caliche[:, node], published, rtol=0, atol=0.02)


def ghost_node_step(old: np.ndarray, shortwave_now: float) -> np.ndarray:
    """-r T[i-1] + (1 + 2 r) T[i] - r T[i+1] = T_old[i], T[-1] = T[1] + 2 dx G(T[0]) / lambda."""
    r = CONDUCTIVITY * STEP / (CAPACITY * SPACING**2)
    absorbed = (1.0 - ALBEDO) * shortwave_now + LONGWAVE
    new = old.copy()
    bands = np.zeros((3, len(old)))
    bands[0, 2:], bands[1], bands[2, :-2] = -r, 1.0 + 2.0 * r, -r
    bands[0, 1] = -2.0 * r
    bands[1, -1] = 1.0
    for _ in range(8):
        flux = absorbed - EMISSIVITY * STEFAN_BOLTZMANN * new[0] ** 4 - TRANSFER * (new[0] - AIR)
        slope = -4.0 * EMISSIVITY * STEFAN_BOLTZMANN * new[0] ** 3 - TRANSFER
        above = np.append(new[1] + 2.0 * SPACING / CONDUCTIVITY * flux, new[:-1])
        residual = (1.0 + 2.0 * r) * new - r * (above + np.append(new[1:], 0.0)) - old
        residual[-1] = new[-1] - BOTTOM
        bands[1, 0] = 1.0 + 2.0 * r - 2.0 * r * SPACING / CONDUCTIVITY * slope
        new = new - solve_banded((1, 1), bands, residual)
    return new


def test_independent_newton_solver_gives_the_same_profile(by_caliche):
    profile = np.full(101, BOTTOM)
    for hour, shortwave_now in enumerate(shortwave()):
        if hour > 0:
            profile = ghost_node_step(profile, shortwave_now)
        np.testing.assert_allclose(by_caliche[hour], profile, rtol=0, atol=1e-8)

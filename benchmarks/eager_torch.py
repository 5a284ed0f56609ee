"""Eager PyTorch in the manner of Huang et al. (2026), arXiv:2505.02979; written for comparison.

Two programs. The site-year: the benchmark problem with explicit steps of 60 s, neighbours fetched
by a fixed convolution, every operation dispatched by itself, autograd through every step. The
paper's twin: backward Euler in steps of an hour on 101 nodes, each step solved by Jacobi sweeps
until no temperature moves by more than 1e-4 K, autograd through every sweep.

Both are timed over a short stretch on one thread; their cost is proportional to its length.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.forcing import STEP, STEPS_PER_DAY, STEPS_PER_YEAR, site_forcing
from benchmarks.problems import INITIAL_TEMPERATURE, PERTURBATION, SIGMA, TRUTH

SUB_STEP = 60.0  # s
LAYERS = 20
EPS_SIGMA = 0.97 * 5.67e-8  # W m-2 K-4
REPEATS = 3

# The paper's twin: W m-2 K-4, m, s, K, and the two observed nodes (surface and 5 cm).
TWIN_EPS_SIGMA, TWIN_SPACING, TWIN_STEP, TWIN_TOLERANCE = 0.95 * 5.67e-8, 0.01, 3600.0, 1e-4
TWIN_NODES, TWIN_OBSERVED, TWIN_HOURS = 101, [0, 5], 100


@dataclass(frozen=True)
class Eager:
    """Seconds for a whole forward run and a whole gradient, extrapolated; `note` says from what."""

    forward: float
    gradient: float
    note: str


def site_year_seconds(steps: int) -> Eager:
    """The benchmark problem for one site-year, from so many half-hours around noon of summer."""
    torch = _torch()
    forcing = _forcing(torch, steps)
    theta = torch.tensor(list(TRUTH.values()), dtype=torch.float64)
    observed = site_year(torch, theta, forcing).detach() + 0.1
    moved = theta * torch.exp(torch.tensor(PERTURBATION, dtype=torch.float64))
    factor = STEPS_PER_YEAR / steps
    note = f"extrapolated from {steps} half-hours, one thread, torch {torch.__version__}"
    return _timed(
        torch, lambda p: site_year(torch, p, forcing), moved, observed, SIGMA, factor, note
    )


def paper_twin_seconds(hours: int) -> Eager:
    """The paper's two-depth twin of 100 hours, from so many hours after noon."""
    torch = _torch()
    truth = torch.tensor([0.2, 25.0, 0.8, 2.2e6, 293.0], dtype=torch.float64)
    guess = torch.tensor([0.3, 20.0, 0.6, 2.0e6, 296.0], dtype=torch.float64)
    observed, sweeps = paper_twin(torch, truth, hours)
    note = (
        f"extrapolated from {hours} of {TWIN_HOURS} hours ({sweeps / hours:.0f} Jacobi sweeps an "
        f"hour), one thread, torch {torch.__version__}"
    )
    return _timed(
        torch,
        lambda p: paper_twin(torch, p, hours)[0],
        guess,
        observed.detach(),
        1.0,
        TWIN_HOURS / hours,
        note,
    )


def _timed(
    torch: Any, model: Callable, start: Any, observed: Any, sigma: float, factor: float, note: str
) -> Eager:
    """Minimum over a few repeats of a forward run, and of a gradient of the misfit."""
    forward, gradient = [], []
    for _ in range(REPEATS):
        with torch.no_grad():
            began = time.perf_counter()
            model(start)
            forward.append(time.perf_counter() - began)
        theta = start.clone().requires_grad_()
        began = time.perf_counter()
        misfit = 0.5 * (((model(theta) - observed) / sigma) ** 2).sum()
        misfit.backward()
        gradient.append(time.perf_counter() - began)
    return Eager(min(forward) * factor, min(gradient) * factor, note)


def _torch() -> Any:
    """PyTorch on one thread, or an ImportError that says it is not installed."""
    try:
        import torch
    except ImportError:
        raise ImportError("torch is not installed") from None
    torch.set_num_threads(1)
    return torch


def _forcing(torch: Any, steps: int) -> list[Any]:
    """Five columns (steps,) from noon of 20 July on, as tensors."""
    first = 200 * STEPS_PER_DAY + STEPS_PER_DAY // 2
    columns = site_forcing(STEPS_PER_YEAR).values()
    return [torch.tensor(np.resize(column[first:], steps)) for column in columns]


def site_year(torch: Any, theta: Any, forcing: list[Any]) -> Any:
    """Predictions (step, 2) near 5 and 20 cm; theta in the order of `TRUTH`, physical units."""
    conductivity, capacity, albedo, transfer, moisture = theta
    spacing = 1.0 / LAYERS
    kernel = torch.tensor([[[1.0, -2.0, 1.0]]], dtype=torch.float64)
    number = conductivity * SUB_STEP / (capacity * spacing**2)
    temperature = torch.full((1, 1, LAYERS + 1), INITIAL_TEMPERATURE, dtype=torch.float64)
    predicted = []
    for shortwave, longwave, air, wind, humidity in zip(*forcing, strict=True):
        absorbed = (1.0 - albedo) * shortwave + 0.97 * longwave
        conductance = 1.2 * transfer * wind
        for _ in range(round(STEP / SUB_STEP)):
            surface = temperature[0, 0, 0]
            saturation = (
                0.622e-5 * 611.2 * torch.exp(17.67 * (surface - 273.15) / (surface - 29.65))
            )
            ground = (
                absorbed
                - EPS_SIGMA * surface**4
                - 1005.0 * conductance * (surface - air)
                - 2.5e6 * moisture * conductance * (saturation - humidity)
            )
            # Ghost nodes: the flux at the surface, and none at the bottom.
            above = temperature[:, :, 1:2] + 2.0 * spacing / conductivity * ground
            padded = torch.cat([above, temperature, temperature[:, :, -2:-1]], dim=2)
            temperature = temperature + number * torch.nn.functional.conv1d(padded, kernel)
        predicted.append(temperature[0, 0, [1, 4]])
    return torch.stack(predicted)


def paper_twin(torch: Any, theta: Any, hours: int) -> tuple[Any, int]:
    """Predictions (hour, 2) at the surface and 5 cm from noon on, and the number of sweeps.

    theta = albedo, combined heat transfer coefficient, conductivity, heat capacity, bottom
    temperature, in SI units.
    """
    albedo, transfer, conductivity, capacity, bottom = theta
    number = conductivity * TWIN_STEP / (capacity * TWIN_SPACING**2)
    neighbours = torch.tensor([[[1.0, 0.0, 1.0]]], dtype=torch.float64)
    temperature = bottom * torch.ones(1, 1, TWIN_NODES, dtype=torch.float64)
    predicted, sweeps = [], 0
    for hour in range(12, 12 + hours):
        angle = np.clip(np.pi / 14.0 * (hour % 24 - 14.0), -0.5 * np.pi, 0.5 * np.pi)
        absorbed = (1.0 - albedo) * 800.0 * float(np.cos(angle)) + 100.0 + transfer * 296.0
        before, change = temperature, float("inf")
        while change > TWIN_TOLERANCE:
            surface = temperature[:, :, :1]
            scale = TWIN_SPACING / conductivity
            top = before[:, :, :1] + 2.0 * number * (temperature[:, :, 1:2] + scale * absorbed)
            loss = transfer + TWIN_EPS_SIGMA * surface**3
            top = top / (1.0 + 2.0 * number * (1.0 + scale * loss))
            inner = number * torch.nn.functional.conv1d(temperature, neighbours)
            inner = (inner + before[:, :, 1:-1]) / (1.0 + 2.0 * number)
            new = torch.cat([top, inner, bottom.reshape(1, 1, 1)], dim=2)
            change = float((new - temperature).detach().abs().max())
            temperature = new
            sweeps += 1
        predicted.append(temperature[0, 0, TWIN_OBSERVED])
    return torch.stack(predicted), sweeps

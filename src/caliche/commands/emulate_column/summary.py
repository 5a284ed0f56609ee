"""What summary.json of an emulated column says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class SeedEntry:
    """One network that was trained."""

    seed: int
    loss: float
    best_epoch: int
    epochs: int
    converged: bool
    reason: str


@dataclass(frozen=True)
class JacobianEntry:
    """Jacobians of a step in standard deviations of inputs and outputs, see `JacobianCheck`."""

    emulated: tuple[tuple[float, ...], ...]
    exact: tuple[tuple[float, ...], ...]
    difference: tuple[tuple[float, ...], ...]
    error: float
    state_error: float
    eigenvalues: tuple[float, ...]
    exact_eigenvalues: tuple[float, ...]
    radius: float
    exact_radius: float
    points: int


@dataclass(frozen=True)
class DriftEntry:
    """Long runs beside the exact model's, see `Drift`."""

    days: tuple[int, ...]
    errors: tuple[tuple[float, ...], ...]
    spread: tuple[float, ...]
    imbalance: float
    mean_imbalance: float
    exact_imbalance: float
    runs: int
    failed: int


@dataclass(frozen=True)
class CostEntry:
    """Processor time per step and column (µs), alone and in a batch."""

    single: float
    exact_single: float
    batch: float
    exact_batch: float
    columns: int


@dataclass(frozen=True)
class ColumnSummary:
    """The content of summary.json.

    one_step : by output, root mean square error over its standard deviation, held out.
    parts : of the held-out loss.  amounts : how much was learned from and held out.
    history : (epoch, 2) loss learned from and held out.
    """

    experiment: str
    title: str
    description: str
    model: str
    time_step: float
    states: tuple[str, ...]
    units: tuple[str, ...]
    fluxes: tuple[str, ...]
    weather: tuple[str, ...]
    parameters: tuple[str, ...]
    settings: Mapping[str, float]
    amounts: Mapping[str, int]
    weights: int
    seeds: tuple[SeedEntry, ...]
    seed: int
    converged: bool
    history: tuple[tuple[float, ...], ...]
    parts: Mapping[str, float]
    one_step: Mapping[str, float]
    jacobian: JacobianEntry
    drift: DriftEntry
    costs: CostEntry
    seconds: Mapping[str, float]
    passed: bool = False
    verdict: str = ""
    sentences: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    command: str | None = None
    versions: Mapping[str, str] | None = None
    created: str = ""

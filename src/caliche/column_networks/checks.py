"""What a network of a column is worth beside the exact model: weather and parameters held out.

Jacobian of a step, eigenvalues of its state part, drift of long runs, lost energy, and time.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.column_networks import weather
from caliche.column_networks.data import Material, Steps, differentiated
from caliche.models.base import Diagnostics, Model
from caliche.models.emulated.model import EmulatedModel
from caliche.models.emulated.view import ColumnView
from caliche.models.loop.time_loop import simulate
from caliche.parameters.space import ParameterSpace

LEADS = (1, 10, 30, 365)  # days
POINTS = 64  # held-out steps at which Jacobians are compared
BATCH = 64  # columns of a batch
TIMED = 2000  # steps that are timed
_BEST_OF = 3


@dataclass(frozen=True)
class JacobianCheck:
    """Jacobians of a step at held-out points, in standard deviations of inputs and outputs.

    Inputs that never varied in what was learned from count as zero, and so do such outputs.

    emulated, exact : (output, input) at the point with the median error.
    difference : (output, input) root mean square over the points.
    error : relative Frobenius norm of the difference, over all points; `state_error` of the part
        that is increments by states, and `point_errors` (point,) of each point.
    eigenvalues, exact_eigenvalues : (state,) moduli of d(state after)/d(state before) there.
    radius, exact_radius : the largest modulus at any point.
    """

    emulated: np.ndarray
    exact: np.ndarray
    difference: np.ndarray
    error: float
    state_error: float
    point_errors: np.ndarray
    eigenvalues: np.ndarray
    exact_eigenvalues: np.ndarray
    radius: float
    exact_radius: float


@dataclass(frozen=True)
class Drift:
    """Long runs beside the exact model's.

    errors : (lead, state) root mean square over runs of the state after `days` (lead,).
    spread : (state,) standard deviation of the exact states, of all runs and times.
    imbalance, exact_imbalance : W m-2, root mean square over steps and runs; `mean_imbalance` the
        root mean square over runs of their means.
    failed : runs that gave no numbers.
    """

    days: np.ndarray
    errors: np.ndarray
    spread: np.ndarray
    imbalance: float
    mean_imbalance: float
    exact_imbalance: float
    failed: int


@dataclass(frozen=True)
class Costs:
    """Processor time per step and column (µs), alone and in a batch of so many."""

    single: float
    exact_single: float
    batch: float
    exact_batch: float
    columns: int = BATCH


def step_errors(model: EmulatedModel, steps: Steps) -> Float[np.ndarray, " output"]:
    """Root mean square error of single steps over the standard deviation of each output."""
    error = np.asarray(_outputs(model, steps.x)) - np.asarray(steps.y)
    return np.sqrt(np.mean(error**2, axis=0)) / np.asarray(model.network.outputs.sd)


def check_jacobian(model: EmulatedModel, material: Material, points: int = POINTS) -> JacobianCheck:
    """Compare the Jacobians of the network and of the exact step at held-out points."""
    x = material.held_out.steps.x
    some = np.linspace(0, len(x) - 1, min(points, len(x))).astype(int)
    found, true = np.asarray(_jacobians(model, x[some])), _exact_jacobians(material, x[some])
    (_, si), (_, so) = model.network.inputs, model.network.outputs
    # What never varied was never learned, such as the effect of snow where none fell.
    varied = np.ptp(np.asarray(material.learned.steps.x), axis=0) > 0.0
    scale = np.where(varied, np.asarray(si), 0.0)[None, :] / np.asarray(so)[:, None]
    scale = scale * np.asarray(model.network.moving)[:, None]
    n = len(model.view.states)
    moving = np.flatnonzero(varied[:n])
    own = [np.eye(len(moving)) + a[:, moving][:, :, moving] for a in (found, true)]
    moduli = [np.sort(np.abs(np.linalg.eigvals(a)), axis=1)[:, ::-1] for a in own]
    a, b = found * scale, true * scale
    size = np.sqrt((b**2).sum((1, 2)))
    errors = np.sqrt(((a - b) ** 2).sum((1, 2))) / np.where(size > 0.0, size, 1.0)
    middle = int(np.argsort(errors)[len(errors) // 2])
    return JacobianCheck(
        a[middle],
        b[middle],
        np.sqrt(((a - b) ** 2).mean(0)),
        _relative(a, b),
        _relative(a[:, :n, :n], b[:, :n, :n]),
        errors,
        moduli[0][middle],
        moduli[1][middle],
        float(moduli[0].max()),
        float(moduli[1].max()),
    )


def check_drift(
    model: EmulatedModel,
    material: Material,
    space: ParameterSpace,
    u: np.ndarray,
    stretches: weather.Stretches,
    seed: int,
    days: tuple[int, ...] = LEADS,
) -> Drift:
    """Runs from the model's own start at control vectors u (run, P), under held-out weather."""
    steps = round(max(days) * weather.DAY / model.exact.time_step)  # type: ignore[attr-defined]
    random = np.random.default_rng([seed, 2])
    made = weather.weather(stretches, True, len(u), steps, random)
    forcing = {n: jnp.asarray(made[n]) for n in model.forcing_variables}
    params = jax.vmap(space.to_physical)(jnp.asarray(u))
    (states, lost), (true, true_lost) = (
        _long(m, model.view, params, forcing) for m in (model, model.exact)
    )
    states, lost, true, true_lost = (np.asarray(a) for a in (states, lost, true, true_lost))
    fine = np.isfinite(states).all((1, 2)) & np.isfinite(lost).all(1)
    at = [round(d * weather.DAY / model.exact.time_step) - 1 for d in days]  # type: ignore[attr-defined]
    difference = states[fine][:, at] - true[fine][:, at]
    rms = functools.partial(_rms, nothing=np.nan)
    return Drift(
        np.asarray(days),
        np.sqrt((difference**2).mean(0)) if fine.any() else np.full(difference.shape[1:], np.nan),
        true.std((0, 1)),
        rms(lost[fine]),
        rms(lost[fine].mean(1)) if fine.any() else np.nan,
        rms(true_lost),
        int((~fine).sum()),
    )


def measure_costs(
    model: EmulatedModel, params: Mapping[str, Array], forcing: Mapping[str, Array]
) -> Costs:
    """Time of a step of the network and of the exact column, compiled, alone and in a batch."""
    short = {n: jnp.asarray(v)[: TIMED + 1] for n, v in forcing.items()}
    exact: Any = model.exact
    block = exact.for_block() if hasattr(exact, "for_block") else exact
    found = []
    for one, many in ((model, model), (exact, block)):
        found += [_timed(one, params, short, None), _timed(many, params, short, BATCH)]
    return Costs(found[0], found[2], found[1], found[3])


def _timed(
    model: Model, params: Mapping[str, Array], forcing: Mapping[str, Array], batch: int | None
) -> float:
    """Processor time per step and column (µs), the best of a few: others' work does not count."""
    steps = len(next(iter(forcing.values()))) - 1
    if batch is None:
        call: Callable[[], Any] = functools.partial(_ends, model, params, forcing)
    else:
        many = {n: jnp.full(batch, 1.0) * v for n, v in params.items()}
        call = functools.partial(_ends_of_batch, model, many, forcing)
    jax.block_until_ready(call())
    best = np.inf
    for _ in range(_BEST_OF):
        began = time.process_time()
        jax.block_until_ready(call())
        best = min(best, time.process_time() - began)
    return 1e6 * best / (steps * (batch or 1))


def _surface(diagnostics: Diagnostics) -> Any:
    return diagnostics["surface_temperature"]


@jax.jit
def _ends(model: Model, params: Any, forcing: Any) -> Any:
    return jnp.sum(simulate(model, params, forcing, _surface)[2])


@jax.jit
def _ends_of_batch(model: Model, params: Any, forcing: Any) -> Any:
    def one(params: Any) -> Array:
        return jnp.sum(simulate(model, params, forcing, _surface)[2])

    return jax.vmap(one)(params)


@jax.jit
def _long(
    model: Model, view: ColumnView, params: Any, forcing: Any
) -> tuple[Float[Array, "run time state"], Float[Array, "run time"]]:
    """States and energy imbalance of each step of many runs."""
    stores = [n for n in view.states if n in model.diagnostics and n != "surface_temperature"]
    nodes = len(view.states) - len(stores)

    def output(diagnostics: Diagnostics) -> tuple[Array, Array]:
        found: Any = diagnostics
        profile = found["soil_temperature"]
        vector = jnp.stack([*(profile[k] for k in range(nodes)), *(found[n] for n in stores)])
        return vector, found["energy_imbalance"]

    def one(params: Any, forcing: Any) -> tuple[Array, Array]:
        return simulate(model, params, forcing, output)[2]

    return jax.vmap(one)(params, forcing)


@jax.jit
def _outputs(model: EmulatedModel, x: Array) -> Array:
    return jax.vmap(model.network)(x)


@jax.jit
def _jacobians(model: EmulatedModel, x: Array) -> Float[Array, "point output input"]:
    return jax.vmap(jax.jacfwd(model.network))(x)


def _exact_jacobians(material: Material, x: Array) -> Float[np.ndarray, "point output input"]:
    """Of the exact step, physical: one derivative along each input, by the program of the data."""
    points, inputs = x.shape
    repeated, along = np.repeat(np.asarray(x), inputs, axis=0), np.tile(np.eye(inputs), (points, 1))
    steps = differentiated(material.view, material.trained, material.constants, repeated, along)
    return np.asarray(steps.jv).reshape(points, inputs, -1).swapaxes(1, 2)


def _relative(a: np.ndarray, b: np.ndarray) -> float:
    size = float(np.sqrt((b**2).sum()))
    return float(np.sqrt(((a - b) ** 2).sum())) / (size or 1.0)


def _rms(values: np.ndarray, nothing: float) -> float:
    return float(np.sqrt(np.mean(values**2))) if values.size else nothing

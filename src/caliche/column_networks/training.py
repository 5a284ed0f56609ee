"""Training of a network that takes the step of a column.

The loss is a sum of four parts: errors of increments and fluxes of single steps in standard
deviations; errors of derivatives along a direction each, relative to the derivatives (Sobolev
training: Czarnecki et al. 2017, arXiv:1706.04859); errors of states along runs of 1, 2, 4 ...
steps, relative to how far states move in so many; and the energy that a step loses. Runs join in
when half of the epochs are over. The linear part begins at the least-squares solution for steps and
derivatives together. Training stops when the loss on other weather and other parameters gets no
better, and the weights that served those best are kept.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from caliche.column_networks.data import Data, Material, Runs, Steps
from caliche.learning.epochs import (
    CHECKPOINT_EVERY,
    Callback,
    TrainingState,
    adam,
    after_epoch,
    begun,
    best_epoch,
    go_on,
    has_ended,
    judge,
    moved,
)
from caliche.models.emulated.model import Trained
from caliche.models.emulated.network import Scaling, StepNetwork
from caliche.models.emulated.view import ColumnView
from caliche.models.lad.neural_fluxes import Network
from caliche.models.loop.run import run

RIDGE = 1e-12  # of the least squares, relative
PARTS = ("steps", "derivatives", "runs", "energy")


@dataclass(frozen=True)
class TrainingSettings:
    """How to train.

    epochs : at most so many, of `updates` updates each.  batch, runs : samples and runs of an
    update.  learning_rate : of Adam at the start; falls along a cosine to a hundredth.
    derivatives, rollouts, energy : weights of these parts of the loss; 0 leaves one out.
    width, depth : of the perceptron; depth 0 is a linear network.
    """

    epochs: int = 60
    updates: int = 100
    batch: int = 256
    runs: int = 16
    learning_rate: float = 3e-3
    derivatives: float = 1.0
    rollouts: float = 0.1
    energy: float = 0.01
    patience: int = 30
    width: int = 64
    depth: int = 2


class Learned(NamedTuple):
    """What training changes."""

    linear: Float[Array, "output input"]
    deep: Network

    def put_into(self, network: StepNetwork) -> StepNetwork:
        """The network with these weights."""
        return eqx.tree_at(lambda n: (n.linear, n.deep), network, tuple(self))


@dataclass(frozen=True)
class TrainedColumn:
    """A trained network.

    network : at the epoch with the lowest held-out loss, which is `loss` at `best_epoch`.
    history : (epoch, 2) loss on what is learned from and on what is held out.
    parts : of the held-out loss, by name, before their weights.
    """

    network: StepNetwork
    loss: float
    best_epoch: int
    history: np.ndarray
    parts: Mapping[str, float]
    converged: bool
    reason: str
    seed: int
    seconds: Mapping[str, float]


class _Scales(NamedTuple):
    """What errors are measured in.

    slopes : (output,) mean square of derivatives, or the median of outputs where that is larger.
    moved : (lead, state) how far states move in so many steps.  energy : () W m-2.
    """

    slopes: Array
    moved: Array
    energy: Array


class _Frame(eqx.Module):
    """What stays the same while a network is trained."""

    view: ColumnView
    scales: _Scales
    constants: dict[str, Array]
    trained: Trained = eqx.field(static=True)


def leads(length: int) -> np.ndarray:
    """Steps after which a run of so many is compared: 1, 2, 4 ... and the last."""
    powers = 2 ** np.arange(int(math.log2(max(length, 1))) + 1)
    return np.unique(np.append(powers, length))


def train_column(
    material: Material,
    settings: TrainingSettings,
    seed: int = 0,
    checkpoint: Path | None = None,
    callback: Callback | None = None,
) -> TrainedColumn:
    """Train one network.

    Parameters
    ----------
    seed : of the first weights and of the order of the samples.
    checkpoint : a file to write now and then, and to go on from where it exists. The outcome is the
        same, to the last digit, as without an interruption.

    Raises
    ------
    InputError : a checkpoint of another training.
    """
    frame = _frame(material)
    network = untrained(material, settings, seed)
    half = settings.epochs // 2

    def epoch(state: TrainingState) -> TrainingState:
        late = int(state.epoch) >= half and settings.rollouts > 0.0
        learned, held_out = material.learned, material.held_out
        return _epoch(settings, late, frame, network, learned, held_out, state, seed)

    state, _, seconds = go_on(
        begun(Learned(network.linear, network.deep), _optimiser(settings), settings.epochs),
        epoch,
        # Runs have to join in before anybody gives up.
        lambda state: has_ended(state, settings.epochs, settings.patience, half),
        checkpoint,
        callback,
        CHECKPOINT_EVERY,
    )
    best = state.best.put_into(network)
    history = np.asarray(state.history)[: int(state.epoch)]
    waited = len(history) <= settings.epochs
    converged, reason = judge(history, settings.epochs, settings.patience, waited, "the network")
    parts = np.asarray(_measured(best, frame, material.held_out))
    return TrainedColumn(
        best,
        float(state.best_loss),
        best_epoch(state),
        history,
        dict(zip(PARTS, parts.tolist(), strict=True)),
        converged,
        reason,
        seed,
        {"run": seconds},
    )


def untrained(material: Material, settings: TrainingSettings, seed: int) -> StepNetwork:
    """A network whose linear part is the least-squares solution, and whose perceptron is zero."""
    inputs, outputs = material.scales
    size, steps = len(material.trained.inputs), material.learned.steps
    network = StepNetwork.build(inputs, outputs, size, settings.width, settings.depth, seed)
    network = network.moved_by(steps.y)
    return eqx.tree_at(lambda n: n.linear, network, _least_squares(network, steps, settings))


def loss_parts(
    network: StepNetwork, material: Material, data: Data | None = None
) -> dict[str, float]:
    """The parts of the loss by name, before their weights; of what is held out by default."""
    parts = _measured(network, _frame(material), data or material.held_out)
    return dict(zip(PARTS, np.asarray(parts).tolist(), strict=True))


def _least_squares(
    network: StepNetwork, steps: Steps, settings: TrainingSettings
) -> Float[Array, "output input"]:
    """The linear map that suits values, and derivatives too unless they have no weight."""
    z, y = network.inputs.scaled(steps.x), network.outputs.scaled(steps.y)
    rows, wanted = [z], [y]
    if settings.derivatives > 0.0:
        jv = network.outputs.directions(steps.jv)
        weight = jnp.sqrt(settings.derivatives / _or_one(jnp.mean(jv**2)))
        rows.append(weight * network.inputs.directions(steps.v))
        wanted.append(weight * jv)
    a, b = jnp.concatenate(rows), jnp.concatenate(wanted)
    square = a.T @ a
    ridge = RIDGE * jnp.trace(square) * jnp.eye(len(square))
    return jnp.linalg.solve(square + ridge, a.T @ b).T


def _frame(material: Material) -> _Frame:
    runs, steps = material.learned.runs, material.learned.steps
    n = len(material.view.states)
    where = leads(runs.states.shape[1] - 1)
    moved = jnp.sqrt(jnp.mean((runs.states[:, where] - runs.states[:, :1]) ** 2, axis=0))
    slopes = jnp.mean(Scaling.of(steps.y).directions(steps.jv) ** 2, axis=0)
    # An output that hardly responds counts little, and one that jumps does not outvote the others.
    slopes = _or_one(jnp.maximum(slopes, jnp.median(slopes)))
    constants = {name: jnp.asarray(value) for name, value in material.constants.items()}

    def stored(x: Array, y: Array) -> Array:
        return _energy(material.view, material.trained, constants, x, y.at[n:].set(0.0))

    energy = jnp.sqrt(jnp.mean(jax.vmap(stored)(steps.x[:512], steps.y[:512]) ** 2))
    scales = _Scales(slopes, _or_one(moved), _or_one(energy))
    return _Frame(material.view, scales, constants, material.trained)


def _or_one(scale: Array) -> Array:
    """A scale of errors; 1 where nothing ever varies."""
    return jnp.where(scale > 0.0, scale, 1.0)


def _energy(
    view: ColumnView, trained: Trained, constants: Mapping[str, Array], x: Array, y: Array
) -> Float[Array, ""]:
    """The energy that outputs y lose at inputs x, W m-2."""
    n, m = len(view.states), len(view.model.forcing_variables)
    params = {**constants, **dict(zip(trained.names, x[n + m :], strict=True))}
    forcing = dict(zip(view.model.forcing_variables, x[n : n + m], strict=True))
    return view.energy_imbalance(params, forcing, y[:n], y[n:])


def _optimiser(settings: TrainingSettings) -> Any:
    return adam(settings.learning_rate, settings.epochs * settings.updates)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _epoch(
    settings: TrainingSettings,
    late: bool,
    frame: _Frame,
    network: StepNetwork,
    data: Data,
    held_out: Data,
    state: TrainingState,
    seed: Int[Array, ""] | int,
) -> TrainingState:
    """The held-out loss of the weights as they are, then the updates of an epoch."""
    weights = _weights(settings)
    after = state.learned.put_into(network)
    lost = jnp.sum(weights * _parts(after, frame, held_out.steps, held_out.runs))
    optimiser = _optimiser(settings)
    keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), state.epoch), settings.updates)

    def loss(learned: Learned, steps: Steps, runs: Runs | None) -> Array:
        return jnp.sum(weights * _parts(learned.put_into(network), frame, steps, runs))

    def update(carry: tuple, key: Array) -> tuple[tuple, Array]:
        learned, optimiser_state = carry
        first, second = jax.random.split(key)
        some = jax.random.randint(first, (settings.batch,), 0, len(data.steps.x))
        steps = jax.tree.map(lambda a: a[some], data.steps)
        runs = None
        if late:
            few = jax.random.randint(second, (settings.runs,), 0, len(data.runs.parameters))
            runs = jax.tree.map(lambda a: a[few], data.runs)
        value, gradient = jax.value_and_grad(loss)(learned, steps, runs)
        return moved(optimiser, gradient, learned, optimiser_state), value

    (learned, optimiser_state), values = jax.lax.scan(
        update, (state.learned, state.optimiser), keys
    )
    losses = jnp.stack([jnp.mean(values), lost])
    return after_epoch(state, learned, optimiser_state, losses)


def _weights(settings: TrainingSettings) -> Array:
    return jnp.asarray([1.0, settings.derivatives, settings.rollouts, settings.energy])


@jax.jit
def _measured(network: StepNetwork, frame: _Frame, data: Data) -> Array:
    return _parts(network, frame, data.steps, data.runs)


def _parts(
    network: StepNetwork, frame: _Frame, steps: Steps, runs: Runs | None
) -> Float[Array, " part"]:
    """Parts of the loss, see `PARTS`; that of runs is zero without runs."""
    z, v = network.inputs.scaled(steps.x), network.inputs.directions(steps.v)

    def one(z: Array, v: Array) -> tuple[Array, Array]:
        return jax.jvp(network.scaled, (z,), (v,))

    y, jv = jax.vmap(one)(z, v)
    values = jnp.mean((y - network.outputs.scaled(steps.y)) ** 2)
    wrong = jnp.mean((jv - network.outputs.directions(steps.jv)) ** 2, axis=0)
    slopes = jnp.mean(network.moving * wrong / frame.scales.slopes)
    lost = jax.vmap(functools.partial(_energy, frame.view, frame.trained, frame.constants))(
        steps.x, network.outputs.physical(y)
    )
    energy = jnp.mean((lost / frame.scales.energy) ** 2)
    rolled = jnp.zeros(()) if runs is None else _rollouts(network, frame, runs)
    return jnp.stack([values, slopes, rolled, energy])


def _rollouts(network: StepNetwork, frame: _Frame, runs: Runs) -> Float[Array, ""]:
    """Mean square error of states after 1, 2, 4 ... steps, over how far they moved."""
    where = leads(runs.states.shape[1] - 1)
    embedded = jax.vmap(network.embed)(runs.parameters)
    n = runs.states.shape[-1]

    def step(states: Array, forcing: Array) -> tuple[Array, Array]:
        x = jnp.concatenate([states, forcing], axis=1)
        after = states + jax.vmap(network.step)(embedded, x)[:, :n]
        return after, after

    _, series = run(step, runs.states[:, 0], jnp.swapaxes(runs.forcing, 0, 1))
    error = jnp.swapaxes(series, 0, 1)[:, where - 1] - runs.states[:, where]
    error = error / frame.scales.moved[None]
    # A run that leaves what can be is wrong enough at this, and its gradient stays finite.
    return jnp.mean(jnp.minimum(error**2, 1e4))

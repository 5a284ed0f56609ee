"""Training of a law of turbulent fluxes inside its model, by gradients through time.

The record is cut into windows. Each epoch runs the model with the current weights over the whole
record, which gives the state at the start of every window and the loss on all of them; then every
window of the training set gives one gradient, back to its start and no further (truncated
backpropagation: Williams and Peng 1990, doi:10.1162/neco.1990.2.4.490), and a step of Adam. Every
fifth third of a window is held out, so that what is held out is spread over the seasons: training
stops when that gets no better, and the weights that served it best are kept.

The free parameters of the problem are learned together with the weights.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from caliche.errors import InputError
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
from caliche.models.base import Forcing
from caliche.models.lad.neural_fluxes import HybridFluxes, Network
from caliche.models.loop.run import run
from caliche.models.loop.time_loop import simulate
from caliche.problems.inverse import InverseProblem
from caliche.wording import number_of

FIFTH = 5  # of so many stretches with observations, one is held out
STRETCHES = 3  # in a window


@dataclass(frozen=True)
class TrainingSettings:
    """How to train.

    epochs : at most so many.  learning_rate : of Adam at the start; falls along a cosine to a
    hundredth.  window_steps : length of a window.  patience : epochs without a better held-out loss
    after which training stops.
    """

    epochs: int = 100
    learning_rate: float = 3e-3
    window_steps: int = 1440
    patience: int = 30


class Learned(NamedTuple):
    """What training changes: the weights, and the control vector (P,) of the free parameters."""

    network: Network
    u: Float[Array, " parameter"]

    def put_into(self, problem: InverseProblem) -> InverseProblem:
        """The problem with these weights in its law."""
        return eqx.tree_at(lambda p: p.model.fluxes.network, problem, self.network)


class Window(NamedTuple):
    """A part of the record, or many with an axis for them in front.

    forcing : name -> (step + 1,).  values, scale : (step + 1, stream), see `Observations`.
    fitted, held_out : (step + 1, stream) what is learned from, and what tells when to stop.
    Entry 0 is the last of the window before: it drives no step and is not compared.
    """

    forcing: Forcing
    values: Array
    scale: Array
    fitted: Array
    held_out: Array


class Windows(NamedTuple):
    """The record in windows of one length, and the forcing of what comes before the first.

    `training` holds the numbers of the windows to learn from.
    """

    lead: Forcing
    each: Window
    training: Array


def cut(problem: InverseProblem, steps: int) -> Windows:
    """Windows of so many steps that end with the record.

    Raises
    ------
    InputError : too few observations to hold some of them out, or a problem that cannot be cut.
    """
    _check(problem)
    observed = problem.observations
    n_steps = observed.values.shape[0] - 1
    count = n_steps // steps
    first = n_steps - count * steps
    after = np.arange(count)[:, None] * steps + np.arange(steps + 1)  # steps after the lead
    visible = problem.operator.visible(steps + 1) & (np.arange(steps + 1) > 0)[:, None]
    mask = np.asarray(observed.mask)[first + after] & visible
    stretch = (after - 1) // -(-steps // STRETCHES)
    seen = np.unique(stretch[mask.any(axis=2)])
    held = seen[FIFTH - 1 :: FIFTH] if len(seen) >= FIFTH else seen[1:][-1:]
    held_out = mask & np.isin(stretch, held)[..., None]
    fitted = mask & ~held_out
    if not held_out.any():
        raise InputError(
            "observations to learn from and others to hold out, in windows of "
            f"{number_of(steps, 'step')}",
            f"{number_of(n_steps, 'step')} with "
            f"{number_of(int(mask.any(axis=2).sum()), 'observed time')}",
            "shorten window_days, or lengthen the record",
        )
    scale = jnp.broadcast_to(observed.scale, observed.values.shape)
    where = first + after
    return Windows(
        {name: v[: first + 1] for name, v in problem.forcing.items()},
        Window(
            {name: v[where] for name, v in problem.forcing.items()},
            observed.values[where],
            scale[where],
            jnp.asarray(fitted),
            jnp.asarray(held_out),
        ),
        jnp.asarray(np.flatnonzero(fitted.any(axis=(1, 2)))),
    )


def _check(problem: InverseProblem) -> None:
    fluxes = getattr(problem.model, "fluxes", None)
    if not isinstance(fluxes, HybridFluxes):
        raise InputError(
            "a model with a network in its fluxes",
            type(problem.model).__name__,
            'set name = "lad" and fluxes = "neural-conductance" in [model]',
        )
    memory = problem.observations.autocorrelation is not None
    if problem.period or problem.space.variations or memory:
        raise InputError(
            "constant parameters and errors without memory, and spin_up_days for the start",
            "a periodic spin-up, parameters that vary or autocorrelated errors",
            "leave those out of the experiment",
        )


@dataclass(frozen=True)
class Trained:
    """A trained network.

    learned : at the epoch with the lowest held-out loss, which is `loss` at `best_epoch`.
    history : (epoch, 2) loss on what is learned from and on what is held out, from the first
        weights on: the mean squared misfit in units of sigma.
    n_observations : (2,) values learned from, and held out.
    seconds : `compile` (the first epoch, compilation included), `run` and `epoch` (median).
    """

    learned: Learned
    loss: float
    best_epoch: int
    history: np.ndarray
    converged: bool
    reason: str
    seed: int
    n_windows: int
    n_observations: tuple[int, int]
    seconds: dict[str, float]


def train(
    problem: InverseProblem,
    settings: TrainingSettings,
    seed: int = 0,
    checkpoint: Path | None = None,
    callback: Callback | None = None,
    checkpoint_every: float = CHECKPOINT_EVERY,
) -> Trained:
    """Train the network in the problem's law of fluxes, from the weights that it has.

    Parameters
    ----------
    seed : of the order of the windows.
    checkpoint : a file to write now and then, and to go on from where it exists. The outcome is the
        same, to the last digit, as without an interruption.
    checkpoint_every : s between checkpoints; the last epoch always leaves one.

    Raises
    ------
    InputError : see `cut`; a checkpoint of another training.
    """
    windows = cut(problem, settings.window_steps)
    optimiser = adam(settings.learning_rate, settings.epochs * len(windows.training))
    learned = Learned(problem.model.fluxes.network, problem.space.initial())  # type: ignore[attr-defined]
    state, taken, seconds_of_all = go_on(
        begun(learned, optimiser, settings.epochs),
        lambda state: _epoch(settings, problem, windows, state, seed),
        lambda state: has_ended(state, settings.epochs, settings.patience),
        checkpoint,
        callback,
        checkpoint_every,
    )
    seconds = {
        "compile": taken[0] if taken else 0.0,
        "run": seconds_of_all - sum(taken[:1]),
        "epoch": float(np.median(taken[1:])) if len(taken) > 1 else math.nan,
    }
    history = np.asarray(state.history)[: int(state.epoch)]
    best = best_epoch(state)
    waited = len(history) - 1 - best >= settings.patience
    converged, reason = judge(history, settings.epochs, settings.patience, waited, "the model")
    return Trained(
        state.best,
        float(state.best_loss),
        best,
        history,
        converged,
        reason,
        seed,
        len(windows.training),
        (int(windows.each.fitted.sum()), int(windows.each.held_out.sum())),
        seconds,
    )


@functools.partial(jax.jit, static_argnums=0)
def _epoch(
    settings: TrainingSettings,
    problem: InverseProblem,
    windows: Windows,
    state: TrainingState,
    seed: Int[Array, ""] | int,
) -> TrainingState:
    """Losses of the weights as they are, then the updates of one pass over the windows."""
    losses, starts = _survey(state.learned.put_into(problem), windows, state.learned.u)
    optimiser = adam(settings.learning_rate, settings.epochs * len(windows.training))
    key = jax.random.fold_in(jax.random.key(seed), state.epoch)
    n_fitted = jnp.sum(windows.each.fitted, dtype=jnp.float64)
    order = jax.random.permutation(key, windows.training)

    def update(carry: tuple, which: Array) -> tuple[tuple, None]:
        learned, optimiser_state = carry
        # One window at a time: vectors of windows take longer (docs/hybrid.md).
        window, begin = jax.tree.map(lambda x: x[which], (windows.each, starts))
        gradient = jax.grad(_loss)(learned, problem, window, begin, n_fitted)
        return moved(optimiser, gradient, learned, optimiser_state), None

    carry = (state.learned, state.optimiser)
    (learned, optimiser_state), _ = jax.lax.scan(update, carry, order)
    return after_epoch(state, learned, optimiser_state, losses)


def _survey(problem: InverseProblem, windows: Windows, u: Array) -> tuple[Array, Any]:
    """Both losses (2,), and the state at the start of each window, from one run of the record."""
    params = problem.space.to_physical(u)
    state = simulate(problem.model, params, windows.lead, lambda _: ())[0]

    def through(state: Any, window: Window) -> tuple[Any, tuple]:
        after, squares = _run(problem, params, window, state)
        return after, (state, squares)

    _, (starts, squares) = run(through, state, windows.each)
    both = (windows.each.fitted, windows.each.held_out)
    counts = jnp.stack([jnp.sum(mask, dtype=jnp.float64) for mask in both])
    return jnp.sum(squares, axis=0) / counts, starts


def _loss(
    learned: Learned, problem: InverseProblem, window: Window, begin: Any, n_fitted: Array
) -> Float[Array, ""]:
    """Mean squared misfit of a window, and the prior's over all fitted values."""
    problem = learned.put_into(problem)
    squares = _run(problem, problem.space.to_physical(learned.u), window, begin)[1][0]
    prior = jnp.sum(jnp.asarray(problem.space.informative, jnp.float64) * learned.u**2)
    return squares / jnp.sum(window.fitted, dtype=jnp.float64) + prior / n_fitted


def _run(problem: InverseProblem, params: Any, window: Window, state: Any) -> tuple[Any, Array]:
    """State at the end of a window, and the sums (2,) of squared misfits fitted and held out."""
    select = problem.operator.select
    after, initial, series = simulate(problem.model, params, window.forcing, select, state=state)
    prediction = problem.operator.finish(initial, series, params)
    # Where before subtracting: an unobserved prediction may be NaN, and 0 * NaN is not 0.
    prediction = jnp.where(window.fitted | window.held_out, prediction, window.values)
    misfit = (prediction - window.values) / window.scale
    squares = problem.observations.without_tails(misfit) ** 2
    sums = [jnp.sum(jnp.where(mask, squares, 0.0)) for mask in (window.fitted, window.held_out)]
    return after, jnp.stack(sums)

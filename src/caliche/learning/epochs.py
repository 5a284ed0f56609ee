"""Training epoch by epoch: the best weights kept, checkpoints, and when it has come to its end.

What an epoch is, and what its losses are, is the caller's.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from caliche.estimation.method import settled
from caliche.files.checkpoint import read_leaves, write_leaves
from caliche.wording import number_of

LARGEST_GRADIENT = 1.0  # norm to which gradients are clipped
FLAT = 0.02  # relative gain of the last tenth of the epochs below which training has converged
CHECKPOINT_EVERY = 10.0  # s

Callback = Callable[[int, float, float, int], None]
"""Called after each epoch with its number, both losses, and the epoch of the lowest held-out."""


class TrainingState(NamedTuple):
    """All that training has come to; a checkpoint holds it. `history` is (epoch, 2), NaN ahead."""

    learned: Any
    optimiser: Any
    best: Any
    best_loss: Float[Array, ""]
    epoch: Int[Array, ""]
    history: Float[Array, "epoch 2"]


@functools.cache
def adam(learning_rate: float, updates: int) -> Any:
    """Adam whose rate falls along a cosine to a hundredth in so many updates; gradients clipped."""
    rate = optax.cosine_decay_schedule(learning_rate, updates, alpha=0.01)
    return optax.chain(optax.clip_by_global_norm(LARGEST_GRADIENT), optax.adam(rate))


def begun(learned: Any, optimiser: Any, epochs: int) -> TrainingState:
    """Before the first of so many epochs."""
    history = jnp.full((epochs + 1, 2), jnp.nan)
    return settled(
        TrainingState(
            learned,
            optimiser.init(learned),
            learned,
            jnp.asarray(jnp.inf),
            jnp.asarray(0, jnp.int64),
            history,
        )
    )


def moved(optimiser: Any, gradient: Any, learned: Any, optimiser_state: Any) -> tuple[Any, Any]:
    """What is learned, and the optimiser's state, after one update."""
    # Optax mixes widths of numbers, which strict promotion would refuse.
    with jax.numpy_dtype_promotion("standard"):
        updates, optimiser_state = optimiser.update(gradient, optimiser_state, learned)
        return optax.apply_updates(learned, updates), optimiser_state


def after_epoch(
    state: TrainingState, learned: Any, optimiser_state: Any, losses: Float[Array, " two"]
) -> TrainingState:
    """After the updates of an epoch.

    Parameters
    ----------
    losses : (2,) on what is learned from and on what is held out, the latter of the weights that
        the epoch began with: they are kept if it is the lowest.
    """
    better = losses[1] < state.best_loss
    best = jax.tree.map(lambda a, b: jnp.where(better, a, b), state.learned, state.best)
    history = state.history.at[state.epoch].set(losses)
    best_loss = jnp.where(better, losses[1], state.best_loss)
    return settled(
        TrainingState(learned, optimiser_state, best, best_loss, state.epoch + 1, history)
    )


def go_on(
    state: TrainingState,
    epoch: Callable[[TrainingState], TrainingState],
    ended: Callable[[TrainingState], bool],
    checkpoint: Path | None,
    callback: Callback | None,
    checkpoint_every: float,
) -> tuple[TrainingState, list[float], float]:
    """Epochs until training has ended: where it ended, seconds of each epoch, and of all.

    Parameters
    ----------
    checkpoint : a file to write now and then, and to go on from where it exists. The outcome is the
        same, to the last digit, as without an interruption.
    checkpoint_every : s between checkpoints; the last epoch always leaves one.

    Raises
    ------
    InputError : a checkpoint of another training.
    """
    if checkpoint is not None and checkpoint.is_file():
        state = read_leaves(checkpoint, state)
    taken, began, saved = [], time.perf_counter(), time.monotonic()
    while not ended(state):
        before = time.perf_counter()
        state = jax.block_until_ready(epoch(state))
        taken.append(time.perf_counter() - before)
        due = time.monotonic() - saved > checkpoint_every or ended(state)
        if checkpoint is not None and due:
            write_leaves(checkpoint, state)
            saved = time.monotonic()
        if callback is not None:
            number = int(state.epoch) - 1
            losses = np.asarray(state.history[number])
            callback(number, float(losses[0]), float(losses[1]), best_epoch(state))
    return state, taken, time.perf_counter() - began


def best_epoch(state: TrainingState) -> int:
    """The epoch of the lowest held-out loss; 0 where there is none."""
    held_out = np.asarray(state.history)[: int(state.epoch), 1]
    return int(np.nanargmin(held_out)) if np.isfinite(held_out).any() else 0


def has_ended(state: TrainingState, epochs: int, patience: int, first: int = 0) -> bool:
    """Whether it is at its limit, lost, or has waited long enough for a better held-out loss.

    first : epoch from which on it waits at the earliest.
    """
    epoch = int(state.epoch)
    if epoch == 0:
        return False
    lost = not np.isfinite(np.asarray(state.history[epoch - 1])).all()
    return lost or epoch > epochs or epoch - 1 - max(best_epoch(state), first) >= patience


def judge(
    history: np.ndarray, epochs: int, patience: int, waited: bool, who: str
) -> tuple[bool, str]:
    """Whether training has come to its end, and in words.

    Parameters
    ----------
    waited : whether it ended as the held-out loss got no better.  who : what gave the losses.
    """
    held_out = history[:, 1]
    if not np.isfinite(history).all():
        return False, f"{who} gave no finite loss in epoch {len(history) - 1}"
    best = int(held_out.argmin())
    if waited:
        return True, (
            f"the held-out data got no better for {number_of(patience, 'epoch')} after epoch {best}"
        )
    early = held_out[: max(1, round(0.9 * len(history)))].min()
    flat = bool(held_out.min() > (1.0 - FLAT) * early)
    gain = "less" if flat else "more"
    return flat, (
        f"the limit of {number_of(epochs, 'epoch')}; the last tenth of them gained {gain} than "
        f"{100 * FLAT:g} % on the held-out data"
    )

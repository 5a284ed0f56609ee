"""The one loop over time: a step, what is carried to the next, and what each step reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

Step = Callable[[Any, Any], tuple[Any, Any]]


def run(step: Step, carry: Any, inputs: Any, segments: int = 1) -> tuple[Any, Any]:
    """`step` from each time to the next.

    What is kept, added up or differentiated on the way is in the step and in what it carries.

    Parameters
    ----------
    step : (carry, inputs of the step) -> new carry, and what to keep of this step.
    inputs : pytree of arrays (time, ...).
    segments : reverse mode keeps the carries of no more than one segment at a time, and runs each
        segment twice.

    Returns
    -------
    the last carry, and what was kept of each step, stacked (time, ...).
    """
    if segments == 1:
        return jax.lax.scan(step, carry, inputs)
    n_steps = len(jax.tree.leaves(inputs)[0])
    length = -(-n_steps // segments)
    whole = n_steps // length

    def segment(carry: Any, part: Any) -> tuple[Any, Any]:
        return jax.lax.scan(step, carry, part)

    parts = jax.tree.map(lambda v: v[: whole * length].reshape(whole, length, *v.shape[1:]), inputs)
    carry, series = jax.lax.scan(jax.checkpoint(segment), carry, parts)
    series = jax.tree.map(lambda v: v.reshape(whole * length, *v.shape[2:]), series)
    carry, rest = segment(carry, jax.tree.map(lambda v: v[whole * length :], inputs))
    return carry, jax.tree.map(lambda a, b: jnp.concatenate([a, b]), series, rest)

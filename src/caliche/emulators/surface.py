"""All outputs of an emulator at one point, as JAX computes it: means, variances and slopes."""

from __future__ import annotations

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.emulators.process import Process


class Surface(eqx.Module):
    """Processes of K outputs, those alike side by side.

    Attributes
    ----------
    alike : processes with a leading axis.  place : (K,) where each output stands among them.
    centre, scale : (K,) an output is centre + scale * process.
    """

    alike: tuple[Process, ...]
    place: tuple[int, ...] = eqx.field(static=True)
    centre: Float[Array, " k"]
    scale: Float[Array, " k"]

    @staticmethod
    def build(processes: Sequence[Process], centre: np.ndarray, scale: np.ndarray) -> Surface:
        """From the process of each output."""
        kinds: dict[object, list[int]] = {}
        for k, process in enumerate(processes):
            leaves, structure = jax.tree.flatten(process)
            kinds.setdefault((structure, *(leaf.shape for leaf in leaves)), []).append(k)
        order = [k for members in kinds.values() for k in members]
        alike = tuple(
            jax.tree.map(lambda *leaves: jnp.stack(leaves), *[processes[k] for k in members])
            for members in kinds.values()
        )
        place = tuple(order.index(k) for k in range(len(processes)))
        return Surface(alike, place, jnp.asarray(centre), jnp.asarray(scale))

    def mean(self, x: Float[Array, " p"]) -> Float[Array, " k"]:
        """Means at a point of the unit box."""
        parts = [jax.vmap(lambda one: one.mean(x))(group) for group in self.alike]
        return self.centre + self.scale * jnp.concatenate(parts)[np.array(self.place)]

    def moments(self, x: Float[Array, " p"]) -> tuple[Float[Array, " k"], Float[Array, " k"]]:
        """Means and variances at a point of the unit box."""
        parts = [jax.vmap(lambda one: one.moments(x))(group) for group in self.alike]
        mean, variance = (
            jnp.concatenate([part[side] for part in parts])[np.array(self.place)] for side in (0, 1)
        )
        return self.centre + self.scale * mean, self.scale**2 * variance


@jax.jit
def moments_of(
    surface: Surface, x: Float[Array, "m p"]
) -> tuple[Float[Array, "m k"], Float[Array, "m k"]]:
    """Means and variances at points of the unit box."""
    return jax.vmap(surface.moments)(x)


@jax.jit
def slopes_of(surface: Surface, x: Float[Array, "m p"]) -> Float[Array, "m k p"]:
    """Exact slopes of the means by x."""
    return jax.vmap(jax.jacrev(surface.mean))(x)

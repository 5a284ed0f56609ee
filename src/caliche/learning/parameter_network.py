"""Parameters of many sites as a function of what is known of the sites, learned at all at once.

The second way to let a network in: physics stays as it is, and a network of site attributes (class
of vegetation, soil texture, leaf area) gives its parameters, as in Tsai et al. (2021),
doi:10.1038/s41467-021-26107-z. It is trained on the misfit of every site's model to its
observations, with gradients through the models, and can then be asked about a site without any.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from caliche.errors import InputError
from caliche.models.lad.neural_fluxes import Network
from caliche.parameters.space import ParameterSpace
from caliche.problems.inverse import InverseProblem
from caliche.wording import number_of


class ParameterNetwork(eqx.Module):
    """Control vector (P,) of a site from its attributes (attribute,).

    The space's bijections then keep every parameter within its bounds, and its prior is that of
    the space. An untrained network gives the first guess everywhere.

    Attributes
    ----------
    mean, sd : (attribute,) over the sites of training.
    space : whose free parameters the network gives.
    """

    network: Network
    mean: Float[Array, " attribute"]
    sd: Float[Array, " attribute"]
    space: ParameterSpace

    @staticmethod
    def build(
        space: ParameterSpace,
        attributes: Float[np.ndarray, "site attribute"] | Float[Array, "site attribute"],
        width: int = 16,
        depth: int = 1,
        seed: int = 0,
    ) -> ParameterNetwork:
        """An untrained network for sites with these attributes."""
        table = jnp.asarray(attributes)
        sd = jnp.std(table, axis=0)
        network = Network.build(table.shape[1], space.size, width, depth, jax.random.key(seed))
        biases = (*network.biases[:-1], space.initial())
        return ParameterNetwork(
            Network(network.weights, biases),
            jnp.mean(table, axis=0),
            jnp.where(sd > 0.0, sd, 1.0),
            space,
        )

    def __call__(self, attributes: Float[Array, " attribute"]) -> Float[Array, " parameter"]:
        return self.network((attributes - self.mean) / self.sd)

    def parameters(self, attributes: Any) -> dict[str, Float[Array, "..."]]:
        """Every parameter of the model by name at a site with these attributes."""
        return self.space.to_physical(self(jnp.asarray(attributes)))


@dataclass(frozen=True)
class TrainedParameters:
    """A trained network; `history` (epoch,) is the mean over sites of cost per observation."""

    network: ParameterNetwork
    history: np.ndarray


@jax.jit
def _cost_and_gradient(problem: InverseProblem, u: Array) -> tuple[Array, Array]:
    """Cost per observation and its gradient by u."""
    n = jnp.maximum(jnp.sum(problem.mask, dtype=jnp.float64), 1.0)
    return jax.value_and_grad(lambda v: problem.cost(v) / n)(u)


@jax.jit
def _controls(network: ParameterNetwork, attributes: Array) -> Array:
    return jax.vmap(network)(attributes)


@jax.jit
def _pull_back(network: Network, whole: ParameterNetwork, attributes: Array, by_u: Array) -> Any:
    """Gradient by the weights of a loss whose gradients by each site's u are known."""

    def along(weights: Network) -> Array:
        u = jax.vmap(eqx.tree_at(lambda n: n.network, whole, weights))(attributes)
        return jnp.sum(u * by_u)

    return jax.grad(along)(network)


def train_parameter_network(
    network: ParameterNetwork,
    problems: Sequence[InverseProblem],
    attributes: Float[np.ndarray, "site attribute"] | Float[Array, "site attribute"],
    epochs: int = 200,
    learning_rate: float = 0.02,
    callback: Callable[[int, float], None] | None = None,
) -> TrainedParameters:
    """Train a network on the misfits of several sites.

    Records may differ in length; each length compiles a program of its own. One epoch is one
    gradient over all sites and one step of Adam, whose rate falls to a hundredth along a cosine.

    Parameters
    ----------
    problems : one for each site, with the same free parameters.
    attributes : (site, attribute), any units.
    callback : called after each epoch with its number and the loss.

    Raises
    ------
    InputError : another number of sites than rows, or other free parameters at some site.
    """
    table = jnp.asarray(attributes)
    if len(problems) != len(table):
        raise InputError(
            f"attributes of {len(problems)} sites",
            number_of(len(table), "row"),
            "give one row for each",
        )
    for k, problem in enumerate(problems):
        if problem.space.names != network.space.names:
            raise InputError(
                f"the free parameters {', '.join(network.space.names)} at site {k}",
                ", ".join(problem.space.names),
                "free the same at every site",
            )
    optimiser: Any = optax.adam(optax.cosine_decay_schedule(learning_rate, epochs, alpha=0.01))
    weights: Any = network.network
    state = optimiser.init(weights)
    history = []
    for epoch in range(epochs):
        now = eqx.tree_at(lambda n: n.network, network, weights)
        each = [
            _cost_and_gradient(problem, u)
            for problem, u in zip(problems, _controls(now, table), strict=True)
        ]
        by_u = jnp.stack([gradient for _, gradient in each]) / len(problems)
        history.append(float(np.mean([float(cost) for cost, _ in each])))
        gradient = _pull_back(weights, network, table, by_u)
        with jax.numpy_dtype_promotion("standard"):  # optax mixes widths of numbers
            updates, state = optimiser.update(gradient, state, weights)
            weights = optax.apply_updates(weights, updates)
        if callback is not None:
            callback(epoch, history[-1])
    network = eqx.tree_at(lambda n: n.network, network, weights)
    return TrainedParameters(network, np.array(history))

"""The network of an emulated column: a linear map plus a multilayer perceptron, in scaled units."""

from __future__ import annotations

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from caliche.models.lad.neural_fluxes import Network

Vector = Float[Array, " _"]


class Scaling(NamedTuple):
    """Means and standard deviations that inputs or outputs are scaled with; none of them zero."""

    mean: Vector
    sd: Vector

    @staticmethod
    def of(values: Float[Array, "sample _"]) -> Scaling:
        """Of samples; what does not vary is only centred."""
        mean, sd = jnp.mean(values, axis=0), jnp.std(values, axis=0)
        return Scaling(mean, jnp.where(_still(mean, sd), 1.0, sd))

    def scaled(self, x: Array) -> Array:
        """Of physical values (..., n)."""
        mean, sd = (jnp.broadcast_to(a, x.shape) for a in self)
        return (x - mean) / sd

    def physical(self, z: Array) -> Array:
        """The inverse of `scaled`."""
        mean, sd = (jnp.broadcast_to(a, z.shape) for a in self)
        return mean + sd * z

    def directions(self, v: Array) -> Array:
        """Of physical differences or derivatives (..., n)."""
        return v / jnp.broadcast_to(self.sd, v.shape)


def _still(mean: Array, sd: Array) -> Array:
    """Which entries do not vary but for round-off."""
    return sd <= 1e-12 * jnp.abs(mean)


class Embedded(NamedTuple):
    """What the parameters alone give to the first layer (h,), and to the outputs (o,)."""

    hidden: Vector
    output: Vector


class StepNetwork(eqx.Module):
    """Outputs of a step: y = L z + N(z), with z the scaled inputs and y the scaled outputs.

    Inputs are the state, the weather of the step and the parameters, in this order; outputs the
    increments of the state, then the fluxes of the step. The linear part L is there because most of
    a step is linear in the state; N is a multilayer perceptron of width h with tanh between its
    layers, or nothing.

    Attributes
    ----------
    linear : (output, input).  deep : the perceptron; a single layer if the network is linear.
    inputs, outputs : scales, which are not learned.
    moving : (output,) 1, or 0 for outputs that never varied, such as snow where none fell: those
        stay what they were.
    n_parameters : so many of the inputs, the last ones, are parameters.
    """

    linear: Float[Array, "output input"]
    deep: Network
    inputs: Scaling
    outputs: Scaling
    moving: Float[Array, " output"]
    n_parameters: int = eqx.field(static=True)

    @staticmethod
    def build(
        inputs: Scaling, outputs: Scaling, n_parameters: int, width: int, depth: int, seed: int
    ) -> StepNetwork:
        """Random weights before a last layer of zeros; no perceptron at all if `depth` is 0."""
        n, m = len(inputs.mean), len(outputs.mean)
        deep = Network.build(n, m, width, depth, jax.random.key(seed))  # last layer: zeros
        return StepNetwork(jnp.zeros((m, n)), deep, inputs, outputs, jnp.ones(m), n_parameters)

    def moved_by(self, outputs: Float[Array, "sample output"]) -> StepNetwork:
        """The network with outputs held that do not vary among these."""
        still = _still(jnp.mean(outputs, axis=0), jnp.std(outputs, axis=0))
        return eqx.tree_at(lambda n: n.moving, self, jnp.where(still, 0.0, 1.0))

    def scaled(self, z: Vector) -> Vector:
        """Scaled outputs of scaled inputs."""
        return self.moving * (self.linear @ z + self.deep(z))

    def __call__(self, x: Vector) -> Vector:
        """Physical outputs of physical inputs."""
        return self.outputs.physical(self.scaled(self.inputs.scaled(x)))

    def embed(self, parameters: Vector) -> Embedded:
        """What the parameters contribute to every step, computed once."""
        n = self.n_parameters
        mean, sd = (part[len(part) - n :] for part in self.inputs)
        z = (parameters - mean) / sd
        first = self.deep.weights[0]
        cut = first.shape[1] - n
        return Embedded(first[:, cut:] @ z + self.deep.biases[0], self.linear[:, cut:] @ z)

    def step(self, embedded: Embedded, x: Vector) -> Vector:
        """Physical outputs of the state and the weather (physical), parameters embedded before."""
        n = len(x)
        z = (x - self.inputs.mean[:n]) / self.inputs.sd[:n]
        weights, biases = self.deep.weights, self.deep.biases
        y = weights[0][:, :n] @ z + embedded.hidden
        for weight, bias in zip(weights[1:], biases[1:], strict=True):
            y = weight @ jnp.tanh(y) + bias
        y = self.moving * (self.linear[:, :n] @ z + embedded.output + y)
        return self.outputs.physical(y)


def number_of_weights(network: StepNetwork) -> int:
    """Number of weights and biases that are learned."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves((network.linear, network.deep)))

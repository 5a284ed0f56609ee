"""Laws of turbulent fluxes with a neural network in them, for Land Dynamics.

Three ways to let a network in, after Bennett and Nijssen (2021), doi:10.1029/2020WR029328 (fluxes),
Zhao et al. (2019), doi:10.1029/2019GL085291 (resistances), and corrections of a law that is there:

- `flux`: sensible and latent heat are what the network says.
- `conductance`: it multiplies both conductances of bulk transfer by a factor of 1/20 to 20.
- `residual`: it adds to the fluxes of bulk transfer.

What evaporates never takes a store below zero, and ground heat is what is left over, so that water
and energy are conserved whatever the weights.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Literal, NamedTuple, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from caliche import constants
from caliche.models.base import Forcing, ParameterDeclaration, Params
from caliche.models.lad.fluxes import BulkFluxes, Conditions, FluxLaw
from caliche.models.lad.model import LaD
from caliche.models.lad.smooth_scheme import MOST_EVAPORATION, conditions_before
from caliche.models.lad.state import LaDState
from caliche.models.lad.tables import Cover
from caliche.models.loop.run import run
from caliche.models.loop.time_loop import cut
from caliche.physics import saturation
from caliche.physics.humidity import specific_humidity
from caliche.physics.switches import smooth_cap

Scalar = Float[Array, ""]
Kind = Literal["flux", "conductance", "residual"]
KINDS: tuple[str, ...] = get_args(Kind)

WEATHER = (
    "incoming shortwave",
    "incoming longwave",
    "air temperature",
    "humidity deficit of the air",
    "log of the wind speed",
    "log of the precipitation",
)
STATES = (
    "surface minus air temperature",
    "humidity deficit at the surface",
    "second layer minus surface temperature",
    "last layer minus air temperature",
    "filling of the root zone",
    "snow cover",
)
FLUX_SCALE = 200.0  # W m-2, what an output of 1 means to `flux`
CORRECTION_SCALE = 100.0  # W m-2, and to `residual`
LARGEST_LOG_FACTOR = 3.0  # of a conductance
SUPPLY_WIDTH = 0.1  # of the supply, within which evaporation comes to be limited by it
_RAIN = 1e-4  # kg m-2 s-1, from which on its logarithm counts


class Network(eqx.Module):
    """A multilayer perceptron with tanh between its layers, and none after the last.

    Written out so that all its leaves are arrays: a model that holds it goes through `jax.jit`.
    """

    weights: tuple[Float[Array, "_ _"], ...]
    biases: tuple[Float[Array, " _"], ...]

    @staticmethod
    def build(
        inputs: int, outputs: int, width: int, depth: int, key: Array, last: float = 0.0
    ) -> Network:
        """Random weights of variance 1 / inputs of a layer; those of the last times `last`.

        With `last` zero the network begins as zero, whatever comes in.
        """
        sizes = [inputs, *[width] * depth, outputs]
        keys = jax.random.split(key, depth + 1)
        weights = [
            jax.random.normal(k, (to, at), jnp.float64) * ((last if i == depth else 1.0) * at**-0.5)
            for i, (k, at, to) in enumerate(zip(keys, sizes[:-1], sizes[1:], strict=True))
        ]
        return Network(tuple(weights), tuple(jnp.zeros(to) for to in sizes[1:]))

    def __call__(self, x: Float[Array, " input"]) -> Float[Array, " output"]:
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = jnp.tanh(weight @ x + bias)
        return self.weights[-1] @ x + self.biases[-1]


class Held(NamedTuple):
    """What a law keeps for a step: inputs from the weather, and conductances of bulk transfer."""

    weather: tuple[Scalar, ...]
    conductances: tuple[Scalar, Scalar] | None = None


class HybridFluxes(FluxLaw):
    """Turbulent fluxes from a network, or from bulk transfer with a network in it.

    Inputs are the weather, and with `states` those of the column too: see `WEATHER`, `STATES`.
    They are standardised with `mean` and `sd`, which belong to the law and are not learned.

    Parameters
    ----------
    network : of 2 outputs, for sensible heat and for evaporation.
    mean, sd : (input,) of the inputs, from the weather and a run with bulk transfer.
    bulk : the law that `conductance` and `residual` start from.
    """

    network: Network
    mean: Float[Array, " input"]
    sd: Float[Array, " input"]
    bulk: BulkFluxes
    kind: Kind = eqx.field(static=True)
    states: bool = eqx.field(static=True)

    @staticmethod
    def build(
        kind: Kind, states: bool, bulk: BulkFluxes, width: int, depth: int, seed: int
    ) -> HybridFluxes:
        """A law with random weights. `conductance` and `residual` begin as bulk transfer."""
        size = len(WEATHER) + (len(STATES) if states else 0)
        last = 0.1 if kind == "flux" else 0.0
        network = Network.build(size, 2, width, depth, jax.random.key(seed), last)
        return HybridFluxes(network, jnp.zeros(size), jnp.ones(size), bulk, kind, states)

    @property
    def input_names(self) -> tuple[str, ...]:
        return (*WEATHER, *STATES) if self.states else WEATHER

    def declare(self, cover: Cover) -> tuple[ParameterDeclaration, ...]:
        return () if self.kind == "flux" else self.bulk.declare(cover)

    @property
    def forcing_variables(self) -> tuple[str, ...]:
        radiation = ("incoming_shortwave", "incoming_longwave", "precipitation")
        return (*radiation, *self.bulk.forcing_variables)

    def prepare(self, params: Params) -> dict[str, Scalar]:
        return {} if self.kind == "flux" else self.bulk.prepare(params)

    def hold(self, params: Params, conditions: Conditions, forcing: Forcing) -> Held:
        weather = self.weather(forcing)
        if self.kind == "flux":
            return Held(weather)
        conductances = self.bulk.hold(params, conditions, forcing)
        if self.kind == "residual":
            return Held(weather, conductances)
        # Like the transfer coefficient, factors belong to the temperature at the step's start.
        held = Held(weather)
        logs = self._outputs(conditions.temperatures[0], conditions._replace(held=held), forcing)
        most = LARGEST_LOG_FACTOR
        heat, moist = (
            conductance * jnp.exp(most * jnp.tanh(log / most))
            for conductance, log in zip(conductances, logs, strict=True)
        )
        return Held(weather, (heat, moist))

    def __call__(
        self, params: Params, surface_temperature: Scalar, conditions: Conditions, forcing: Forcing
    ) -> tuple[Scalar, Scalar]:
        sensible = evaporation = jnp.zeros(())
        if self.kind != "flux":
            own = conditions._replace(held=conditions.held.conductances)
            sensible, evaporation = self.bulk(params, surface_temperature, own, forcing)
        if self.kind != "conductance":
            scale = FLUX_SCALE if self.kind == "flux" else CORRECTION_SCALE
            first, second = self._outputs(surface_temperature, conditions, forcing)
            # A correction goes with the evaporation that it corrects: none without water.
            share = conditions.wetness if self.kind == "residual" else 1.0
            sensible = sensible + scale * first
            evaporation = (
                evaporation + (scale / constants.LATENT_HEAT_VAPORISATION) * share * second
            )
        return sensible, limited(evaporation, conditions.wetness)

    def inputs(
        self, surface_temperature: Scalar, conditions: Conditions, forcing: Forcing
    ) -> tuple[Scalar, ...]:
        """What goes into the network, before it is standardised; see `input_names`."""
        weather = conditions.held.weather
        if not self.states:
            return weather
        layers, air = conditions.temperatures, forcing["air_temperature"]
        return (
            *weather,
            surface_temperature - air,
            _saturated(surface_temperature, forcing) - forcing["specific_humidity"],
            layers[min(1, len(layers) - 1)] - surface_temperature,
            layers[-1] - air,
            conditions.saturation,
            conditions.snow_cover,
        )

    def weather(self, forcing: Forcing) -> tuple[Scalar, ...]:
        """Inputs from the weather alone."""
        air = forcing["air_temperature"]
        wind = forcing["wind_speed"] ** 2 + max(self.bulk.gustiness, 0.1) ** 2
        return (
            forcing["incoming_shortwave"],
            forcing["incoming_longwave"],
            air,
            _saturated(air, forcing) - forcing["specific_humidity"],
            0.5 * jnp.log(wind),
            jnp.log1p(forcing["precipitation"] / _RAIN),
        )

    def _outputs(
        self, surface_temperature: Scalar, conditions: Conditions, forcing: Forcing
    ) -> tuple[Scalar, Scalar]:
        raw = jnp.stack(self.inputs(surface_temperature, conditions, forcing))
        found = self.network((raw - self.mean) / self.sd)
        return found[0], found[1]


def limited(evaporation: Scalar, wetness: Scalar) -> Scalar:
    """Evaporation of at most what the stores supply: `MOST_EVAPORATION` times the wetness.

    Snow and root zone count as wet only as far as they could supply that for a whole step. Dew
    passes.
    """
    supply = MOST_EVAPORATION * wetness
    return supply * smooth_cap(evaporation / supply, SUPPLY_WIDTH)


def _saturated(temperature: Scalar, forcing: Forcing) -> Scalar:
    """Specific humidity of saturated air; held where no network meets a temperature in practice."""
    bounded = jnp.clip(temperature, 210.0, 350.0)
    vapour = saturation.saturation_vapour_pressure(bounded)
    return specific_humidity(vapour, forcing["air_pressure"])


def standardised(model: LaD, params: Params, forcing: Forcing) -> LaD:
    """The model with its law's inputs standardised over a run with bulk transfer.

    Parameters
    ----------
    model : with a `HybridFluxes`.
    params : of the model; parameters of bulk transfer that it has not are at their defaults.
    forcing : (time + 1,) each.
    """
    law = model.fluxes
    assert isinstance(law, HybridFluxes)
    bulk = dataclasses.replace(model, fluxes=None)
    defaults = {d.name: jnp.asarray(d.default) for d in bulk.declarations}
    raw = _inputs_along(bulk, law, {**defaults, **params}, dict(forcing))
    mean, sd = jnp.mean(raw, axis=0), jnp.std(raw, axis=0)
    # An input that does not vary says nothing; it is only centred.
    sd = jnp.where(sd > 1e-9, sd, 1.0)
    return dataclasses.replace(model, fluxes=dataclasses.replace(law, mean=mean, sd=sd))


@jax.jit
def _inputs_along(
    model: LaD, law: HybridFluxes, params: Params, forcing: Forcing
) -> Float[Array, "time input"]:
    """Inputs of the network in each step of a run."""
    values = {d.name: params[d.name] for d in model.declarations}
    prepared = model.prepare(values)
    first, rest = cut(forcing)

    def step(state: LaDState, now: Forcing) -> tuple[LaDState, Array]:
        after = model.step(prepared, state, now)[0]
        conditions, _ = conditions_before(prepared, state, state.snow)
        conditions = conditions._replace(held=Held(law.weather(now)))
        surface = prepared.constants.freezing_point + after.temperatures[0]
        return after, jnp.stack(law.inputs(surface, conditions, now))

    return run(step, model.init_state(prepared, first), rest)[1]


def number_of_weights(network: Network) -> int:
    """Number of weights and biases."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(network))

"""What a network of a column learns from: steps, their derivatives and runs of the exact model."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.column_networks import weather
from caliche.emulators.box import Box
from caliche.emulators.design import latin_hypercube
from caliche.errors import InputError
from caliche.models.base import Params
from caliche.models.emulated.model import Trained
from caliche.models.emulated.network import Scaling
from caliche.models.emulated.view import ColumnView, exact_step
from caliche.models.loop.run import run
from caliche.parameters.space import ParameterSpace
from caliche.wording import number_of

CHUNK = 2048  # samples of a compiled call
SHIFTED = 0.5  # at most, the share of another two states' difference that is added beside
NOISE = 0.05  # white noise of those states, in standard deviations of each entry
AT_START = "initial_"  # parameters with this start of their name belong to the start alone


@dataclass(frozen=True)
class DataSettings:
    """How much to learn from.

    runs, days : of the exact model, and their length.  samples : single steps, each with one
    directional derivative.  rollout : steps of the runs that the network has to follow.
    beside : share of the samples whose state is not on a trajectory but beside one.
    """

    runs: int = 64
    days: float = 15.0
    samples: int = 20_000
    rollout: int = 48
    beside: float = 0.5
    seed: int = 0


class Steps(NamedTuple):
    """Single steps.

    x : (sample, input) state, weather and parameters.  y : (sample, output) increments and fluxes.
    v : (sample, input) a direction, and jv : (sample, output) the derivative of y along it.
    """

    x: Array
    y: Array
    v: Array
    jv: Array


class Runs(NamedTuple):
    """Runs of the exact model from states on its trajectories.

    parameters : (run, parameter) those that are inputs.  forcing : (run, step, variable).
    states : (run, step + 1, state).
    """

    parameters: Array
    forcing: Array
    states: Array


class Data(NamedTuple):
    """What is learned from, or what is held out: other weather and other parameters."""

    steps: Steps
    runs: Runs


@dataclass(frozen=True)
class Material:
    """All that training needs: the column, the parameters that are inputs, and the data."""

    view: ColumnView
    trained: Trained
    learned: Data
    held_out: Data
    constants: Mapping[str, float]

    @property
    def scales(self) -> tuple[Scaling, Scaling]:
        """Scales of inputs and outputs, from what is learned from."""
        return Scaling.of(self.learned.steps.x), Scaling.of(self.learned.steps.y)


class _Split(NamedTuple):
    """Runs of the exact model with their parameters by name (run,) and weather (run, step + 1)."""

    params: dict[str, Array]
    forcing: dict[str, Array]
    states: Array  # (run, step + 1, state)


def prepare_material(
    view: ColumnView,
    space: ParameterSpace,
    box: Box,
    records: Sequence[Mapping[str, np.ndarray]],
    settings: DataSettings,
    tell: Callable[[str], None] | None = None,
) -> Material:
    """Run the exact model over its parameters and the weather of the records.

    Raises
    ------
    InputError : parameters that vary in time; too little weather; runs that fail.
    """
    if space.variations:
        raise InputError(
            "constant parameters to learn a step with",
            f"{', '.join(space.variations)} vary in time",
            "leave the variation out",
        )
    say = tell or (lambda text: None)
    step = view.model.time_step
    stretches = weather.cut(records, step)
    steps = max(round(settings.days * weather.DAY / step), settings.rollout + 1)
    parts = []
    for held_out in (False, True):
        number = max(settings.runs // 4, 8) if held_out else settings.runs
        random = np.random.default_rng([settings.seed, int(held_out)])
        say(f"running the exact model, {number_of(number, 'run')}")
        u = latin_hypercube(number, box, settings.seed + int(held_out))
        every = jax.vmap(space.to_physical)(jnp.asarray(u))
        params = {d.name: every[d.name] for d in view.model.declarations}  # without nuisances
        made = weather.weather(stretches, held_out, number, steps, random)
        forcing = {n: jnp.asarray(made[n]) for n in view.model.forcing_variables}
        states = _trajectories(view, params, forcing)
        if not bool(jnp.isfinite(states).all()):
            raise InputError(
                "runs of the exact model that do not fail over the ranges of the parameters",
                f"{int((~jnp.isfinite(states).all((1, 2))).sum())} of "
                f"{number_of(number, 'run')} that did",
                "narrow the priors, or run caliche check",
            )
        parts.append((_Split(params, forcing, states), random))
    trained, constants = _inputs(space, box, parts[0][0].params)
    names = trained.names
    spread = jnp.std(parts[0][0].states, axis=(0, 1))
    data = []
    for (split, random), held_out in zip(parts, (False, True), strict=True):
        count = max(settings.samples // 5, 64) if held_out else settings.samples
        say(f"{number_of(count, 'step')} with derivatives")
        steps_of = _samples(view, trained, constants, split, spread, count, random, settings.beside)
        data.append(Data(steps_of, _runs(names, split, settings.rollout, random)))
    return Material(view, trained, data[0], data[1], constants)


def named(trained: Trained, constants: Mapping[str, float], values: Array) -> Params:
    """Every parameter of the model by name, from the values (parameter,) of the inputs."""
    fixed = {name: jnp.asarray(value) for name, value in constants.items()}
    return {**fixed, **dict(zip(trained.names, values, strict=True))}


def directions(
    random: np.random.Generator, x: np.ndarray, sd: np.ndarray, held: np.ndarray
) -> np.ndarray:
    """Directions (sample, input) along which derivatives are taken, in the units of x.

    Half of them are differences of two samples, so that they have the covariance of the data, and
    half point anywhere; all have the length 1 in standard deviations. `held` inputs never vary.
    """
    n = len(x)
    z = (x[random.permutation(n)] - x[random.permutation(n)]) / sd
    anywhere = random.standard_normal(x.shape)
    v = np.where((np.arange(n) % 2 == 0)[:, None], z, anywhere)
    v[:, held] = 0.0
    length = np.linalg.norm(v, axis=1, keepdims=True)
    return v / np.where(length > 0.0, length, 1.0) * sd


def differentiated(
    view: ColumnView,
    trained: Trained,
    constants: Mapping[str, float],
    x: np.ndarray,
    v: np.ndarray,
) -> Steps:
    """Exact steps at inputs x (sample, input), and derivatives along v (sample, input).

    States are moved to where they can be first.
    """
    fixed = tuple(constants.items())
    parts = [
        _exact(view, trained, fixed, jnp.asarray(a), jnp.asarray(b))
        for a, b in zip(_chunks(x), _chunks(v), strict=True)
    ]
    return Steps(*(jnp.concatenate(part)[: len(x)] for part in zip(*parts, strict=True)))


def _inputs(space: ParameterSpace, box: Box, params: Mapping[str, Array]) -> tuple[Trained, dict]:
    """Which parameters are inputs, and the values of all others."""
    ends = [space.to_physical(jnp.asarray(u)) for u in (box.lower, box.upper)]
    inputs, constants = [], {}
    for name, values in params.items():
        if float(jnp.ptp(values)) == 0.0 or name.startswith(AT_START):
            constants[name] = float(values[0])
        else:
            low, high = sorted(float(end[name]) for end in ends)
            inputs.append((name, low, high))
    fixed = {n: v for n, v in constants.items() if not n.startswith(AT_START)}
    return Trained(tuple(inputs), tuple(fixed.items())), constants


@jax.jit
def _trajectories(
    view: ColumnView, params: dict[str, Array], forcing: dict[str, Array]
) -> Float[Array, "run time state"]:
    """States (run, step + 1, state) of the exact model from its own start."""

    def one(params: dict[str, Array], forcing: dict[str, Array]) -> Array:
        prepared = view.model.prepare(params)
        first = {n: v[0] for n, v in forcing.items()}
        start = view.model.init_state(prepared, first)

        def step(state, now):
            state = view.model.step(prepared, state, now)[0]
            return state, view.read(prepared, state)

        _, states = run(step, start, {n: v[1:] for n, v in forcing.items()})
        return jnp.concatenate([view.read(prepared, start)[None], states])

    return jax.vmap(one)(params, forcing)


def _runs(names: Sequence[str], split: _Split, length: int, random: np.random.Generator) -> Runs:
    """Pieces of the trajectories, a few of each run."""
    runs, times = split.states.shape[:2]
    each = 4
    which = np.repeat(np.arange(runs), each)
    begin = random.integers(0, times - length, runs * each)
    where = begin[:, None] + np.arange(length + 1)
    stacked = jnp.stack(list(split.forcing.values()), axis=-1)
    parameters = jnp.stack([split.params[n] for n in names], axis=-1)
    return Runs(
        parameters[which],
        stacked[which[:, None], where[:, 1:]],
        split.states[which[:, None], where],
    )


def _samples(
    view: ColumnView,
    trained: Trained,
    constants: Mapping[str, float],
    split: _Split,
    spread: Array,
    count: int,
    random: np.random.Generator,
    share: float,
) -> Steps:
    """Single steps from states on the trajectories and beside them, with parameters of any run."""
    states = np.asarray(split.states)
    runs, times = states.shape[:2]
    forcing = np.stack([np.asarray(v) for v in split.forcing.values()], axis=-1)
    own = np.stack([np.asarray(split.params[k]) for k in trained.names], axis=-1)

    def drawn() -> tuple[np.ndarray, np.ndarray]:
        return random.integers(0, runs, count), random.integers(0, times - 1, count)

    run_of, time_of = drawn()
    s, f = states[run_of, time_of], forcing[run_of, time_of + 1]
    beside = random.random(count) < share
    shift = SHIFTED * random.random((count, 1)) * (states[drawn()] - states[drawn()])
    noise = NOISE * np.asarray(spread) * random.standard_normal(s.shape)
    s = s + np.where(beside[:, None], shift + noise, 0.0)
    elsewhere = random.random(count) < 0.5
    p = np.where(elsewhere[:, None], _between(own, random, count), own[run_of])
    x = np.concatenate([s, f, p], axis=1)
    sd = np.asarray(Scaling.of(jnp.asarray(x)).sd)
    held = np.ptp(x, axis=0) == 0.0
    v = directions(random, x, sd, held)
    steps = differentiated(view, trained, constants, x, v)
    x, y, v, jv = (np.asarray(a) for a in steps)
    fine = np.isfinite(y).all(1) & np.isfinite(jv).all(1)
    return Steps(*(jnp.asarray(a[fine]) for a in (x, y, v, jv)))


def _between(own: np.ndarray, random: np.random.Generator, count: int) -> np.ndarray:
    """Parameters drawn one by one from the runs' range."""
    low, high = own.min(0), own.max(0)
    return low + (high - low) * random.random((count, own.shape[1]))


def _chunks(a: np.ndarray) -> list[np.ndarray]:
    """Equal chunks of rows, the last filled up with the first row."""
    short = -len(a) % CHUNK
    whole = np.concatenate([a, np.repeat(a[:1], short, axis=0)])
    return list(whole.reshape(-1, CHUNK, a.shape[1]))


@functools.partial(jax.jit, static_argnums=(1, 2))
def _exact(
    view: ColumnView, trained: Trained, constants: tuple, x: Array, v: Array
) -> tuple[Array, Array, Array, Array]:
    """Inputs as they can be, outputs of the exact step, directions, derivatives along them."""
    n, m = len(view.states), len(view.model.forcing_variables)

    def outputs(x: Array) -> Array:
        params = named(trained, dict(constants), x[n + m :])
        forcing = dict(zip(view.model.forcing_variables, x[n : n + m], strict=True))
        return jnp.concatenate(exact_step(view, params, x[:n], forcing))

    def one(x: Array, v: Array) -> tuple[Array, Array, Array, Array]:
        params = named(trained, dict(constants), x[n + m :])
        x = x.at[:n].set(view.possible(params, x[:n]))
        y, jv = jax.jvp(outputs, (x,), (v,))
        return x, y, v, jv

    return jax.vmap(one)(x, v)

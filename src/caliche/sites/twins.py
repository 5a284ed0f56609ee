"""A collection whose truth is known: weather made up and observations simulated for every site."""

from __future__ import annotations

from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array

from caliche.errors import InputError
from caliche.experiments.experiment import BOTTOM, Experiment
from caliche.problems.inverse import InverseProblem
from caliche.variables import variable

BEGIN = np.datetime64("2000-06-01T00:00:00", "ns")
TRUTH = "truth_"  # before the name of a parameter


def synthetic(
    experiment: Experiment | InverseProblem,
    n_sites: int,
    seed: int = 0,
    steps: int = 480,
    spread: float = 0.3,
    noise: bool = True,
) -> xr.Dataset:
    """A twin collection (site, time) in memory, as `estimate_sites` reads it.

    Every site has weather and parameters of its own: the parameters are scattered about the first
    guess, by `spread` in whitened coordinates, and stand in the variables `truth_<parameter>`. Site
    k is the same whatever the number of sites.

    Parameters
    ----------
    experiment : or a problem, which needs no measured bottom temperature.
    steps : length of the record in time steps.
    noise : whether to add white noise of each stream's sigma.
    """
    measured = isinstance(experiment, Experiment)
    problem = experiment.blank_problem(steps + 1) if measured else _of_length(experiment, steps + 1)
    sources = experiment.forcing_sources if measured else {n: n for n in problem.forcing}
    if not measured and BOTTOM in sources:
        raise InputError(
            "an experiment, which says what measures the bottom", "a problem", "pass the experiment"
        )
    initial = experiment.initial_streams if measured else []
    generators = [np.random.default_rng([seed, k]) for k in range(n_sites)]
    space, time_step = problem.space, float(problem.model.time_step)  # type: ignore[attr-defined]
    central = np.asarray(space.initial())
    scatter = np.stack([g.standard_normal(len(central)) for g in generators])
    u = jnp.asarray(central + spread * scatter)
    truth = np.asarray(jax.jit(jax.vmap(space.vector))(u))
    mean = _mean_temperature(problem, truth)
    days = np.arange(steps + 1) * time_step / 86400.0
    weather = [_weather(days, m, g) for m, g in zip(mean, generators, strict=True)]
    forcing = {name: np.stack([w[name] for w in weather]) for name in problem.forcing}
    knots = None
    if initial:
        knots = mean[:, None] + np.stack([g.normal(0.0, 1.0, len(initial)) for g in generators])
    perfect = np.asarray(
        _predict(
            problem,
            u,
            {k: jnp.asarray(v) for k, v in forcing.items()},
            None if knots is None else jnp.asarray(knots),
        )
    )
    sigma = np.asarray(problem.observations.sigma)
    error = np.stack([g.standard_normal(perfect.shape[1:]) for g in generators]) * sigma
    observed = perfect + error if noise else perfect
    data = {sources[name]: values for name, values in forcing.items()}
    data |= {s.name: observed[:, :, k] for k, s in enumerate(problem.operator.streams)}
    if knots is not None:  # measured at the start, and later too where it is fitted
        for k, name in enumerate(initial):
            data.setdefault(name, np.full((n_sites, steps + 1), np.nan))[:, 0] = knots[:, k]
    return _dataset(data, problem, truth, time_step)


def _of_length(problem: InverseProblem, n_time: int) -> InverseProblem:
    """A problem with blank forcing of so many times."""
    blank = {name: jnp.zeros(n_time) for name in problem.forcing}
    return eqx.tree_at(lambda p: p.forcing, problem, blank)


def _mean_temperature(problem: InverseProblem, truth: np.ndarray) -> np.ndarray:
    """Mean temperature (site,), K: that of the deep soil where it is a parameter."""
    for name in ("bottom_temperature", "initial_temperature"):
        if name in problem.space.names:
            return truth[:, problem.space.names.index(name)]
        if name in problem.space.fixed:
            return np.full(len(truth), float(problem.space.fixed[name]))
    return np.full(len(truth), 288.0)


def _weather(
    days: np.ndarray, mean: float, generator: np.random.Generator
) -> dict[str, np.ndarray]:
    """Smooth days with clouds, warm and cold spells: every forcing (time,) by name."""

    def slow(period: float) -> np.ndarray:
        """A random series of unit size that varies over so many days."""
        knots = np.arange(0.0, days[-1] + 2.0 * period, period)
        return np.interp(days, knots, generator.standard_normal(len(knots)))

    clock = 2.0 * np.pi * (days - generator.uniform(-0.02, 0.02))
    height = np.maximum(-np.cos(clock), 0.0)
    clear = np.clip(0.7 + 0.3 * slow(0.5), 0.1, 1.0)
    air = mean - 1.0 + 3.0 * slow(3.0) - generator.uniform(3.0, 6.0) * np.cos(clock - 0.6)
    return {
        "incoming_shortwave": generator.uniform(650.0, 850.0) * height * clear,
        "incoming_longwave": 5.67e-8 * air**4 * (0.92 - 0.17 * clear),
        "air_temperature": air,
        "specific_humidity": np.clip(0.007 + 0.0015 * slow(2.0), 0.002, 0.02),
        "air_pressure": 98000.0 + 600.0 * slow(3.0),
        "wind_speed": np.clip(3.5 + 1.2 * slow(0.4), 0.5, None),
        BOTTOM: mean + 0.3 * slow(6.0),
    }


@jax.jit
def _predict(
    problem: InverseProblem, u: Array, forcing: Mapping[str, Array], knots: Array | None
) -> Array:
    """Predictions (site, time + 1, stream), one site after the other."""

    def one(site: tuple) -> Array:
        u, forcing, knots = site
        moved = eqx.tree_at(lambda p: p.forcing, problem, dict(forcing))
        if knots is not None:
            moved = eqx.tree_at(lambda p: p.model.initial_values, moved, knots)
        return moved.forward(u)

    return jax.lax.map(one, (u, forcing, knots), batch_size=16)


def _dataset(
    data: Mapping[str, np.ndarray], problem: InverseProblem, truth: np.ndarray, time_step: float
) -> xr.Dataset:
    n_sites, n_time = next(iter(data.values())).shape
    step = np.timedelta64(round(time_step * 1e9), "ns")
    dataset = xr.Dataset(
        coords={
            "site": np.array([f"twin {k}" for k in range(n_sites)], dtype=object),
            "time": BEGIN + step * np.arange(n_time),
        },
        attrs={"title": "twin sites made by caliche"},
    )
    for name, values in data.items():
        entry = variable(name)
        attributes = {"units": entry.unit, "long_name": entry.long_name}
        dataset[name] = (("site", "time"), values, attributes)
    for k, p in enumerate(problem.space.free):
        attributes = {"units": p.declaration.unit, "long_name": f"true {p.declaration.long_name}"}
        dataset[TRUTH + p.name] = ("site", truth[:, k], attributes)
    return dataset

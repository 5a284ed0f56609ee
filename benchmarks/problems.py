"""The benchmark problem: SoilHeat set up as the C kernel is, and one site-year of observations.

A column of 1 m with `layers` equal cells, a surface without mass, no heat flux at the bottom;
soil temperature of two depths every half hour with 0.3 K of noise; five free parameters.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from benchmarks.forcing import NAMES, STEP, STEPS_PER_DAY, site_forcing
from benchmarks.yardstick import Column
from caliche import InverseProblem, SoilHeat
from caliche.constants import STEFAN_BOLTZMANN
from caliche.models.base import Forcing, Params
from caliche.models.soil_heat.closures import BULK_TRANSFER, TurbulentClosure
from caliche.observations import Observations, Stream, make_operator
from caliche.parameters.priors import Flat, Prior
from caliche.parameters.space import ParameterSpace, free_parameter
from caliche.parameters.variation import Variation, random_walk
from caliche.physics.humidity import saturation_vapour_pressure_polynomial
from caliche.variables import stream_name

# The kernel's numbers. Its eps sigma is 0.97 * 5.67e-8; sigma is CODATA's here, which the
# emissivity makes up for, and the incoming longwave is scaled so that 0.97 of it is absorbed.
KERNEL_ABSORPTION = 0.97
EMISSIVITY = KERNEL_ABSORPTION * 5.67e-8 / STEFAN_BOLTZMANN
AIR_DENSITY, HEAT_CAPACITY_OF_AIR, LATENT_HEAT = 1.2, 1005.0, 2.5e6  # kg m-3, J kg-1 K-1, J kg-1
AIR_PRESSURE = 1e5  # Pa, for the package's own closure
INITIAL_TEMPERATURE = 283.0  # K
SIGMA = 0.3  # K
DEPTHS = (0.075, 0.225)  # m, about where they are observed: the centres of the cells there

# In the order of the kernel's theta.
TRUTH = {
    "thermal_conductivity": 1.0,
    "volumetric_heat_capacity": 2.0e6,
    "albedo": 0.2,
    "bulk_transfer_coefficient": 4e-3,
    "moisture_availability": 0.3,
}
LOGARITHMIC = np.array([True, True, False, True, False])
# The calibration starts this far from the truth, in theta (shared/science/performance.md).
PERTURBATION = np.array([0.4, -0.3, 0.1, -0.4, 0.2])
PRIORS: Mapping[str, Prior] = {
    "thermal_conductivity": Flat(0.0, scale=1.0),
    "volumetric_heat_capacity": Flat(0.0, scale=2e6),
    "albedo": Flat(0.01, 0.9),
    "bulk_transfer_coefficient": Flat(0.0, scale=4e-3),
    "moisture_availability": Flat(0.0, 1.0),
}


def _bolton(temperature: Array) -> Array:
    """The kernel's saturation humidity at 1000 hPa (kg kg-1), Bolton (1980): an exponential."""
    return 0.622e-5 * 611.2 * jnp.exp(17.67 * (temperature - 273.15) / (temperature - 29.65))


def _polynomial(temperature: Array) -> Array:
    """The same from the package's polynomial, 0.1 % from Bolton's."""
    return 0.622e-5 * saturation_vapour_pressure_polynomial(temperature)


def _fluxes(saturation: Callable[[Array], Array], params: Params, warm: Array, forcing: Forcing):
    """The C kernel's bulk transfer: constant air density, fixed pressure."""
    conductance = AIR_DENSITY * params["bulk_transfer_coefficient"] * forcing["wind_speed"]
    deficit = saturation(warm) - forcing["specific_humidity"]
    sensible = HEAT_CAPACITY_OF_AIR * conductance * (warm - forcing["air_temperature"])
    return sensible, LATENT_HEAT * params["moisture_availability"] * conductance * deficit


_READS = ("air_temperature", "wind_speed", "specific_humidity")
# The kernel digit by digit, and as the package would write it: what is timed.
KERNEL_CLOSURE, TIMED_CLOSURE = (
    TurbulentClosure(
        name, functools.partial(_fluxes, saturation), BULK_TRANSFER.declarations, _READS
    )
    for name, saturation in (("kernel", _bolton), ("kernel-polynomial", _polynomial))
)


def observed_cells(layers: int) -> tuple[int, int]:
    """Indices of the cells that are observed."""
    first, second = (int(depth * layers) for depth in DEPTHS)
    return first, second


def make_model(
    layers: int = 20,
    scheme: str = "backward-euler",
    closure: TurbulentClosure = TIMED_CLOSURE,
    solver: str = "modal",
) -> SoilHeat:
    """The kernel's column: nodes in the middle of cells, and one without mass at the surface."""
    faces = np.linspace(0.0, 1.0, layers + 1)
    return SoilHeat(
        np.concatenate([[0.0], 0.5 * (faces[1:] + faces[:-1])]),
        STEP,
        scheme=scheme,
        turbulence=closure,
        bottom="zero-flux",
        initial="uniform",
        cell_faces=np.concatenate([[0.0], faces]),
        solver=solver,
    )


@dataclass(frozen=True)
class Setup:
    """A benchmark problem and the same thing for the C kernel.

    problem : ours.  truth, start : control vectors (P,).
    forcing : (time, 5) as the kernel wants it.  observed : (time, 2), K.
    column : how the kernel is run.
    """

    problem: InverseProblem
    truth: Float[Array, " parameter"]
    start: Float[Array, " parameter"]
    forcing: np.ndarray
    observed: np.ndarray
    column: Column

    @property
    def steps(self) -> int:
        return len(self.forcing)

    def theta(self, u: Array) -> np.ndarray:
        """The kernel's parameters (5,) at a control vector."""
        return to_theta(self.problem.space, u)


def to_theta(space: ParameterSpace, u: Array) -> np.ndarray:
    """The kernel's parameters (5,): logarithms of three of them, in its own order."""
    values = space.to_physical(u)
    theta = np.array([float(values[name]) for name in TRUTH])
    theta[LOGARITHMIC] = np.log(theta[LOGARITHMIC])
    return theta


def from_theta(space: ParameterSpace, theta: np.ndarray) -> Float[Array, " parameter"]:
    """The control vector at the kernel's parameters (5,)."""
    values = np.where(LOGARITHMIC, np.exp(np.where(LOGARITHMIC, theta, 0.0)), theta)
    return space.to_whitened(dict(zip(TRUTH, values.tolist(), strict=True)))


def theta_slopes(space: ParameterSpace, u: Array) -> np.ndarray:
    """Derivative (5, P) of the kernel's parameters by the control vector."""
    values = space.to_physical(u)
    slopes = jax.jacfwd(lambda v: jnp.stack([space.to_physical(v)[name] for name in TRUTH]))(u)
    physical = np.array([float(values[name]) for name in TRUTH])
    return np.asarray(slopes) / np.where(LOGARITHMIC, physical, 1.0)[:, None]


def model_forcing(raw: Mapping[str, np.ndarray], model: SoilHeat) -> dict[str, Array]:
    """The forcing that a model reads, from that of `site_forcing`; arrays (..., time + 1)."""
    longwave = raw["incoming_longwave"] * KERNEL_ABSORPTION / EMISSIVITY
    pressure = np.full_like(longwave, AIR_PRESSURE)
    every = {**raw, "incoming_longwave": longwave, "air_pressure": pressure}
    return {name: jnp.asarray(every[name]) for name in model.forcing_variables}


def kernel_forcing(raw: Mapping[str, np.ndarray]) -> np.ndarray:
    """The forcing (time, 5) that the C kernel reads; it has no entry for time zero."""
    return np.ascontiguousarray(np.stack([raw[name][1:] for name in NAMES], axis=1))


def make_space(
    model: SoilHeat, variations: Mapping[str, Variation] | None = None
) -> ParameterSpace:
    declared = {d.name: d for d in model.declarations}
    free = {n: free_parameter(declared[n], PRIORS[n], initial=TRUTH[n]) for n in TRUTH}
    fixed = {"emissivity": EMISSIVITY, "initial_temperature": INITIAL_TEMPERATURE}
    return ParameterSpace.build(model.declarations, free, fixed, variations)


def problem_without_data(
    model: SoilHeat, raw: Mapping[str, np.ndarray], depths: Sequence[float]
) -> InverseProblem:
    """The inverse problem with zeros for observations, none of them at time zero."""
    steps = len(raw["air_temperature"]) - 1
    streams = [Stream(stream_name("soil_temperature", depth)) for depth in depths]
    blank = np.zeros(steps + 1)
    blank[0] = np.nan  # the kernel does not compare the initial state
    observations = Observations.from_series(
        {stream.name: blank for stream in streams}, {stream.name: SIGMA for stream in streams}
    )
    return InverseProblem(
        model,
        model_forcing(raw, model),
        make_operator(model, streams),
        observations,
        make_space(model),
    )


@eqx.filter_jit
def predict(problem: InverseProblem, u: Array) -> Array:
    """What a problem predicts (time + 1, stream), compiled once for problems of one shape."""
    return problem.forward(u)


def with_values(problem: InverseProblem, values: Array) -> InverseProblem:
    """The problem with other observed values (time + 1, stream)."""
    return eqx.tree_at(lambda p: p.observations.values, problem, values)


@functools.lru_cache(maxsize=8)
def make_setup(
    steps: int,
    layers: int = 20,
    scheme: str = "backward-euler",
    closure: TurbulentClosure = TIMED_CLOSURE,
    in_block: bool = False,
) -> Setup:
    """The benchmark problem over so many half-hours, with twin observations.

    `in_block` sets it up as one of many that are evaluated together under vmap.
    """
    model = make_model(layers, scheme, closure, "elimination" if in_block else "modal")
    raw = site_forcing(steps)
    cells = observed_cells(layers)
    nodes = [model.node_depths[cell + 1] for cell in cells]
    empty = problem_without_data(model, raw, nodes)
    truth = from_theta(empty.space, _truth())
    start = from_theta(empty.space, _truth() + PERTURBATION)
    empty = replace(empty, in_block=in_block)
    noise = np.random.default_rng(7).normal(0.0, SIGMA, (steps + 1, 2))
    values = np.asarray(predict(empty, truth)) + noise
    return Setup(
        with_values(empty, jnp.asarray(values)),
        truth,
        start,
        kernel_forcing(raw),
        np.ascontiguousarray(values[1:]),
        Column(layers, STEP, INITIAL_TEMPERATURE, cells),
    )


def varying(setup: Setup, name: str, knots: int) -> InverseProblem:
    """The benchmark problem with a parameter that follows a straight line from knot to knot."""
    days = np.arange(setup.steps + 1) / STEPS_PER_DAY
    at = np.linspace(0.0, days[-1], knots)
    variation = random_walk(days, at.tolist(), [str(k) for k in range(knots)], "linear", 0.01)
    model = setup.problem.model.for_varying([name])
    return replace(setup.problem, model=model, space=make_space(model, {name: variation}))


def with_initial(problem: InverseProblem, u: Array) -> InverseProblem:
    """The problem with its first guess at a control vector."""
    values = problem.space.to_physical(u)
    free = tuple(replace(p, initial=float(values[p.name])) for p in problem.space.free)
    return replace(problem, space=replace(problem.space, free=free))


def _truth() -> np.ndarray:
    truth = np.array(list(TRUTH.values()))
    truth[LOGARITHMIC] = np.log(truth[LOGARITHMIC])
    return truth


# -- many members, many sites --------------------------------------------------------------------


def draw_members(setup: Setup, number: int, spread: float = 0.1) -> Float[Array, "member p"]:
    """Control vectors near the truth, the same every time."""
    noise = np.random.default_rng(11).normal(0.0, spread, (number, len(setup.truth)))
    return setup.truth + jnp.asarray(noise)


def members_theta(setup: Setup, u: Float[Array, "member p"]) -> np.ndarray:
    """The kernel's parameters (5, member)."""
    return np.ascontiguousarray(np.stack([setup.theta(row) for row in u], axis=1))


@dataclass(frozen=True)
class Sites:
    """Sites with weather and observations of their own, stacked.

    forcing : name -> (site, time + 1), as the model reads it.  values : (site, time + 1, 2), K.
    raw : name -> (site, time + 1), as `site_forcing` makes it.
    """

    forcing: dict[str, Array]
    values: Array
    raw: dict[str, np.ndarray]

    def kernel_forcing(self) -> np.ndarray:
        """Forcing (time, 5, site) for the C kernel."""
        columns = [self.raw[name][:, 1:].T for name in NAMES]
        return np.ascontiguousarray(np.stack(columns, axis=1))

    def kernel_observed(self) -> np.ndarray:
        """Observed values (time, 2, site) for the C kernel."""
        return np.ascontiguousarray(np.moveaxis(np.asarray(self.values)[:, 1:], 0, 2))


def make_sites(setup: Setup, number: int, first: int = 1) -> Sites:
    """So many sites, whose truth is that of the set-up."""
    each = [site_forcing(setup.steps, site) for site in range(first, first + number)]
    raw = {name: np.stack([one[name] for one in each]) for name in NAMES}
    forcing = model_forcing(raw, setup.problem.model)
    clean = [
        predict(at_site(setup.problem, {n: v[k] for n, v in forcing.items()}), setup.truth)
        for k in range(number)
    ]
    noise = np.random.default_rng([13, first]).normal(0.0, SIGMA, (number, setup.steps + 1, 2))
    return Sites(forcing, jnp.asarray(np.stack(clean) + noise), raw)


def at_site(
    problem: InverseProblem, forcing: dict[str, Array], values: Array | None = None
) -> InverseProblem:
    """The problem with the forcing, and the observed values, of another site."""
    moved = eqx.tree_at(lambda p: p.forcing, problem, forcing)
    return moved if values is None else with_values(moved, values)

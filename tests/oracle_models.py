"""Models with published or computed answers: an epidemic, two carbon pools, Lorenz-96, Branin.

Each is an ordinary `Model` that runs through `caliche.estimate` unchanged. `Ode` integrates a state
vector, and shows its entry k as the soil temperature at a depth of k + 1 m: a profile is how the
seam names the entries of a vector.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.models.base import Diagnostics, Forcing, ParameterDeclaration, Params, Profile
from caliche.observations import Observations, Stream, make_operator
from caliche.parameters import Flat, FreeParameter, Normal, ParameterSpace, Prior
from caliche.problems.inverse import InverseProblem
from caliche.variables import stream_name
from problems import make_problem

VECTOR = "soil_temperature"
Slope = Callable[[Params, Forcing, Array], Array]


def entry(k: int) -> str:
    """The stream that shows entry k of the state."""
    return stream_name(VECTOR, float(k + 1))


class Ode(eqx.Module):
    """dx/dt = slope(params, forcing, x) for a state x (n,), by Runge-Kutta steps of fourth order.

    start : (params, forcing) -> x at time zero.  time_step : between two times of the record, made
    of `substeps`.  means : names of diagnostics that hold over a step, of the state at its end.
    """

    slope: Slope = eqx.field(static=True)
    start: Callable[[Params, Forcing], Array] = eqx.field(static=True)
    size: int = eqx.field(static=True)
    declarations: tuple[ParameterDeclaration, ...] = eqx.field(static=True)
    forcing_variables: tuple[str, ...] = eqx.field(static=True)
    time_step: float = eqx.field(static=True)
    substeps: int = eqx.field(static=True, default=1)
    means: Callable[[Array], dict[str, Array]] | None = eqx.field(static=True, default=None)

    @property
    def diagnostics(self) -> tuple[str, ...]:
        return (VECTOR, *({} if self.means is None else self.means(jnp.zeros(self.size))))

    @property
    def depths(self) -> Mapping[str, np.ndarray]:
        return {VECTOR: np.arange(1.0, self.size + 1.0)}

    @property
    def derived_labels(self) -> Mapping[str, tuple[str, str]]:
        return {}

    def derived(self, params: Params) -> Mapping[str, Float[Array, ""]]:
        return {}

    def prepare(self, params: Params) -> Params:
        return dict(params)

    def init_state(self, prepared: Params, forcing: Forcing) -> Float[Array, " n"]:
        return self.start(prepared, forcing)

    def diagnose(self, prepared: Params, state: Float[Array, " n"]) -> Diagnostics:
        return {VECTOR: Profile(self.size, lambda k: state[k], lambda: state)}

    def step(
        self, prepared: Params, state: Float[Array, " n"], forcing: Forcing
    ) -> tuple[Float[Array, " n"], Diagnostics]:
        dt = self.time_step / self.substeps

        def one(_: Array, x: Array) -> Array:
            return runge_kutta(lambda x: self.slope(prepared, forcing, x), x, dt)

        state = (
            one(jnp.asarray(0), state)
            if self.substeps == 1
            else jax.lax.fori_loop(0, self.substeps, one, state)
        )
        shown = {} if self.means is None else self.means(state)
        return state, {**self.diagnose(prepared, state), **shown}


def runge_kutta(slope: Callable, x, dt: float):
    """x after a step of length dt; arrays of NumPy or JAX."""
    k1 = slope(x)
    k2 = slope(x + 0.5 * dt * k1)
    k3 = slope(x + 0.5 * dt * k2)
    k4 = slope(x + dt * k3)
    return x + dt / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)


def declare(name: str, default: float, lower: float, upper: float) -> ParameterDeclaration:
    return ParameterDeclaration(name, name, "1", default, lower, upper, "an oracle")


def ode_problem(
    model: Ode,
    priors: Mapping[str, Prior],
    initial: Mapping[str, float],
    forcing: Mapping[str, np.ndarray],
    observed: Mapping[Stream, np.ndarray],
    sigma: Mapping[Stream, float],
) -> InverseProblem:
    """The inverse problem of streams that were seen; NaN where they were not."""
    known = {d.name: d for d in model.declarations}
    free = {n: FreeParameter(known[n], prior, initial[n]) for n, prior in priors.items()}
    return InverseProblem(
        model,
        {name: jnp.asarray(values, float) for name, values in forcing.items()},
        make_operator(model, list(observed)),
        Observations.from_series(
            {s.name: np.asarray(v, float) for s, v in observed.items()},
            {s.name: e for s, e in sigma.items()},
        ),
        ParameterSpace.build(model.declarations, free, {}),
    )


@jax.jit
def predict(problem: InverseProblem, values: dict[str, Array]) -> Float[Array, "set time stream"]:
    """Predictions at many sets of physical parameters (set,)."""
    return jax.vmap(problem.predict)(values)


# -- an epidemic ---------------------------------------------------------------------------------


def _epidemic(params: Params, forcing: Forcing, x: Array) -> Array:
    infection = params["a"] * x[0] * x[1] / 1000.0
    recovery, loss = params["b"] * x[1], params["c"] * x[2]
    return jnp.stack([loss - infection, infection - recovery, recovery - loss])


class Epidemic:
    """Susceptible, infected, recovered, susceptible again: the example of the R package hmer.

    1000 people, 50 of them infected at first, seen once at t = 10; uniform priors in `bounds`.
    `middle` is the model at the middle of the bounds. With an implausibility of 3 for the largest
    of the three outputs, `share` of the prior is not ruled out, 0.0208 for the second largest
    (computed for this project on 2^18 scrambled points of Sobol', of which `box` is what is left;
    more points widen it a little).
    """

    bounds: Mapping[str, tuple[float, float]] = {"a": (0.1, 0.8), "b": (0.0, 0.5), "c": (0.0, 0.05)}
    observed = np.array([615.5, 169.0, 210.0])
    sigma = np.array([17.75, 8.45, 5.5])
    middle = np.array([618.5768, 148.7652, 232.6580])
    share, share_of_second = 0.00478, 0.0208
    box: Mapping[str, tuple[float, float]] = {"a": (0.372, 0.470), "b": (0.168, 0.268)}

    @classmethod
    def problem(cls) -> InverseProblem:
        names = {name: (sum(ends) / 2.0, *ends) for name, ends in cls.bounds.items()}
        declarations = tuple(declare(name, *values) for name, values in names.items())
        model = Ode(
            _epidemic,
            lambda p, f: jnp.array([950.0, 50.0, 0.0]),
            3,
            declarations,
            ("time",),
            1.0,
            10,
        )
        streams = [Stream(entry(k)) for k in range(3)]
        at_the_end = np.full((11, 3), np.nan)
        at_the_end[-1] = cls.observed
        return ode_problem(
            model,
            {name: Flat(*ends) for name, ends in cls.bounds.items()},
            {name: values[0] for name, values in names.items()},
            {"time": np.arange(11.0)},
            dict(zip(streams, at_the_end.T, strict=True)),
            dict(zip(streams, cls.sigma.tolist(), strict=True)),
        )

    @classmethod
    def implausibility(cls, problem: InverseProblem, sets: np.ndarray) -> np.ndarray:
        """|model - observed| / sigma (set, 3) of physical sets (set, 3)."""
        columns = dict(zip(cls.bounds, jnp.asarray(sets.T), strict=True))
        return np.abs(np.asarray(predict(problem, columns))[:, -1] - cls.observed) / cls.sigma

    @classmethod
    def posterior(cls, problem: InverseProblem, n: int = 48) -> tuple[np.ndarray, np.ndarray]:
        """Exact mean and standard deviation (3,), by the midpoint rule on n^3 cells.

        a and b beyond the box of implausibility 5 have no weight worth counting.
        """
        ends = {"a": (0.3, 0.6), "b": (0.12, 0.34), "c": cls.bounds["c"]}
        sides = [lo + (hi - lo) * (np.arange(n) + 0.5) / n for lo, hi in ends.values()]
        grid = np.stack([g.ravel() for g in np.meshgrid(*sides, indexing="ij")], axis=1)
        half_square = 0.5 * np.sum(cls.implausibility(problem, grid) ** 2, axis=1)
        return moments(grid, half_square)


def moments(grid: np.ndarray, misfit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (P,) of exp(-misfit) on points (point, P) of equal weight."""
    weight = np.exp(misfit.min() - misfit)
    weight /= weight.sum()
    mean = weight @ grid
    return mean, np.sqrt(weight @ (grid - mean) ** 2)


# -- two pools of carbon -------------------------------------------------------------------------


def _pools(params: Params, forcing: Forcing, x: Array) -> Array:
    growth = forcing["productivity"] * x[0] * x[1] / ((x[0] + params["p1"]) * (x[1] + params["p2"]))
    shed = params["k1"] * x[0]
    return jnp.stack([growth + 0.01 - shed, shed - params["k2"] * x[1]])


class TwoPools:
    """Plants and litter, the test model of OptIC (Trudinger et al. 2007, doi:10.1029/2006JG000367),
    as calibrated by Douglas et al. (2025, doi:10.1016/j.envsoft.2025.106361).

    `steady` is its state at a productivity of 1 and the true parameters.
    """

    truth: Mapping[str, float] = {"p1": 1.0, "p2": 1.0, "k1": 0.2, "k2": 0.1}
    bounds: Mapping[str, tuple[float, float]] = {
        "p1": (0.3, 5.0),
        "p2": (0.3, 5.0),
        "k1": (0.05, 0.8),
        "k2": (0.02, 0.4),
    }
    guess: Mapping[str, float] = {"p1": 2.5, "p2": 2.5, "k1": 0.4, "k2": 0.2}
    steady = np.array([3.4281538207, 6.8563076414])
    streams = (Stream(entry(0)), Stream(entry(1)))

    @classmethod
    def model(cls) -> Ode:
        declarations = tuple(declare(n, cls.guess[n], *cls.bounds[n]) for n in cls.truth)
        return Ode(
            _pools, lambda p, f: jnp.asarray(cls.steady), 2, declarations, ("productivity",), 1.0, 2
        )

    @classmethod
    def problem(
        cls,
        length: int = 150,
        error: float = 0.1,
        seed: int = 0,
        priors: Mapping[str, Prior] | None = None,
    ) -> tuple[InverseProblem, np.ndarray]:
        """The twin, and the true trajectory (time + 1, 2).

        Productivity is log-normal with a memory; errors have a tenth of the pools' standard
        deviations, of independent draws. Every fifth time is seen.
        """
        generator = np.random.default_rng(seed)
        log = np.zeros(length + 1)
        for k in range(1, length + 1):
            log[k] = 0.9 * log[k - 1] + 0.3 * generator.standard_normal()
        forcing = {"productivity": np.exp(log)}
        blank = dict.fromkeys(cls.streams, np.ones(length + 1))
        sigma = dict.fromkeys(cls.streams, 1.0)
        priors = priors or {name: Flat(*ends) for name, ends in cls.bounds.items()}
        clean = ode_problem(cls.model(), priors, cls.guess, forcing, blank, sigma)
        truth = np.asarray(clean.predict({n: jnp.asarray(v) for n, v in cls.truth.items()}))
        spread = error * truth.std(axis=0)
        observed = truth + spread * generator.standard_normal(truth.shape)
        observed[np.arange(length + 1) % 5 > 0] = np.nan
        return ode_problem(
            cls.model(),
            priors,
            cls.guess,
            forcing,
            dict(zip(cls.streams, observed.T, strict=True)),
            dict(zip(cls.streams, spread.tolist(), strict=True)),
        ), truth

    @classmethod
    def improvement(
        cls, problem: InverseProblem, truth: np.ndarray, values: Mapping[str, float]
    ) -> np.ndarray:
        """By how much (2,) the trajectory's root-mean-square error falls from the first guess."""
        rows = [cls.guess, values]
        sets = {name: jnp.array([row[name] for row in rows]) for name in cls.truth}
        error = np.sqrt(np.mean((np.asarray(predict(problem, sets)) - truth) ** 2, axis=1))
        return 1.0 - error[1] / error[0]


# -- Lorenz-96 -----------------------------------------------------------------------------------

CELLS, LORENZ_STEP = 40, 0.05


def lorenz(x, forcing, damping=1.0):
    """dx_k/dt = (x_k+1 - x_k-2) x_k-1 - damping x_k + forcing, periodic in the last axis (Lorenz
    1996); NumPy or JAX."""
    module = jnp if isinstance(x, jax.Array) else np
    before = module.roll(x, 1, -1)
    advection = (module.roll(x, -1, -1) - module.roll(x, 2, -1)) * before
    return advection - damping * x + forcing


def lorenz_run(x: np.ndarray, steps: int, forcing=8.0, damping=1.0) -> np.ndarray:
    """States (steps + 1, ..., 40) from x (..., 40) on."""
    states = [x]
    for _ in range(steps):
        states.append(runge_kutta(lambda x: lorenz(x, forcing, damping), states[-1], LORENZ_STEP))
    return np.stack(states)


@functools.cache
def on_the_attractor(seed: int = 0) -> np.ndarray:
    """A state (40,) after 50 units of time."""
    start = 8.0 + np.random.default_rng(seed).standard_normal(CELLS)
    return lorenz_run(start, 1000)[-1]


def _lorenz_slope(params: Params, forcing: Forcing, x: Array) -> Array:
    return lorenz(x, params["forcing"], params["damping"])


def _moments(x: Array) -> dict[str, Array]:
    return {"sensible_heat_flux": jnp.mean(x), "latent_heat_flux": jnp.mean(x**2)}


class LorenzForcing:
    """Which forcing, and damping, drives a Lorenz-96 of 40 cells? Truth 8 and 1."""

    truth: Mapping[str, float] = {"forcing": 8.0, "damping": 1.0}
    bounds: Mapping[str, tuple[float, float]] = {"forcing": (4.0, 12.0), "damping": (0.5, 1.5)}
    guess: Mapping[str, float] = {"forcing": 6.0, "damping": 0.8}

    @classmethod
    def _model(cls, start: np.ndarray) -> Ode:
        declarations = tuple(declare(n, cls.guess[n], *cls.bounds[n]) for n in cls.truth)
        return Ode(
            _lorenz_slope,
            lambda p, f: jnp.asarray(start),
            CELLS,
            declarations,
            ("time",),
            LORENZ_STEP,
            1,
            _moments,
        )

    @classmethod
    def window(cls, units: float = 1.0, seed: int = 1) -> InverseProblem:
        """From a trajectory: the start is known, all cells are seen every 0.2 with errors of 1."""
        start, steps = on_the_attractor(), round(units / LORENZ_STEP)
        observed = lorenz_run(start, steps)
        observed = observed + np.random.default_rng(seed).standard_normal(observed.shape)
        observed[np.arange(steps + 1) % 4 > 0] = np.nan
        observed[0] = np.nan
        streams = [Stream(entry(k)) for k in range(CELLS)]
        priors = {name: Flat(*ends) for name, ends in cls.bounds.items()}
        return ode_problem(
            cls._model(start),
            priors,
            cls.guess,
            {"time": np.zeros(steps + 1)},
            dict(zip(streams, observed.T, strict=True)),
            dict.fromkeys(streams, 1.0),
        )

    @classmethod
    def posterior(cls, problem: InverseProblem, n: int = 41) -> tuple[np.ndarray, np.ndarray]:
        """Exact mean and standard deviation (2,) of a window, by the midpoint rule on n^2 cells."""
        ends = {"forcing": (7.3, 8.7), "damping": (0.86, 1.16)}
        sides = [lo + (hi - lo) * (np.arange(n) + 0.5) / n for lo, hi in ends.values()]
        grid = np.stack([g.ravel() for g in np.meshgrid(*sides, indexing="ij")], axis=1)
        seen = np.where(np.asarray(problem.mask), np.asarray(problem.observations.values), np.nan)
        start = np.broadcast_to(on_the_attractor(), (len(grid), CELLS))
        states = lorenz_run(start, len(seen) - 1, grid[:, :1], grid[:, 1:])
        return moments(grid, 0.5 * np.nansum((states - seen[:, None]) ** 2, axis=(0, 2)))

    @classmethod
    def statistics(
        cls, units: float = 50.0, seed: int = 1
    ) -> tuple[InverseProblem, np.ndarray, np.ndarray]:
        """From the climate: means over cells and time of x and of x squared; forcing alone is free.

        The model starts elsewhere than the truth, so that both means carry the noise of a finite
        record: sigma is sqrt(2) times their standard deviation over records of that length.
        Returns the problem, the means that were seen (2,), and their sigma (2,).
        """
        steps, before = round(units / LORENZ_STEP), 100
        generator = np.random.default_rng(seed)
        records = lorenz_run(8.0 + generator.standard_normal((20, CELLS)), steps + before)
        records = records[before + 1 :]
        means = np.stack([records.mean(axis=(0, 2)), (records**2).mean(axis=(0, 2))], axis=1)
        seen, sigma = means[0], np.sqrt(2.0) * means[1:].std(axis=0, ddof=1)
        streams = [Stream(name, steps) for name in ("sensible_heat_flux", "latent_heat_flux")]
        series = np.full((steps + before + 1, 2), np.nan)
        series[-1] = seen
        problem = ode_problem(
            cls._model(on_the_attractor()),
            {"forcing": Flat(*cls.bounds["forcing"])},
            {"forcing": cls.guess["forcing"]},
            {"time": np.zeros(len(series))},
            dict(zip(streams, series.T, strict=True)),
            dict(zip(streams, sigma.tolist(), strict=True)),
        )
        # The damping stays at its true value, not at its default.
        fixed = {**problem.space.fixed, "damping": jnp.asarray(1.0)}
        return eqx.tree_at(lambda p: p.space.fixed, problem, fixed), seen, sigma


def state_problem(steps: int, covariance: np.ndarray) -> InverseProblem:
    """Analysis of a state of Lorenz-96: x at the start is background + root w with w ~ N(0, I).

    All cells are seen with errors of 1 at the end of `steps`. The background is forcing, so that
    a cycle of analyses changes arrays alone: see `with_cycle`.
    """
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(values)) @ vectors.T
    names = [f"w{k}" for k in range(CELLS)]

    def start(params: Params, forcing: Forcing) -> Array:
        background = jnp.stack([forcing[f"background{k}"] for k in range(CELLS)])
        return background + jnp.asarray(root) @ jnp.stack([params[n] for n in names])

    backgrounds = [f"background{k}" for k in range(CELLS)]
    model = Ode(
        lambda p, f, x: lorenz(x, 8.0),
        start,
        CELLS,
        tuple(declare(n, 0.0, -np.inf, np.inf) for n in names),
        tuple(backgrounds),
        LORENZ_STEP,
    )
    streams = [Stream(entry(k)) for k in range(CELLS)]
    observed = np.full(steps + 1, np.nan)
    observed[-1] = 0.0
    return ode_problem(
        model,
        {n: Normal(0.0, 1.0) for n in names},
        dict.fromkeys(names, 0.0),
        {name: np.zeros(steps + 1) for name in backgrounds},
        dict.fromkeys(streams, observed),
        dict.fromkeys(streams, 1.0),
    )


def with_cycle(problem: InverseProblem, background: np.ndarray, seen: np.ndarray) -> InverseProblem:
    """`state_problem` at another background (40,), with what was seen at its end (40,)."""
    length = len(problem.observations.values)
    forcing = {f"background{k}": jnp.full(length, x) for k, x in enumerate(background.tolist())}
    values = problem.observations.values.at[-1].set(jnp.asarray(seen))
    return eqx.tree_at(lambda p: (p.forcing, p.observations.values), problem, (forcing, values))


def mean_error(states: Sequence[np.ndarray], truth: Sequence[np.ndarray]) -> float:
    """Mean over time of the root-mean-square error over the cells."""
    difference = np.asarray(states) - np.asarray(truth)
    return float(np.mean(np.sqrt(np.mean(difference**2, axis=-1))))


# -- Branin --------------------------------------------------------------------------------------


def _branin(params: Params, forcing: Forcing) -> Array:
    x = params["x"]
    parabola = params["y"] - 5.1 / (4.0 * jnp.pi**2) * x**2 + 5.0 / jnp.pi * x - 6.0
    # 10 (1 - 1 / 8 pi) (1 + cos x), as a square; what is left of Branin's function is 0.397887.
    wave = jnp.sqrt(20.0 * (1.0 - 0.125 / jnp.pi)) * jnp.cos(0.5 * x)
    return jnp.where(forcing["which"] > 0.5, jnp.sqrt(2.0) * wave, jnp.sqrt(2.0) * parabola)


class Branin:
    """Branin's function as a cost: three optima that fit equally well.

    p(x, y)^2 + 10 (1 - 1/8 pi) cos x + 10, with the parabola p, is |r|^2 / 2 + 10/8 pi for the
    residuals r = sqrt(2) p and r = sqrt(40 (1 - 1/8 pi)) cos(x / 2), as 1 + cos x is
    2 cos(x / 2)^2. Both vanish at the three minima.
    """

    optima = np.array([[-np.pi, 12.275], [np.pi, 2.275], [3.0 * np.pi, 2.475]])
    lowest = 10.0 / (8.0 * np.pi)

    @staticmethod
    def problem() -> InverseProblem:
        priors = {"x": Flat(-5.0, 10.0), "y": Flat(0.0, 15.0)}
        start = {"x": 2.0, "y": 7.0}
        return make_problem(_branin, priors, start, {"which": np.arange(2.0)}, np.zeros(2))


# -- Hartmann's function in six dimensions -------------------------------------------------------

_WIDTHS = np.array(
    [
        [10.0, 3.0, 17.0, 3.5, 1.7, 8.0],
        [0.05, 10.0, 17.0, 0.1, 8.0, 14.0],
        [3.0, 3.5, 1.7, 10.0, 17.0, 8.0],
        [17.0, 8.0, 0.05, 10.0, 0.1, 14.0],
    ]
)
_CENTRES = 1e-4 * np.array(
    [
        [1312.0, 1696.0, 5569.0, 124.0, 8283.0, 5886.0],
        [2329.0, 4135.0, 8307.0, 3736.0, 1004.0, 9991.0],
        [2348.0, 1451.0, 3522.0, 2883.0, 3047.0, 6650.0],
        [4047.0, 8828.0, 8732.0, 5743.0, 1091.0, 381.0],
    ]
)


def _hartmann(params: Params, forcing: Forcing) -> Array:
    x = jnp.stack([params[f"x{k}"] for k in range(6)])
    apart = jnp.sum(jnp.asarray(_WIDTHS) * (x - jnp.asarray(_CENTRES)) ** 2, axis=1)
    value = -jnp.sum(jnp.asarray([1.0, 1.2, 3.0, 3.2]) * jnp.exp(-apart))
    return jnp.sqrt(2.0 * (value - Hartmann.lowest + Hartmann.left)) + 0.0 * forcing["which"]


class Hartmann:
    """Hartmann's function of six numbers as a cost, above its minimum by what is `left` there.

    A residual sqrt(2 (f - lowest + left)); it has several minima, the second 0.119 above the first.
    """

    lowest, left = -3.322368011391339, 1.0
    optimum = np.array([0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573])

    @staticmethod
    def problem() -> InverseProblem:
        priors = {f"x{k}": Flat(0.0, 1.0) for k in range(6)}
        start = dict.fromkeys(priors, 0.5)
        return make_problem(_hartmann, priors, start, {"which": np.zeros(1)}, np.zeros(1))

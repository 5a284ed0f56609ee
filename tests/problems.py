"""Inverse problems with known answers: those that every method must pass.

Each stands on a `Formula`, a model without memory whose observable is a closed expression.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

from caliche.models.base import Diagnostics, Forcing, ParameterDeclaration, Params
from caliche.observations import Observations, Stream, make_operator
from caliche.parameters import Flat, FreeParameter, Normal, ParameterSpace, Prior
from caliche.problems.inverse import InverseProblem


def each_method(names: Iterable[str]) -> list:
    """Methods as parameters of a test; bo, which learns an emulator after each run, in CI alone."""
    return [pytest.param(name, marks=pytest.mark.ci) if name == "bo" else name for name in names]


SEEN = "surface_temperature"  # any state without depth: it has a value at time zero as well


class Formula(eqx.Module):
    """A model without memory: what it says at a time follows from the forcing at that time."""

    function: Callable[[Params, Forcing], Array] = eqx.field(static=True)
    declarations: tuple[ParameterDeclaration, ...] = eqx.field(static=True)
    forcing_variables: tuple[str, ...] = eqx.field(static=True)
    combination: Callable[[Params], dict[str, Array]] | None = eqx.field(static=True, default=None)
    diagnostics: tuple[str, ...] = eqx.field(static=True, default=(SEEN,))

    @property
    def depths(self) -> Mapping[str, np.ndarray]:
        return {}

    def prepare(self, params: Params) -> Params:
        return dict(params)

    def init_state(self, prepared: Params, forcing: Forcing) -> Float[Array, ""]:
        return self.function(prepared, forcing)

    def diagnose(self, prepared: Params, state: Float[Array, ""]) -> Diagnostics:
        return {SEEN: state}

    def step(
        self, prepared: Params, state: Float[Array, ""], forcing: Forcing
    ) -> tuple[Float[Array, ""], Diagnostics]:
        value = self.function(prepared, forcing)
        return value, {SEEN: value}

    @property
    def derived_labels(self) -> Mapping[str, tuple[str, str]]:
        if self.combination is None:
            return {}
        ones = {d.name: jnp.asarray(1.0) for d in self.declarations}
        return {name: ("1", f"combination {name}") for name in self.combination(ones)}

    def derived(self, params: Params) -> Mapping[str, Float[Array, ""]]:
        return {} if self.combination is None else self.combination(params)


def make_problem(
    function: Callable[[Params, Forcing], Array],
    priors: Mapping[str, Prior],
    initial: Mapping[str, float],
    forcing: Mapping[str, np.ndarray],
    observed: np.ndarray,
    sigma: float = 1.0,
    combination: Callable[[Params], dict[str, Array]] | None = None,
) -> InverseProblem:
    """The inverse problem of a formula; `observed` is NaN where nothing was seen."""
    free = {}
    for name, prior in priors.items():
        bounds = prior.lower, prior.upper
        declaration = ParameterDeclaration(
            name, f"number {name}", "1", initial[name], *bounds, "a test"
        )
        free[name] = FreeParameter(declaration, prior, initial[name])
    declarations = tuple(p.declaration for p in free.values())
    model = Formula(function, declarations, tuple(forcing), combination)
    return InverseProblem(
        model,
        {name: jnp.asarray(values, float) for name, values in forcing.items()},
        make_operator(model, [Stream(SEEN)]),
        Observations.from_series({SEEN: np.asarray(observed, float)}, {SEEN: sigma}),
        ParameterSpace.build(declarations, free, {}),
    )


def with_observed(problem: InverseProblem, observed: np.ndarray) -> InverseProblem:
    """The problem with other observations (time + 1, stream); it needs no new compilation."""
    seen = np.isfinite(observed)
    values = jnp.asarray(np.where(seen, observed, 0.0))
    return eqx.tree_at(
        lambda p: (p.observations.values, p.observations.mask), problem, (values, jnp.asarray(seen))
    )


# -- linear and Gaussian: the posterior in closed form ---------------------------------------


def _design(params: Params, forcing: Forcing) -> Array:
    return forcing["offset"] + forcing["first"] * params["w1"] + forcing["second"] * params["w2"]


def _control(params: Params) -> dict[str, Array]:
    mean, root = LinearGaussian.mean, LinearGaussian.root
    w = jnp.stack([params["w1"], params["w2"]])
    x = jnp.asarray(mean) + jnp.asarray(root) @ w
    return {"x1": x[0], "x2": x[1]}


class LinearGaussian:
    """y = A x + e with correlated errors and prior: e ~ N(0, R), x ~ N(mean, B).

    caliche takes independent errors and priors, so that y and A are whitened with R^-1/2 and x
    with B^1/2, x = mean + B^1/2 w; the derived quantities x1 and x2 come back. `estimate` and
    `covariance` are x_a = mean + P A^T R^-1 (y - A mean) and P = (A^T R^-1 A + B^-1)^-1.
    """

    mean = np.array([0.5, -0.2])
    prior_covariance = np.array([[1.0, 0.3], [0.3, 0.5]])
    root = np.linalg.cholesky(prior_covariance)
    design = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0], [1.0, 3.0]])
    observed = np.array([1.0, 2.1, 2.9, 4.2])
    errors = np.diag(np.array([0.1, 0.2, 0.1, 0.4]) ** 2)
    errors[0, 1] = errors[1, 0] = 0.5 * 0.1 * 0.2

    estimate = np.array([0.98535628385, 0.975031532429])
    covariance = np.array([[0.009020044751, -0.003996840236], [-0.003996840236, 0.003803453756]])
    cost = 2.0058504999544

    @classmethod
    def problem(cls) -> InverseProblem:
        whiten = np.linalg.inv(np.linalg.cholesky(cls.errors))
        design = whiten @ cls.design @ cls.root
        forcing = {
            "offset": whiten @ cls.design @ cls.mean,
            "first": design[:, 0],
            "second": design[:, 1],
        }
        priors = {"w1": Normal(0.0, 1.0), "w2": Normal(0.0, 1.0)}
        start = {"w1": -1.0, "w2": 2.0}
        observed = whiten @ cls.observed
        return make_problem(_design, priors, start, forcing, observed, combination=_control)


def _line(params: Params, forcing: Forcing) -> Array:
    return params["intercept"] + params["slope"] * forcing["x"]


def line_problem(
    x: np.ndarray, observed: np.ndarray, sigma: float = 1.0, **priors: Prior
) -> InverseProblem:
    """A straight line, flat priors unless others are given."""
    flat: dict[str, Prior] = {"intercept": Flat(), "slope": Flat()}
    start = {"intercept": 0.1, "slope": 0.1}
    return make_problem(_line, flat | priors, start, {"x": x}, observed, sigma)


# -- curved: least squares with certified or exact answers -----------------------------------


def _misra1a(params: Params, forcing: Forcing) -> Array:
    return params["b1"] * (1.0 - jnp.exp(-params["b2"] * forcing["x"]))


def _mgh10(params: Params, forcing: Forcing) -> Array:
    return params["b1"] * jnp.exp(params["b2"] / (forcing["x"] + params["b3"]))


def _eckerle4(params: Params, forcing: Forcing) -> Array:
    z = (forcing["x"] - params["b3"]) / params["b2"]
    return params["b1"] / params["b2"] * jnp.exp(-0.5 * z**2)


@dataclass(frozen=True)
class Certified:
    """A data set of the NIST Statistical Reference Datasets (itl.nist.gov/div898/strd).

    `estimate`, `sd` (from the residuals) and `residual_sum` (of squares) are certified to eleven
    digits; `starts` are NIST's two, the first far away, the second near.
    """

    name: str
    function: Callable[[Params, Forcing], Array]
    x: np.ndarray
    y: np.ndarray
    starts: tuple[tuple[float, ...], tuple[float, ...]]
    estimate: tuple[float, ...]
    sd: tuple[float, ...]
    residual_sum: float

    def problem(self) -> InverseProblem:
        """Positive parameters, flat priors; sigma is the residual standard deviation."""
        sigma = np.sqrt(self.residual_sum / (len(self.y) - len(self.estimate)))
        names = [f"b{k + 1}" for k in range(len(self.estimate))]
        priors = {n: Flat(0.0, scale=s) for n, s in zip(names, self.starts[1], strict=True)}
        start = dict(zip(names, self.starts[0], strict=True))
        return make_problem(self.function, priors, start, {"x": self.x}, self.y, float(sigma))

    def controls(self, problem: InverseProblem) -> Float[Array, "2 parameter"]:
        """Both starts as control vectors."""
        names = problem.space.names
        rows = [dict(zip(names, start, strict=True)) for start in self.starts]
        return jnp.stack([problem.space.to_whitened(row) for row in rows])


MISRA1A = Certified(
    "Misra1a",
    _misra1a,
    np.array(
        [
            77.6,
            114.9,
            141.1,
            190.8,
            239.9,
            289.0,
            332.8,
            378.4,
            434.8,
            477.3,
            536.8,
            593.1,
            689.1,
            760.0,
        ]
    ),
    np.array(
        [
            10.07,
            14.73,
            17.94,
            23.93,
            29.61,
            35.18,
            40.02,
            44.82,
            50.76,
            55.05,
            61.01,
            66.40,
            75.47,
            81.78,
        ]
    ),
    ((500.0, 0.0001), (250.0, 0.0005)),
    (2.3894212918e2, 5.5015643181e-4),
    (2.7070075241, 7.2668688436e-6),
    1.2455138894e-1,
)
MGH10 = Certified(
    "MGH10",
    _mgh10,
    np.arange(50.0, 126.0, 5.0),
    np.array(
        [
            34780.0,
            28610.0,
            23650.0,
            19630.0,
            16370.0,
            13720.0,
            11540.0,
            9744.0,
            8261.0,
            7030.0,
            6005.0,
            5147.0,
            4427.0,
            3820.0,
            3307.0,
            2872.0,
        ]
    ),
    ((2.0, 400000.0, 25000.0), (0.02, 4000.0, 250.0)),
    (5.6096364710e-3, 6.1813463463e3, 3.4522363462e2),
    (1.5687892471e-4, 2.3309021107e1, 7.8486103508e-1),
    8.7945855171e1,
)
ECKERLE4 = Certified(
    "Eckerle4",
    _eckerle4,
    np.concatenate(
        [np.arange(400.0, 436.0, 5.0), 436.5 + 1.5 * np.arange(20.0), np.arange(470.0, 501.0, 5.0)]
    ),
    np.array(
        [
            0.0001575,
            0.0001699,
            0.000235,
            0.0003102,
            0.0004917,
            0.000871,
            0.0017418,
            0.00464,
            0.0065895,
            0.0097302,
            0.0149002,
            0.023731,
            0.0401683,
            0.0712559,
            0.1264458,
            0.2073413,
            0.2902366,
            0.3445623,
            0.3698049,
            0.3668534,
            0.3106727,
            0.2078154,
            0.1164354,
            0.0616764,
            0.03372,
            0.0194023,
            0.0117831,
            0.0074357,
            0.0022732,
            0.00088,
            0.0004579,
            0.0002345,
            0.0001586,
            0.0001143,
            0.000071,
        ]
    ),
    ((1.0, 10.0, 500.0), (1.5, 5.0, 450.0)),
    (1.5543827178, 4.0888321754, 4.5154121844e2),
    (1.5408051163e-2, 4.6803020753e-2, 4.6800518816e-2),
    1.4635887487e-3,
)


def _rosenbrock(params: Params, forcing: Forcing) -> Array:
    valley = 10.0 * (params["b"] - params["a"] ** 2)
    return jnp.where(forcing["which"] > 0.5, 1.0 - params["a"], valley)


class Rosenbrock:
    """Residuals 10 (b - a^2) and 1 - a: a curved valley that ends at (1, 1) with misfit zero."""

    estimate = np.array([1.0, 1.0])
    covariance = np.array([[1.0, 2.0], [2.0, 4.01]])  # (J^T J)^-1 with J = [[-20, 10], [-1, 0]]

    @staticmethod
    def problem() -> InverseProblem:
        priors: dict[str, Prior] = {"a": Flat(), "b": Flat()}
        start = {"a": -1.2, "b": 1.0}
        return make_problem(_rosenbrock, priors, start, {"which": np.arange(2.0)}, np.zeros(2))


# -- what cannot be known, and where the model fails -----------------------------------------


def _product(params: Params, forcing: Forcing) -> Array:
    return params["a"] * params["b"] * forcing["x"] + params["c"]


def product_problem() -> InverseProblem:
    """y = a b x + c with a b = 6, c = 1: a and b cannot be told apart, their product is known."""
    x = np.linspace(0.0, 1.0, 11)
    noise = 0.1 * np.cos(2.0 * np.arange(11.0) ** 2)
    priors: dict[str, Prior] = {"a": Flat(0.0, 50.0), "b": Flat(0.0, 50.0), "c": Flat()}
    start = {"a": 1.0, "b": 2.0, "c": 0.0}
    return make_problem(
        _product,
        priors,
        start,
        {"x": x},
        6.0 * x + 1.0 + noise,
        0.1,
        combination=lambda p: {"product": p["a"] * p["b"]},
    )


def _root(params: Params, forcing: Forcing) -> Array:
    return jnp.sqrt(params["a"]) * forcing["x"]


def root_problem() -> InverseProblem:
    """y = sqrt(a) x with a = 4 in -1 ... 9: no number comes out where a is negative."""
    x = np.linspace(0.0, 1.0, 5)
    return make_problem(_root, {"a": Flat(-1.0, 9.0)}, {"a": 1.0}, {"x": x}, 2.0 * x, 0.1)


# A twin on the command line that runs in a fraction of a second.
SMALL = [
    part
    for text in (
        "synthetic.hours=60",
        "synthetic.fit_hours=48",
        "model.nodes=21",
        "model.depth=0.4",
        "method.starts=1",
    )
    for part in ("--set", text)
]

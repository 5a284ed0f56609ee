"""What observations can say about parameters: closed forms, certified answers, and words."""

from __future__ import annotations

import math
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caliche.errors import InputError
from caliche.estimation.curvature import posterior
from caliche.identifiability.combinations import unobservable
from caliche.identifiability.linearised import (
    IDENTIFIED,
    NOT_IDENTIFIED,
    WEAK,
    Entry,
    Linearised,
    assess,
    derived_gradients,
    invert,
    linearised,
    verdict,
)
from caliche.identifiability.sensors import Candidate, evaluated, factors, sensor_sets
from caliche.parameters import Flat, LogNormal, Normal
from caliche.problems.inverse import InverseProblem
from problems import (
    ECKERLE4,
    MISRA1A,
    LinearGaussian,
    Rosenbrock,
    line_problem,
    make_problem,
    product_problem,
)

X = np.linspace(0.1, 1.0, 12)


def look(problem: InverseProblem, **values: float):
    """The problem assessed at physical values (else at its first guess)."""
    u = problem.space.initial()
    if values:
        u = problem.space.to_whitened({k: jnp.asarray(v) for k, v in values.items()})
    return assess(linearised(problem, np.asarray(u)))


# -- known answers ----------------------------------------------------------------------------


def test_linear_and_gaussian():
    """Covariance, shrinkage and degrees of freedom for signal in closed form, at any point."""
    problem = LinearGaussian.problem()
    root, prior = LinearGaussian.root, LinearGaussian.prior_covariance
    for u in ([0.0, 0.0], [-1.0, 2.0]):
        found = assess(linearised(problem, np.array(u)))
        covariance = root @ found.posterior.covariance @ root.T
        assert covariance == pytest.approx(LinearGaussian.covariance, rel=1e-9)
        assert found.dfs == pytest.approx(1.9738741944557, rel=1e-12)
        # In whitened coordinates the prior is the identity, and shrinkages add up to the dfs.
        assert found.shrinkage.sum() == pytest.approx(found.dfs, rel=1e-12)
        assert found.sd_prior == pytest.approx([1.0, 1.0])
        for k, (_, slope) in enumerate(derived_gradients(problem, np.array(u)).values()):
            sd = found.posterior.sd(slope)
            assert sd**2 == pytest.approx(LinearGaussian.covariance[k, k], rel=1e-9)
            assert 0.9 < 1.0 - sd**2 / prior[k, k] < 1.0


@pytest.mark.parametrize("certified", [MISRA1A, ECKERLE4], ids=lambda c: c.name)
def test_certified_standard_errors(certified):
    problem = certified.problem()
    found = look(problem, **dict(zip(problem.space.names, certified.estimate, strict=True)))
    assert found.sd == pytest.approx(certified.sd, rel=1e-8)
    assert found.sd_alone == pytest.approx(found.sd, rel=1e-12)
    assert np.isnan(found.shrinkage).all()
    assert found.dfs == pytest.approx(len(certified.sd), rel=1e-9)
    assert set(found.verdict) == {IDENTIFIED}


def test_rosenbrock():
    """f = sum r^2 has the Hessian 2 J^T J, whose inverse is [[0.5, 1], [1, 2.005]]."""
    found = look(Rosenbrock.problem(), a=1.0, b=1.0)
    assert found.posterior.covariance == pytest.approx(Rosenbrock.covariance, rel=1e-10)
    half = found.posterior.covariance / 2.0
    assert half == pytest.approx(np.array([[0.5, 1.0], [1.0, 2.005]]), rel=1e-10)
    assert np.linalg.inv(half) == pytest.approx(np.array([[802, -400], [-400, 200]]), rel=1e-8)
    assert found.correlation[0, 1] == pytest.approx(2.0 / math.sqrt(4.01))
    jacobian = np.array([[-20.0, 10.0], [-1.0, 0.0]])
    assert found.condition_number == pytest.approx(np.linalg.cond(jacobian), rel=1e-10)
    columns = jacobian / np.linalg.norm(jacobian, axis=0)
    least = np.linalg.svd(columns, compute_uv=False)[-1]
    assert found.collinearity == pytest.approx(1.0 / least, rel=1e-10)


def test_agrees_with_the_posterior_of_an_estimate():
    """Where neither residuals nor bounds come in, it is the naive covariance of `estimate`."""
    problem = line_problem(X, 1.0 + 2.0 * X, 0.1, slope=LogNormal(2.0, 1.0))
    u = np.asarray(
        problem.space.to_whitened({"intercept": jnp.asarray(1.0), "slope": jnp.asarray(2.0)})
    )
    naive = posterior(problem, u)
    found = assess(linearised(problem, u))
    scale = np.array([1.0, 2.0 * problem.space.free[1].prior.log_sd])
    assert found.posterior.covariance == pytest.approx(
        naive.covariance_naive * np.outer(scale, scale), rel=1e-9
    )
    assert found.sd_prior == pytest.approx([np.inf, scale[1]])


@given(seed=st.integers(0, 10_000), informative=st.lists(st.booleans(), min_size=4, max_size=4))
def test_what_the_data_say_is_the_posterior_without_the_own_prior(seed, informative):
    """Against dense inverses of random linear problems, one prior taken out at a time."""
    generator = np.random.default_rng(seed)
    data = generator.standard_normal((9, 4)) * 10.0 ** generator.uniform(-2, 2, 4)
    sd_prior = 10.0 ** generator.uniform(-2, 2, 4)
    prior = np.diag(1.0 / sd_prior)[np.array(informative)]
    entries = tuple(entry(name=f"p{k}", lower=-math.inf) for k in range(4))
    found = assess(Linearised(np.zeros(4), entries, data, prior))
    hessian = data.T @ data + prior.T @ prior
    covariance = np.linalg.inv(hessian)
    assert found.sd == pytest.approx(np.sqrt(np.diag(covariance)), rel=1e-6)
    assert found.dfs == pytest.approx(np.trace(covariance @ data.T @ data), rel=1e-6)
    for k in range(4):
        without = hessian.copy()
        without[k, k] -= informative[k] / sd_prior[k] ** 2
        expected = np.sqrt(np.linalg.inv(without)[k, k])
        if found.shrinkage[k] < 1e-4:  # nearly nothing: a difference of equal numbers
            assert found.sd_data[k] > 50.0 * found.sd[k]
        else:
            assert found.sd_data[k] == pytest.approx(expected, rel=1e-4)


def test_derivatives_that_are_not_finite():
    problem = make_problem(
        lambda p, f: jnp.sqrt(p["a"] - 2.0) * f["x"],
        {"a": Flat(0.0, 9.0)},
        {"a": 1.0},
        {"x": X},
        X,
    )
    with pytest.raises(InputError, match="finite derivatives"):
        look(problem)


# -- directions that nothing sees ---------------------------------------------------------------

FORMS: dict[str, tuple[Callable, str]] = {
    "product": (lambda p, f: p["a"] * p["b"] * f["x"], "a x b"),
    "ratio": (lambda p, f: p["a"] / p["b"] * f["x"], "a / b"),
    "power": (lambda p, f: p["a"] * p["b"] ** 2 * f["x"], "a x b^2"),
    "root": (lambda p, f: p["b"] / jnp.sqrt(p["a"]) * f["x"], "a / b^2"),
    "sum": (lambda p, f: (p["a"] + p["b"]) * f["x"], "a + b"),
    "difference": (lambda p, f: jnp.exp(p["a"] - p["b"]) * f["x"], "a - b"),
    "bowen": (lambda p, f: p["a"] * (1.0 + 1.0 / p["b"]) * f["x"], "a x (1 + 1/b)"),
    "wet": (lambda p, f: p["b"] / (1.0 + p["a"]) * f["x"], "b / (1 + a)"),
    "albedo": (lambda p, f: (1.0 - p["a"]) * p["b"] * f["x"], "b x (1 - a)"),
}


def pair(function: Callable, a: float = 0.4, b: float = 1.7) -> InverseProblem:
    priors = {"a": Flat(0.0, 0.9), "b": Flat(0.0, 50.0)}
    return make_problem(function, priors, {"a": a, "b": b}, {"x": X}, X, 0.01)


@pytest.mark.parametrize("form", FORMS)
def test_the_combination_that_is_constrained_is_named(form):
    function, words = FORMS[form]
    problem = pair(function)
    found = look(problem)
    assert found.rank == 1
    assert math.isinf(found.condition_number)
    assert math.isinf(found.collinearity)
    assert found.dfs == pytest.approx(1.0, rel=1e-9)
    assert np.isinf(found.sd).all()
    assert set(found.verdict) == {NOT_IDENTIFIED}
    (gap,) = unobservable(problem, found.linearised)
    assert gap.constrained == words
    assert gap.parameters == ("a", "b")
    assert gap.fix == (("a",), ("b",))
    assert gap.unseen == 1


@pytest.mark.parametrize(
    "function",
    [
        # Looks like a product where b = 1, and like a sum with slope one: it is neither.
        lambda p, f: p["a"] * jnp.exp(p["b"]) * f["x"],
        lambda p, f: (p["a"] + p["b"] ** 2 / 2.0) * f["x"],
        lambda p, f: (p["a"] + jnp.log(p["b"])) * f["x"],
    ],
)
def test_a_form_that_holds_at_one_point_only_is_not_believed(function):
    problem = pair(function, b=1.0)
    (gap,) = unobservable(problem, look(problem).linearised)
    assert gap.constrained is None
    assert set(gap.direction) == {"a", "b"}
    assert max(map(abs, gap.direction.values())) == 1.0


def test_a_product_beside_a_parameter_that_is_seen():
    """`product` is the model's own name for it, and keeps a finite standard deviation."""
    problem = product_problem()
    found = look(problem, a=2.0, b=3.0, c=1.0)
    assert found.verdict == (NOT_IDENTIFIED, NOT_IDENTIFIED, IDENTIFIED)
    (gap,) = unobservable(problem, found.linearised)
    assert (gap.constrained, gap.derived, gap.parameters) == ("a x b", ("product",), ("a", "b"))
    _, slope = derived_gradients(problem, found.linearised.u)["product"]
    design = np.stack([np.linspace(0.0, 1.0, 11), np.ones(11)], axis=1) / 0.1
    expected = np.sqrt(np.linalg.inv(design.T @ design)[0, 0])
    assert found.posterior.sd(slope) == pytest.approx(expected, rel=1e-9)


def several(function: Callable, names: str) -> InverseProblem:
    priors = {name: Flat(0.0, 10.0) for name in names}
    start = {name: 1.0 + 0.37 * k for k, name in enumerate(names)}
    return make_problem(function, priors, start, {"x": X}, X, 0.01)


def test_gaps_that_have_nothing_to_do_with_each_other_are_told_apart():
    problem = several(
        lambda p, f: p["a"] * p["c"] * f["x"] + p["b"] / p["d"] + p["e"] * f["x"] ** 2, "abcdef"
    )
    found = look(problem)
    assert found.rank == 3
    gaps = {gap.parameters: gap for gap in unobservable(problem, found.linearised)}
    assert gaps["a", "c"].constrained == "a x c"
    assert gaps["b", "d"].constrained == "b / d"
    assert (gaps["f",].constrained, gaps["f",].fix) == ("", (("f",),))
    assert len(gaps) == 3
    assert found.verdict == (*[NOT_IDENTIFIED] * 4, IDENTIFIED, NOT_IDENTIFIED)


def test_three_parameters_in_one_product():
    problem = several(lambda p, f: p["a"] * p["b"] / p["c"] * f["x"], "abc")
    (gap,) = unobservable(problem, look(problem).linearised)
    assert (gap.constrained, gap.unseen) == ("a x b / c", 2)
    assert set(gap.fix) == {("a", "b"), ("a", "c"), ("b", "c")}


def test_two_combinations_of_three_parameters_are_not_one():
    problem = several(lambda p, f: p["a"] * p["b"] * f["x"] + p["b"] * p["c"], "abc")
    (gap,) = unobservable(problem, look(problem).linearised)
    assert (gap.constrained, gap.unseen) == (None, 1)
    # a and c rise while b falls by as much, in relative terms.
    shares = gap.direction
    assert shares["a"] == pytest.approx(shares["c"])
    assert shares["a"] == pytest.approx(-shares["b"])
    assert set(gap.fix) == {("a",), ("b",), ("c",)}


def test_nothing_is_unobservable_where_everything_is_seen():
    problem = line_problem(X, X)
    assert unobservable(problem, look(problem).linearised) == []


# -- the verdict ------------------------------------------------------------------------------


def entry(**changes) -> Entry:
    given = {
        "name": "p",
        "long_name": "a parameter",
        "unit": "1",
        "value": 2.0,
        "prior": "flat",
        "lower": 0.5,
        "upper": 100.0,
        "start": None,
        "scale": 1.0,
    }
    return Entry(**(given | changes))


@pytest.mark.parametrize(
    ("changes", "yardstick"),
    [
        ({}, 2.0),  # positive: the value
        ({"value": 0.95, "lower": 0.7, "upper": 1.0}, 0.3),  # an emissivity: its whole range
        ({"value": 0.01, "lower": 0.0, "upper": 1.0}, 0.05),  # zero is allowed: part of the range
        ({"value": 0.0, "lower": 0.0, "upper": 1.0}, 1.0),
        ({"unit": "K", "value": 293.0, "lower": 240.0, "upper": 340.0}, 10.0),
        ({"unit": "K", "value": 293.0, "start": (291.0, 295.0)}, 4.0),
        ({"lower": -5.0, "upper": 5.0}, 10.0),  # zero is a convention
        ({"lower": -math.inf, "upper": math.inf, "scale": 3.0}, 3.0),
        ({"lower": 0.0, "upper": math.inf}, 2.0),
    ],
)
def test_yardsticks(changes, yardstick):
    assert entry(**changes).yardstick == pytest.approx(yardstick)


@pytest.mark.parametrize(
    ("sd", "shrinkage", "alone", "expected"),
    [
        (0.1, math.nan, 0.1, IDENTIFIED),
        (0.11, math.nan, 0.11, WEAK),
        (0.5, math.nan, 0.5, WEAK),
        (0.51, math.nan, 0.51, NOT_IDENTIFIED),
        (math.inf, math.nan, math.inf, NOT_IDENTIFIED),
        (0.05, 0.9, 0.05, IDENTIFIED),
        (0.05, 0.4, 0.05, WEAK),  # the prior says more than the data
        (0.05, 0.05, 0.05, NOT_IDENTIFIED),  # and here it says it all
        (0.05, 0.9, math.inf, WEAK),  # only with the help of another parameter's prior
    ],
)
def test_verdicts(sd, shrinkage, alone, expected):
    assert verdict(sd, shrinkage, alone, 1.0) == expected


def test_a_prior_identifies_nothing():
    """However tight the priors on a and b, the data see their product alone."""
    for sd in (1e-6, 0.01, 1.0, 100.0):
        priors = {"a": Normal(2.0, sd), "b": Normal(3.0, sd)}
        problem = make_problem(
            lambda p, f: p["a"] * p["b"] * f["x"], priors, {"a": 2.0, "b": 3.0}, {"x": X}, X, 0.01
        )
        found = look(problem)
        assert np.isinf(found.sd_alone).all()
        assert IDENTIFIED not in found.verdict
        (gap,) = unobservable(problem, found.linearised)
        assert gap.constrained is None or gap.constrained == "a x b"


# -- sets of sensors --------------------------------------------------------------------------


@pytest.mark.parametrize("rho", [0.0, 0.6, 0.95])
def test_information_of_errors_that_persist(rho):
    """The whitener against the dense inverse of an AR(1) covariance."""
    slopes = np.random.default_rng(4).standard_normal((30, 2, 3))
    candidates = [Candidate("surface_temperature", 0.5), Candidate("net_radiation", 7.0)]
    lag = np.abs(np.subtract.outer(np.arange(30), np.arange(30)))
    for k, factor in enumerate(factors(slopes, candidates, rho)):
        noise = candidates[k].sigma ** 2 * rho**lag
        expected = slopes[:, k].T @ np.linalg.solve(noise, slopes[:, k])
        assert factor.T @ factor == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("rho", [-0.1, 1.0, 1.5])
def test_autocorrelations_that_cannot_be(rho):
    with pytest.raises(InputError, match="autocorrelation"):
        factors(np.ones((3, 1, 1)), [Candidate("net_radiation", 1.0)], rho)


def test_sets_of_sensors_against_dense_inverses():
    generator = np.random.default_rng(9)
    slopes = generator.standard_normal((20, 3, 2))
    names = ["surface_temperature", "net_radiation", "outgoing_longwave"]
    of = factors(slopes, [Candidate(name, 1.0 + k) for k, name in enumerate(names)])
    entries = (entry(name="p"), entry(name="q", unit="K", value=300.0))
    prior = np.array([[0.0, 1.0 / 3.0]])
    linear = Linearised(np.zeros(2), entries, np.zeros((2, 2)), prior)
    sets = sensor_sets(names, of, prior, linear, 3)
    assert [len(s.streams) for s in sets] == [1, 1, 1, 2, 2, 2, 3]
    yard = np.array([2.0, 10.0])
    for s in sets:
        rows = [slopes[:, k] / (1.0 + k) for k, n in enumerate(names) if n in s.streams]
        stacked = np.concatenate([prior, *rows])
        covariance = np.linalg.inv(stacked.T @ stacked)
        assert s.sd == pytest.approx(np.sqrt(np.diag(covariance)), rel=1e-9)
        assert s.a == pytest.approx(np.sqrt(np.mean(np.diag(covariance) / yard**2)), rel=1e-9)
        volume = np.linalg.det(covariance / np.outer(yard, yard)) ** 0.25
        assert s.d == pytest.approx(volume, rel=1e-9)
        steps = np.array([2.0, 1.0])
        assert s.condition == pytest.approx(np.linalg.cond(stacked * steps), rel=1e-9)
    nothing = evaluated((), np.zeros((0, 2)), linear)
    assert (nothing.a, nothing.d, nothing.condition) == (np.inf,) * 3
    with pytest.raises(InputError, match="at most 100000 sets"):
        sensor_sets(names * 100, np.tile(of, (100, 1, 1)), prior, linear, 3)


def test_columns_of_zeros_and_too_few_rows():
    inverse = invert(np.array([[2.0, 0.0, 0.0]]), np.array([1.0, 5.0, 1.0]))
    assert inverse.sds() == pytest.approx([0.5, np.inf, np.inf])
    assert inverse.unseen.shape == (3, 2)

"""A problem on an emulator: its derivatives, its errors, and the answer of its model."""

from __future__ import annotations

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from caliche.commands.emulate.run import Emulation, emulate
from caliche.emulators.components import components_of, outputs_of, usual_metrics
from caliche.emulators.model_runs import FORWARD, REVERSE, Costs, ModelRunner
from caliche.emulators.plan import planned
from caliche.emulators.problem import EmulatedProblem, emulated_problem
from caliche.errors import InputError
from caliche.estimation import estimate
from caliche.metrics.errors import errors_of, metric_errors
from caliche.metrics.metric import Metrics
from caliche.metrics.vectors import Vector, vector_metrics
from caliche.parameters.priors import Normal
from caliche.posterior.profile import profile
from caliche.problems.inverse import InverseProblem
from problems import make_problem

TIME = np.linspace(0.0, 4.0, 41)


def _decay(params, forcing):
    return params["size"] * jnp.exp(-params["rate"] * forcing["time"]) + params["level"]


@functools.cache
def problem() -> InverseProblem:
    truth = 2.2 * np.exp(-0.9 * TIME) + 0.4
    observed = truth + 0.05 * np.random.default_rng(0).standard_normal(len(TIME))
    observed[[3, 17]] = np.nan
    return make_problem(
        _decay,
        {"size": Normal(2.0, 0.4), "rate": Normal(1.0, 0.2), "level": Normal(0.3, 0.3)},
        {"size": 2.0, "rate": 1.0, "level": 0.3},
        {"time": TIME},
        observed,
        sigma=0.05,
    )


@functools.cache
def emulation(outputs: str = "pcs") -> Emulation:
    return emulate(problem(), outputs, gradients="always")


def on_emulator(outputs: str = "pcs") -> EmulatedProblem:
    return emulation(outputs).problem


@pytest.fixture(scope="module", params=["pcs", "metrics"])
def emulated(request) -> EmulatedProblem:
    return on_emulator(request.param)


_misfit = eqx.filter_jit(lambda p, u: p.misfit(u))
_reverse = eqx.filter_jit(lambda p, u: jax.grad(p.misfit)(u))
_equations = eqx.filter_jit(lambda p, u: p.misfit_equations(u))
_residual = eqx.filter_jit(lambda p, u: p.residual(u))
_tangents = eqx.filter_jit(lambda p, u: p.predict_tangents(u))
AT = jnp.array([0.3, -0.5, 0.2])


def test_reverse_forward_and_finite_differences_agree(emulated):
    forward = _equations(emulated, AT).gradient
    assert np.asarray(_reverse(emulated, AT)) == pytest.approx(np.asarray(forward), rel=1e-8)
    for k in range(3):
        step = 1e-5 * np.eye(3)[k]
        up, down = (_misfit(emulated, AT + sign * step) for sign in (1.0, -1.0))
        assert forward[k] == pytest.approx(float(up - down) / 2e-5, rel=1e-4, abs=1e-3)
    prediction, slopes = _tangents(emulated, AT)
    assert slopes.shape == (*prediction.shape, 3)


def test_the_misfit_is_the_half_square_of_the_residual(emulated):
    residual, u = _residual(emulated, AT), np.asarray(AT)
    misfit = float(_misfit(emulated, AT)) + 0.5 * float(u @ u)
    assert 0.5 * float(residual @ residual) == pytest.approx(misfit, rel=1e-12)


def test_the_misfit_is_the_likelihood_with_the_variance_of_the_emulator_added():
    emulated = on_emulator()
    mask = np.asarray(emulated.mask)
    outputs, variance = emulation().emulator.predict(np.asarray(AT)[None])
    basis = np.asarray(emulated.basis)[:, mask]
    field = np.asarray(emulated.base)[mask] + (outputs[0] - np.asarray(emulated.start)) @ basis
    r = field - (np.asarray(problem().observations.values) / 0.05)[mask]
    dropped = np.asarray(emulation().outputs.dropped)[:, mask]
    covariance = np.eye(mask.sum()) + basis.T @ (variance[0][:, None] * basis) + dropped.T @ dropped
    expected = 0.5 * r @ np.linalg.solve(covariance, r)
    expected += 0.5 * np.linalg.slogdet(covariance)[1]
    assert float(_misfit(emulated, AT)) == pytest.approx(expected, rel=1e-8)


def test_where_the_emulator_does_not_know_the_data_say_less():
    emulated = on_emulator()
    unsure = eqx.tree_at(
        lambda p: [group.inflation for group in p.surface.alike],
        emulated,
        [1e8 * group.inflation for group in emulated.surface.alike],
    )
    sure, less = (np.linalg.eigvalsh(_equations(p, AT).hessian)[-1] for p in (emulated, unsure))
    assert less < sure


def test_lm_finds_the_answer_of_the_model_with_error_bars_no_smaller(emulated):
    exact, found = estimate(problem(), "lm"), estimate(emulated, "lm")
    assert found.converged
    for name in exact.names:
        a, b = exact.parameters[name], found.parameters[name]
        assert a.sd_naive is not None
        assert b.sd is not None
        assert abs(a.estimate - b.estimate) < 1.5 * max(a.sd_naive, b.sd)
        assert b.sd > 0.9 * a.sd_naive


def test_outside_the_box_there_is_an_error_or_no_finite_misfit(emulated):
    outside = jnp.array([0.0, 5.0, 0.0])
    for ask in (emulated.forward, emulated.misfit, emulated.cost, emulated.linearise):
        with pytest.raises(InputError, match="rate between -2 and 2 in u"):
            ask(outside)
    assert float(_misfit(emulated, outside)) == np.inf
    assert np.isnan(_tangents(emulated, outside)[0]).all()
    assert not np.isfinite(_equations(emulated, outside).cost)


def test_profiles_on_an_emulator_are_those_of_the_model():
    intervals = []
    for one in (problem(), on_emulator()):
        u = estimate(one, "lm").u
        found = profile(one, u, ["rate"], points=4).parameters["rate"]
        intervals.append([end.value for end in found.intervals[0.95]])
    exact, emulated = np.array(intervals)
    assert emulated == pytest.approx(exact, abs=0.15 * (exact[1] - exact[0]))


def test_either_mode_gives_the_same_slopes():
    runner, metrics = ModelRunner(problem()), usual_metrics(problem())
    u = np.random.default_rng(0).uniform(-1.0, 1.0, (5, 3))
    fields = runner.fields(u)
    for outputs in (metrics, curved(), components_of(problem(), fields)):
        one, other = (runner.slopes(outputs, u, mode) for mode in (FORWARD, REVERSE))
        assert one == pytest.approx(other, rel=1e-9, abs=1e-12)
        step = 1e-6 * np.eye(3)[1]
        up, down = (outputs.of_fields(runner.fields(u + s * step)) for s in (1.0, -1.0))
        assert one[:, :, 1] == pytest.approx((up - down) / 2e-6, abs=1e-6)
        assert np.asarray(outputs(jnp.asarray(fields[0]))) == pytest.approx(
            outputs.of_fields(fields)[0], rel=1e-12
        )


def curved() -> Metrics:
    """A mean and a standard deviation of the decay."""
    seen = np.asarray(problem().mask)
    values = np.asarray(problem().observations.values)
    return vector_metrics(Vector(problem().stream_names, values, seen), ("mean", "sd"))[0]


def test_metrics_of_the_observations_carry_their_errors():
    metrics = usual_metrics(problem())
    assert metrics.linear.all()
    assert not curved().linear.all()
    series = np.asarray(problem().observations.values)
    told = metric_errors(metrics, series, errors_of(problem().observations))
    seen = series[np.asarray(problem().mask)]
    assert metrics.names[0].endswith(": mean")
    assert told.values[0] == pytest.approx(seen.mean(), rel=1e-12)
    assert told.covariance[0, 0] == pytest.approx(0.05**2 / len(seen), rel=1e-9)
    assert np.all(told.bias == 0.0)
    # With memory: a^T R a of the same weights.
    declared = dataclasses.replace(problem().observations, autocorrelation=jnp.array([0.6]))
    longer = metric_errors(metrics, series, errors_of(declared)).covariance
    a = np.asarray(metrics.weights)
    r = 0.6 ** np.abs(np.subtract.outer(np.arange(41), np.arange(41)))
    assert longer == pytest.approx(0.05**2 * a @ r @ a.T, rel=1e-9)
    # A curved metric of values with errors is off on average, and that is taken back.
    both = metric_errors(curved(), series, errors_of(problem().observations))
    assert both.bias[0] == 0.0
    assert both.bias[1] == pytest.approx(0.05**2 / (2.0 * seen.std()), rel=0.3)


def test_components_give_back_the_predictions_that_they_were_made_of():
    fields = ModelRunner(problem()).fields(np.random.default_rng(1).uniform(-1.5, 1.5, (20, 3)))
    parts = components_of(problem(), fields)
    mask = np.asarray(problem().mask)
    scores = parts.of_fields(fields)
    basis, base = np.asarray(parts.basis)[:, mask], np.asarray(parts.base)[mask]
    again = base + (scores - base @ basis.T) @ basis
    assert np.abs(again - fields[:, mask] / 0.05).max() < 0.5
    assert parts.kept > 0.999
    with pytest.raises(InputError, match="depend on a free parameter"):
        components_of(problem(), np.repeat(fields[:1], 8, axis=0))


@pytest.mark.parametrize("kind", ["rmse", "misfit", "pc"])
def test_scores_are_not_emulated(kind):
    with pytest.raises(InputError, match="metrics or pcs"):
        outputs_of(kind, problem(), np.zeros((8, 41, 1)))


def test_heavy_tails_and_refused_outputs_are_refused():
    found = emulation()
    tails = dataclasses.replace(
        problem(), observations=dataclasses.replace(problem().observations, freedom=(4.0,))
    )
    with pytest.raises(InputError, match="heavy-tailed errors"):
        emulated_problem(tails, found.outputs, found.emulator)
    first = found.emulator.fits[0]
    failed = dataclasses.replace(first, check=dataclasses.replace(first.check, passed=False))
    bad = dataclasses.replace(found.emulator, fits=(failed, *found.emulator.fits[1:]))
    with pytest.raises(InputError, match="an emulator that passed its checks"):
        emulated_problem(problem(), found.outputs, bad)


def test_slopes_are_used_where_they_pay():
    cheap = planned(Costs(1.0, forward=1.5, reverse=2.0), 7, None, "auto")
    assert (cheap.slopes, cheap.mode, cheap.runs, cheap.held_out) == (True, FORWARD, 14, 9)
    dear = planned(Costs(1.0, forward=8.0, reverse=9.0), 7, None, "auto")
    assert (dear.slopes, dear.runs, dear.held_out) == (False, 70, 14)
    assert planned(Costs(1.0, forward=8.0, reverse=5.0), 7, 20, "always").mode == REVERSE
    assert not planned(Costs(1.0), 7, None, "never").slopes
    assert "takes 1 ms" in dear.sentences[0]
    assert "are not used" in dear.sentences[1]
    for runs, word in ((3, "auto"), (None, "perhaps"), (5000, "never"), (600, "always")):
        with pytest.raises(InputError):
            planned(Costs(1.0, 1.0, 1.0), 7, runs, word)


def test_the_frame_and_the_plots_of_an_emulation():
    found = emulation("metrics")
    frame = found.to_frame()
    assert frame.passed.all()
    assert len(frame) == len(found.outputs.names)
    assert found.passed
    for figure in (found.plot_errors(), found.plot_scales()):
        assert len(figure.axes) == 1

"""A scorecard as objective: 0 for the control, losses and damping held against it, and lowered."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from caliche.errors import InputError
from caliche.estimation.ensemble.engine import Engine
from caliche.evaluation.scorecard import card
from caliche.evaluation.scorecard.card import Record
from caliche.evaluation.scorecard.objective import (
    ScorecardObjective,
    objective_of,
    scorecard_objective,
)
from caliche.experiments.experiment import Experiment
from caliche.optimisation.bayes import Bayes
from caliche.parameters import Flat
from caliche.problems.joint import joint_problem
from caliche.runs.run import run_experiment
from problems import make_problem

SITE = "Pines"
DAYS = 40
HOURS = np.arange(24 * DAYS + 1)
SUN = np.maximum(0.0, 800.0 * np.sin(np.pi * ((HOURS - 0.5) % 24 - 6.0) / 12.0))
NOISE = 10.0 * np.random.default_rng(0).standard_normal(len(HOURS))
# By day 0.3 of the sun, by night 5; the model has one offset for both.
OBSERVED = np.where(SUN > 20.0, 0.3 * SUN + 30.0, 5.0) + NOISE


def model(params, forcing):
    return params["a"] * forcing["sun"] + params["b"]


def problem():
    priors = {"a": Flat(0.0, 1.0), "b": Flat(-50.0, 100.0)}
    return make_problem(model, priors, {"a": 0.2, "b": 60.0}, {"sun": SUN}, OBSERVED, 10.0)


def predicted(a: float, b: float) -> np.ndarray:
    return (a * SUN + b)[:, None]


def objective(**given) -> ScorecardObjective:
    step = np.timedelta64(3600, "s")
    local = np.datetime64("2020-06-01T00:00", "s") + HOURS * step
    record = Record(("flux",), OBSERVED[:, None], local, step, {"incoming_shortwave": SUN})
    return objective_of({SITE: record}, {SITE: (0,)}, predicted(0.2, 60.0), **given)


def value(of: ScorecardObjective, a: float, b: float) -> float:
    return float(of.formula(jnp.asarray(of.ingredients(predicted(a, b)))))


def test_it_is_zero_for_the_control_and_the_mean_change_of_the_cells():
    card = objective(penalty=0.0, damping=0.0)
    assert [p.row for p in card.places] == ["flux, mean", "flux, day", "flux, night"]
    np.testing.assert_allclose(value(card, 0.2, 60.0), 0.0, atol=1e-12)
    changes = [cell.change for cell in card.card(predicted(0.3, 20.0)).cells]
    np.testing.assert_allclose(value(card, 0.3, 20.0), np.mean(changes), atol=1e-12)


def test_losses_count_twice_more_and_only_where_they_are_more_than_chance():
    plain, harsh = objective(penalty=0.0, damping=0.0), objective(penalty=2.0, damping=0.0)
    # Better by day, worse by night.
    cells = {c.row: c for c in plain.card(predicted(0.25, 75.0)).cells}
    night = cells["flux, night"].change
    assert night > 0.1
    extra = value(harsh, 0.25, 75.0) - value(plain, 0.25, 75.0)
    assert 0.0 < extra < 2.0 / 3.0 * sum(max(c.change, 0.0) for c in cells.values())


def test_a_flat_model_is_held_against_its_damping():
    plain, lively = objective(penalty=0.0, damping=0.0), objective(penalty=0.0, damping=0.1)
    calm = 0.01, 60.0
    assert value(lively, *calm) > value(plain, *calm) + 0.3


def test_weights_are_the_users():
    night = objective(penalty=0.0, damping=0.0, weights={"mean": 0.0, "day": 0.0})
    cell = next(c for c in night.card(predicted(0.3, 5.0)).cells if c.row == "flux, night")
    np.testing.assert_allclose(value(night, 0.3, 5.0), cell.change, atol=1e-12)
    with pytest.raises(InputError, match=r"weights of .*day.*evening"):
        objective(weights={"evening": 1.0})
    with pytest.raises(InputError, match="weights and penalties of at least 0"):
        objective(penalty=-1.0)


def test_a_run_that_fails_has_no_ingredients():
    assert np.isnan(objective().ingredients(np.full((len(HOURS), 1), np.nan))).all()


@pytest.mark.ci
def test_it_is_lowered_from_its_emulated_ingredients():
    posed, card = problem(), objective()
    method = Bayes(budget=13, tolerance=1e-12).minimising(card)
    engine = Engine(method, posed.space, np.asarray(posed.space.initial()), 0)
    runner = method.runner(posed)
    while engine.verdict is None:
        engine.tell(*runner.run(engine.ask()))
    found = engine.state.cost.min()
    grid = min(
        value(card, a, b) for a in np.linspace(0.2, 0.4, 9) for b in np.linspace(0.0, 60.0, 13)
    )
    assert found < 0.9 * grid < 0.0
    assert engine.misfits[-1] == found
    assert "the lowest value within the ranges" in engine.verdict.reason
    u = engine.estimate
    outcome = method.ended(posed, [engine])
    np.testing.assert_allclose(outcome.final.cost[0], posed.cost(jnp.asarray(u)))
    assert outcome.reasons[0].startswith("the scorecard's objective fell to -")


def test_an_experiment_says_what_is_minimised():
    base = {"extends": "twin-two-depths", "objective": {"kind": "scorecard"}}
    experiment = Experiment.from_dict(base)
    assert experiment.config.objective.control == "initial"
    with pytest.raises(InputError, match="method bo for the scorecard"):
        run_experiment(experiment)
    short = Experiment.from_dict(base | {"method": {"name": "bo"}})
    with pytest.raises(InputError, match="observations on at least 15 days for a scorecard"):
        run_experiment(short)


@pytest.mark.ci
def test_sites_of_a_joint_problem_have_columns_of_their_own(monkeypatch):
    monkeypatch.setattr(card, "FEWEST_DAYS", 3)
    base = {"extends": "twin-two-depths"}
    sites = {
        "A": Experiment.from_dict(base),
        "B": Experiment.from_dict(base | {"synthetic": {"hours": 80}}),
    }
    joint = joint_problem({name: e.problem() for name, e in sites.items()})
    control = np.asarray(joint.forward(joint.space.initial()))
    found = scorecard_objective(joint, sites, control, ("mean",))
    assert {p.column for p in found.places} == {"A", "B"}
    assert len(found.places) == 4
    np.testing.assert_allclose(found.formula.weight, 0.25)
    parts = found.ingredients(control)
    np.testing.assert_allclose(found.formula(jnp.asarray(parts)), 0.0, atol=1e-12)
    # Better everywhere at A alone.
    better = control.copy()
    names = joint.stream_names
    seen = np.where(np.asarray(joint.mask), np.asarray(joint.observations.values), control)
    of_a = [k for k, name in enumerate(names) if name.endswith("@A")]
    better[:, of_a] += 0.5 * (seen - control)[:, of_a]
    cells = found.card(better).cells
    np.testing.assert_allclose([c.change for c in cells if c.column == "A"], -0.5, atol=1e-9)
    assert all(c.change == 0.0 for c in cells if c.column == "B")

"""What training and checks of a network must do on a column that is linear."""

from __future__ import annotations

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from caliche.column_networks import weather
from caliche.column_networks.checks import check_drift, check_jacobian, step_errors
from caliche.column_networks.data import Material
from caliche.column_networks.training import TrainingSettings, loss_parts, train_column, untrained
from caliche.errors import InputError
from caliche.models.base import Model
from caliche.models.emulated.model import EmulatedModel
from caliche.models.emulated.network import Scaling
from linear_column import LinearColumn, material_of, records, space_of

LINEAR = TrainingSettings(width=1, depth=0)
SHORT = TrainingSettings(
    epochs=4, updates=5, batch=32, runs=4, width=4, depth=1, patience=9, learning_rate=1e-3
)


@pytest.fixture(scope="module")
def material() -> Material:
    return material_of(LinearColumn())


def emulated(material: Material, settings: TrainingSettings = LINEAR) -> EmulatedModel:
    return EmulatedModel(material.view, untrained(material, settings, 0), material.trained)


def test_a_linear_network_reproduces_a_linear_column_and_its_jacobian(material):
    model = emulated(material)
    assert isinstance(model, Model)
    assert step_errors(model, material.held_out.steps).max() < 1e-6
    found = check_jacobian(model, material)
    assert found.error < 1e-5
    assert found.radius == pytest.approx(found.exact_radius, rel=1e-6)
    assert found.exact_radius == pytest.approx(
        1.0 / np.linalg.eigvalsh(np.asarray(LinearColumn().matrix)).min(), rel=1e-9
    )


def test_the_loss_of_derivatives_is_zero_if_and_only_if_they_are_exact(material):
    exact = untrained(material, LINEAR, 0)
    assert loss_parts(exact, material)["derivatives"] < 1e-18
    # Values may agree where derivatives do not: a change along what never varies in the data.
    size = exact.linear.shape
    for row, column in [(0, 0), (size[0] - 1, size[1] - 1), (2, 4)]:
        wrong = eqx.tree_at(lambda n: n.linear, exact, exact.linear.at[row, column].add(1e-3))
        assert loss_parts(wrong, material)["derivatives"] > 1e-9


def test_exact_steps_lose_no_energy_and_runs_follow(material):
    parts = loss_parts(untrained(material, LINEAR, 0), material)
    assert parts["energy"] < 1e-12
    assert parts["runs"] < 1e-12


def test_a_network_of_the_identity_does_not_drift():
    still = material_of(LinearColumn(still=True))
    stretches = weather.cut(records(), 3600.0)
    u = np.array([[-1.0], [0.5]])
    model = emulated(still)
    drift = check_drift(model, still, space_of(model.exact), u, stretches, 0, (1, 10))
    assert np.abs(drift.errors).max() == 0.0
    assert drift.failed == 0
    assert drift.imbalance == 0.0


def test_scaling_is_undone_exactly_enough_and_what_stands_still_is_only_centred():
    values = jnp.asarray(np.random.default_rng(0).normal(5.0, [1e-6, 1.0, 1e6], (50, 3)))
    values = jnp.concatenate([values, jnp.full((50, 1), 7.0)], axis=1)
    scaling = Scaling.of(values)
    assert np.allclose(scaling.physical(scaling.scaled(values)), values, rtol=1e-14)
    assert np.abs(np.asarray(scaling.scaled(values))[:, 3]).max() == 0.0
    assert np.asarray(scaling.scaled(values))[:, :3].std(0) == pytest.approx(np.ones(3))


def test_embedded_parameters_give_the_same_step(material):
    network = untrained(material, dataclasses.replace(SHORT, depth=2), 3)
    random = jax.random.normal(jax.random.key(1), network.deep.weights[-1].shape)
    network = eqx.tree_at(lambda n: n.deep.weights[-1], network, random)
    x = material.held_out.steps.x[0]
    whole = network(x)
    step = network.step(network.embed(x[-1:]), x[:-1])
    assert np.allclose(whole, step, rtol=1e-12)


def test_an_interrupted_training_goes_on_to_the_same_weights(material, tmp_path):
    whole = train_column(material, SHORT, 1)

    def stop(epoch: int, *_: object) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    file = tmp_path / "checkpoint.eqx"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("caliche.column_networks.training.CHECKPOINT_EVERY", -1.0)
        with pytest.raises(KeyboardInterrupt):
            train_column(material, SHORT, 1, file, stop)
    again = train_column(material, SHORT, 1, file)
    assert np.array_equal(whole.history, again.history)
    for a, b in zip(jax.tree.leaves(whole.network), jax.tree.leaves(again.network), strict=True):
        assert np.array_equal(a, b)
    assert whole.history.shape == (5, 2)
    assert whole.loss == whole.history[:, 1].min()


def test_held_out_weather_is_none_of_what_is_learned_from():
    stretches = weather.cut(records(), 3600.0)
    assert stretches.held_out.sum() == 2
    assert stretches.steps == 24
    parts = [
        weather.weather(stretches, held, 6, 100, np.random.default_rng(0))["air_temperature"]
        for held in (False, True)
    ]
    assert [p.shape for p in parts] == [(6, 101)] * 2
    with pytest.raises(InputError, match="two days or more"):
        weather.cut([{"air_temperature": np.zeros(30)}], 3600.0)

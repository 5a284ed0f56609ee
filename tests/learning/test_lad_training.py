"""Training of a network in LaD's fluxes: what it learns, and that nothing is lost on the way."""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from caliche import InverseProblem
from caliche.errors import InputError
from caliche.learning.training import Learned, TrainingSettings, cut, train
from caliche.models import LaD
from caliche.models.lad.fluxes import BulkFluxes
from caliche.models.lad.neural_fluxes import HybridFluxes, standardised
from caliche.observations import Observations, Stream, make_operator
from caliche.parameters import ParameterSpace
from caliche.parameters.space import free_parameter
from lad_cases import parameters, run, weather

pytestmark = pytest.mark.ci

STEP, DAYS = 3600.0, 13
SIGMA = {"latent_heat_flux": 10.0, "sensible_heat_flux": 10.0}
FREEDOM = (math.inf, 5.0)  # the second with heavy tails
SETTINGS = TrainingSettings(epochs=25, learning_rate=0.01, window_steps=72, patience=25)


def problem(kind: str = "conductance") -> InverseProblem:
    """A twin whose truth has another resistance and roughness than the model that learns."""
    truth = LaD(STEP, drag="neutral", thicknesses=(0.05, 0.5))
    forcing = weather(DAYS, STEP, 285.0)
    changed = {"stomatal_resistance": 200.0, "roughness_length": 0.2, "albedo": 0.25}
    series = run(truth, parameters(truth, **changed), forcing)
    rng = np.random.default_rng(0)
    observed = {
        name: np.append(np.nan, series[name] + sigma * rng.standard_normal(len(series[name])))
        for name, sigma in SIGMA.items()
    }
    observed["latent_heat_flux"][100:130] = np.nan
    law = HybridFluxes.build(kind, True, BulkFluxes(10.0, "neutral"), 8, 1, 0)  # type: ignore[arg-type]
    model = dataclasses.replace(truth, fluxes=law)
    model = standardised(model, parameters(model), forcing)
    declared = {d.name: d for d in model.declarations}
    space = ParameterSpace.build(
        model.declarations, {"albedo": free_parameter(declared["albedo"])}, {}
    )
    operator = make_operator(model, [Stream(name) for name in SIGMA])
    observations = dataclasses.replace(Observations.from_series(observed, SIGMA), freedom=FREEDOM)
    return InverseProblem(model, forcing, operator, observations, space)


@pytest.fixture(scope="module")
def twin() -> InverseProblem:
    return problem()


@pytest.fixture(scope="module")
def trained(twin):
    return train(twin, SETTINGS, seed=3)


def test_it_learns(twin, trained):
    first, last = trained.history[0], trained.history[-1]
    assert (last < 0.35 * first).all()
    assert trained.loss == trained.history[:, 1].min() < 1.5  # 1 is noise alone
    assert trained.best_epoch == trained.history[:, 1].argmin()
    assert trained.reason
    # The free parameter was learned with the weights.
    u0 = np.asarray(twin.space.initial())
    assert abs(float(trained.learned.u[0] - u0[0])) > 1e-3


def test_losses_are_those_of_one_run_of_the_record(twin, trained):
    """Windows begin with the states of the whole run, and every observation counts once."""
    learned = Learned(twin.model.fluxes.network, twin.space.initial())  # type: ignore[attr-defined]
    windows = cut(twin, SETTINGS.window_steps)
    lead = DAYS * 24 - 4 * 72
    assert windows.lead["air_temperature"].shape == (lead + 1,)
    standardised_misfit = jax.jit(InverseProblem.standardised_misfit)
    misfit = np.asarray(standardised_misfit(learned.put_into(twin), learned.u)) ** 2
    misfit[:, 1] = 6.0 * np.log1p(misfit[:, 1] / 5.0)
    later, mask = misfit[lead + 1 :], np.asarray(twin.mask)[lead + 1 :]
    held = np.zeros(len(later), bool)
    for begin in range(4 * 24, len(held), 5 * 24):  # each fifth day: a third of a window
        held[begin : begin + 24] = True
    expected = [later[part].sum() / mask[part].sum() for part in (~held, held)]
    np.testing.assert_allclose(trained.history[0], expected, rtol=1e-9)
    assert trained.n_observations == (int(mask[~held].sum()), int(mask[held].sum()))
    assert trained.n_windows == 4


def test_a_stopped_training_goes_on_exactly(twin, trained, tmp_path):
    """Stopped in the midst of it and resumed from the checkpoint, it ends as if never stopped."""
    file = tmp_path / "checkpoint.eqx"

    def stop(epoch: int, *_: float) -> None:
        if epoch == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(twin, SETTINGS, 3, file, stop, checkpoint_every=0.0)
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.eqx"]
    epochs: list[int] = []
    again = train(twin, SETTINGS, 3, file, lambda epoch, *_: epochs.append(epoch))
    assert epochs[0] == 7
    np.testing.assert_array_equal(again.history, trained.history)
    for ours, theirs in zip(
        jax.tree.leaves(again.learned), jax.tree.leaves(trained.learned), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    # A seed is what makes a training: the same gives the same, another another.
    assert again.loss == trained.loss
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(InputError, match="weights of this network"):
        train(twin, SETTINGS, 3, file)


def test_what_cannot_be_trained_is_refused(twin):
    with pytest.raises(InputError, match="observations to learn from"):
        cut(twin, DAYS * 24 + 1)
    bulk = dataclasses.replace(twin, model=dataclasses.replace(twin.model, fluxes=None))
    with pytest.raises(InputError, match="a network in its fluxes"):
        cut(bulk, 72)
    observed = dataclasses.replace(twin.observations, autocorrelation=jnp.asarray([0.5, 0.0]))
    with pytest.raises(InputError, match="autocorrelated"):
        cut(dataclasses.replace(twin, observations=observed), 72)
    periodic = dataclasses.replace(twin, period=24)
    with pytest.raises(InputError, match="spin_up_days"):
        cut(periodic, 72)

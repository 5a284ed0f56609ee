"""Ensembles that see a batch of the record at a time: the posterior of the whole record."""

from __future__ import annotations

import numpy as np
import pytest

from caliche.cards.methods import method_of
from caliche.errors import InputError
from caliche.estimation import estimate
from caliche.estimation.ensemble.ask_tell import AskTell
from caliche.files.checkpoint import Checkpoint
from caliche.problems.joint import joint_problem
from reservoir_cases import KEEP, N, draws, posterior_of, reservoir, standardised

BATCHES = 4


def closed_form() -> tuple[np.ndarray, np.ndarray]:
    jacobian, innovation, _ = standardised(*draws(), KEEP)
    return posterior_of(jacobian.sum(axis=1), innovation, np.eye(3))


@pytest.mark.parametrize("options", [{"steps": 3}, {}])
def test_etki_in_batches_gives_the_posterior_of_the_whole_record(options):
    """The model remembers from batch to batch; members start from states of their own."""
    result = estimate(reservoir(*draws()), "etki", seed=1, batches=BATCHES, **options)
    mean, covariance = closed_form()
    np.testing.assert_allclose(result.u, mean, atol=1e-8)
    np.testing.assert_allclose(result.covariance_u, covariance, rtol=1e-7, atol=1e-10)
    assert result.converged
    epochs = len(result.ensemble.times) - 1
    assert result.n_iterations == BATCHES * epochs + 1
    assert epochs == options.get("steps", epochs)


def test_eki_in_batches_is_near_it():
    result = estimate(reservoir(*draws()), "eki", seed=1, batches=BATCHES, members=100)
    mean, covariance = closed_form()
    sd = np.sqrt(np.diag(covariance))
    assert (np.abs(result.u - mean) < 0.7 * sd).all()
    np.testing.assert_allclose(np.sqrt(np.diag(result.covariance_u)), sd, rtol=0.4)


class Stopped(Exception):
    """In place of a kill."""


def test_stopped_and_gone_on_with_and_the_same_seed(tmp_path):
    problem, options = reservoir(*draws()), {"batches": BATCHES, "steps": 3}
    whole = estimate(problem, "etki", seed=1, **options)
    path = tmp_path / "state.npz"

    def stop(iteration, *_):
        if iteration == 6:  # in the middle of the second epoch
            raise Stopped

    with pytest.raises(Stopped):
        estimate(problem, "etki", seed=1, callback=stop, checkpoint=Checkpoint(path), **options)
    again = estimate(problem, "etki", seed=1, checkpoint=Checkpoint(path, resume=True), **options)
    np.testing.assert_array_equal(again.ensemble.u, whole.ensemble.u)
    np.testing.assert_array_equal(again.ensemble.times, whole.ensemble.times)


def test_an_epoch_sees_every_batch_once_in_an_order_of_its_own():
    method = method_of("etki", {"batches": 5, "members": 4})
    state = method.begin(reservoir(*draws()).space, np.zeros(3), 0)
    orders = [
        [method.batch(state._replace(iteration=5 * epoch + k))[0] for k in range(5)]
        for epoch in range(4)
    ]
    assert all(sorted(order) == list(range(5)) for order in orders)
    assert len({tuple(order) for order in orders}) > 1


def test_what_cannot_be_cut_is_refused():
    values, forcing = draws()
    values[20:40] = np.nan
    with pytest.raises(InputError, match="observations in every batch"):
        estimate(reservoir(values, forcing), "etki", batches=6)
    with pytest.raises(InputError, match="observations in every batch"):
        estimate(reservoir(values, forcing), "etki", batches=N + 5)
    with pytest.raises(InputError, match="batches of at least one"):
        method_of("etki", {"batches": 0})
    with pytest.raises(InputError, match="options that method uki has"):
        method_of("uki", {"batches": 2})
    space = reservoir(values, forcing).space
    with pytest.raises(InputError, match="all observations at once"):
        AskTell("etki", space, np.zeros(3), 1.0, batches=2)


def test_the_records_of_several_sites_are_not_cut():
    site = reservoir(*draws())
    with pytest.raises(InputError, match="one site where a record is cut into batches"):
        estimate(joint_problem({"A": site, "B": site}), "etki", batches=2)

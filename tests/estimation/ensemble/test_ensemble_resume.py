"""Stopped and gone on with is the same as never stopped, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest

from caliche.errors import InputError
from caliche.estimation import estimate
from caliche.estimation.ensemble.ask_tell import AskTell
from caliche.files.checkpoint import Checkpoint
from caliche.models.base import ParameterDeclaration
from caliche.parameters import Flat, FreeParameter, LogNormal, Normal
from problems import LinearGaussian

PRIORS = {"a": Normal(1.0, 0.5), "b": Flat(0.0, 4.0), "c": LogNormal(2.0, 1.0)}
PARAMETERS = [
    FreeParameter(ParameterDeclaration(n, n, "1", 1.5, p.lower, p.upper, "a test"), p, 1.5)
    for n, p in PRIORS.items()
]
TRUTH = np.array([[1.3, 0.8, 2.6]])


def model(members: np.ndarray) -> np.ndarray:
    a, b, c = members.T
    x = np.linspace(0.0, 2.0, 9)[:, None]
    out = (a + b * x + np.exp(-c * x)).T
    out[b > 3.5] = np.nan
    return out


OPTIONS = {
    "4denvar": {"iterated": True},
    "eki": {"failures": "redraw", "sampling_correction": True},
    "etki": {},
    "uki": {},
    "ga": {"max_iterations": 12},
    "cma": {"max_iterations": 12},
}


def job(name: str, **changes) -> AskTell:
    given = {"seed": 3, **OPTIONS[name], **changes}
    return AskTell(name, PARAMETERS, model(TRUTH)[0], 0.05, **given)


@pytest.mark.parametrize("name", OPTIONS)
def test_stopped_after_every_iteration(name, tmp_path):
    whole = job(name)
    while not whole.done:
        whole.tell(model(whole.ask()))
    state, done = tmp_path / "state.npz", False
    while not done:
        part = job(name)
        if state.exists():
            part.restore(state)
        before = part.iteration
        while part.iteration == before and not part.done:
            part.tell(model(part.ask()))
        part.save(state)
        done = part.done
    one, other = whole.result(), part.result()
    assert one.estimate == other.estimate
    assert one.reason == other.reason
    assert one.n_runs == other.n_runs
    np.testing.assert_array_equal(one.misfits, other.misfits)
    if one.members is not None:
        np.testing.assert_array_equal(one.members, other.members)
    assert list(tmp_path.iterdir()) == [state]


def test_a_state_of_something_else_is_refused(tmp_path):
    state = tmp_path / "state.npz"
    with pytest.raises(InputError, match="the state of a run that was stopped"):
        job("etki").restore(state)
    job("etki").save(state)
    for other in (job("eki"), job("etki", seed=4), job("etki", steps=2)):
        with pytest.raises(InputError, match="a state of the same problem"):
            other.restore(state)
    state.write_bytes(state.read_bytes()[:100])
    with pytest.raises(InputError, match="the state of a run that was stopped"):
        job("etki").restore(state)


class Stopped(Exception):
    pass


@pytest.mark.parametrize("method", ["etki", "cma"])
def test_estimate_goes_on_where_it_was_stopped(method, tmp_path):
    """A search with two starts, stopped in the second; an ensemble in its third step."""
    problem, path = LinearGaussian.problem(), tmp_path / "state.npz"
    starts = 2 if method == "cma" else 1
    options = {"max_iterations": 30} if method == "cma" else {}
    stop_at = 40 if method == "cma" else 3
    whole = estimate(problem, method, starts=starts, seed=2, **options)

    def stop(iteration: int, _misfit: float, _running: int) -> None:
        if iteration == stop_at:
            raise Stopped

    with pytest.raises(Stopped):
        estimate(
            problem,
            method,
            starts=starts,
            seed=2,
            callback=stop,
            checkpoint=Checkpoint(path),
            **options,
        )
    seen: list[int] = []
    again = estimate(
        problem,
        method,
        starts=starts,
        seed=2,
        checkpoint=Checkpoint(path, True),
        callback=lambda *news: seen.append(news[0]),
        **options,
    )
    assert seen[0] == stop_at + 1
    np.testing.assert_array_equal(whole.trajectory, again.trajectory)
    np.testing.assert_array_equal(whole.covariance, again.covariance)
    assert whole.n_model_runs == again.n_model_runs


def test_outputs_must_fit():
    unwell = job("etki")
    with pytest.raises(InputError, match=r"outputs of shape \(30, 9\)"):
        unwell.tell(np.zeros((4, 9)))
    with pytest.raises(InputError, match="one sigma, or one for each of the 2"):
        AskTell("etki", PARAMETERS, [1.0, 2.0], [0.1, 0.2, 0.3])
    with pytest.raises(InputError, match="a positive sigma"):
        AskTell("etki", PARAMETERS, [1.0, 2.0], -1.0)
    with pytest.raises(InputError, match="at least one observation"):
        AskTell("etki", PARAMETERS, [np.nan], 1.0)
    with pytest.raises(InputError, match="options that method uki has"):
        AskTell("uki", PARAMETERS, [1.0], 1.0, members=7)

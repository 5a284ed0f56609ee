"""Parameters from site attributes: a known map is found, and used at sites that were not seen."""

from __future__ import annotations

import numpy as np
import pytest

from caliche import InverseProblem
from caliche.errors import InputError
from caliche.learning.parameter_network import ParameterNetwork, train_parameter_network
from caliche.models import LaD
from caliche.observations import Observations, Stream, make_operator
from caliche.parameters import ParameterSpace
from caliche.parameters.space import free_parameter
from lad_cases import parameters, run, weather

STEP = 3600.0
MODEL = LaD(STEP, drag="neutral")
SIGMA = {"latent_heat_flux": 10.0, "net_radiation": 5.0}
N_TRAINING = 6


def true_map(attributes: np.ndarray) -> dict[str, float]:
    """Resistance falls with leaf area, albedo rises with sand; the third attribute says nothing."""
    leaf_area, sand, _ = attributes
    return {
        "stomatal_resistance": float(220.0 * np.exp(-0.4 * leaf_area)),
        "albedo": float(0.12 + 0.15 * sand**2),
    }


def space() -> ParameterSpace:
    declared = {d.name: d for d in MODEL.declarations}
    free = {name: free_parameter(declared[name]) for name in ("albedo", "stomatal_resistance")}
    return ParameterSpace.build(MODEL.declarations, free, {})


def site(attributes: np.ndarray, days: int, rng: np.random.Generator) -> InverseProblem:
    """A site's problem with noisy observations of its true parameters."""
    forcing = weather(days, STEP, 285.0 + 4.0 * rng.random())
    series = run(MODEL, parameters(MODEL, **true_map(attributes)), forcing)
    observed = {
        name: np.append(np.nan, series[name] + sigma * rng.standard_normal(len(series[name])))
        for name, sigma in SIGMA.items()
    }
    operator = make_operator(MODEL, [Stream(name) for name in SIGMA])
    observations = Observations.from_series(observed, SIGMA)
    return InverseProblem(MODEL, forcing, operator, observations, space())


@pytest.fixture(scope="module")
def sites():
    rng = np.random.default_rng(1)
    attributes = rng.random((N_TRAINING + 3, 3)) * np.array([4.0, 1.0, 10.0])
    problems = [site(a, 3, rng) for a in attributes[:N_TRAINING]]
    return attributes, problems


@pytest.mark.ci
def test_a_known_map_is_found(sites):
    attributes, problems = sites
    network = ParameterNetwork.build(problems[0].space, attributes[:N_TRAINING], seed=0)
    first = network.parameters(attributes[0])
    assert float(first["albedo"]) == pytest.approx(MODEL_ALBEDO, rel=1e-9)
    trained = train_parameter_network(network, problems, attributes[:N_TRAINING], epochs=100)
    assert trained.history[-1] < 0.6  # half a squared misfit per value, which is noise alone
    assert trained.history[-1] < 0.2 * trained.history[0]
    # At sites it never saw it does far better than the mean of the others.
    for name in ("albedo", "stomatal_resistance"):
        truths = np.array([true_map(a)[name] for a in attributes])
        found = np.array([float(trained.network.parameters(a)[name]) for a in attributes])
        unseen = slice(N_TRAINING, None)
        error = np.sqrt(np.mean((found - truths)[unseen] ** 2))
        of_mean = np.sqrt(np.mean((truths[:N_TRAINING].mean() - truths[unseen]) ** 2))
        assert error < 0.5 * of_mean, name


MODEL_ALBEDO = next(d.default for d in MODEL.declarations if d.name == "albedo")


def test_parameters_stay_within_their_bounds(sites):
    attributes, problems = sites
    network = ParameterNetwork.build(problems[0].space, attributes)
    far = 1e6 * np.ones(3)
    declared = {d.name: d for d in MODEL.declarations}
    weights = tuple(100.0 + w for w in network.network.weights)
    wild = type(network)(
        type(network.network)(weights, network.network.biases),
        network.mean,
        network.sd,
        network.space,
    )
    for name in ("albedo", "stomatal_resistance"):
        value = float(wild.parameters(far)[name])
        assert declared[name].lower <= value <= declared[name].upper


def test_what_does_not_fit_together_is_refused(sites):
    attributes, problems = sites
    network = ParameterNetwork.build(problems[0].space, attributes)
    with pytest.raises(InputError, match=f"attributes of {N_TRAINING} sites"):
        train_parameter_network(network, problems, attributes)

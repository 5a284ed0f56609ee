"""Correlated priors and ties in TOML, and what `caliche parameters` says of them."""

from __future__ import annotations

import numpy as np
import pytest

from caliche.commands.parameters.cli import parameters
from caliche.errors import InputError
from caliche.experiments import load_experiment

NORMALS = [
    'parameters.thermal_conductivity={prior="log-normal", mean=0.8, sd=0.2}',
    'parameters.volumetric_heat_capacity={prior="normal", mean=2.2e6, sd=2e5}',
]
PAIR = '{parameters=["thermal_conductivity", "volumetric_heat_capacity"], value=0.6}'
CORRELATED = [*NORMALS, f"prior_correlations=[{PAIR}]"]


def space(*overrides: str):
    return load_experiment("twin-two-depths", overrides).space


def test_a_correlation_in_toml():
    found = space(*CORRELATED)
    assert found.correlation is not None
    root = np.asarray(found.correlation.root)
    np.testing.assert_allclose(root @ root.T, [[1.0, 0.6], [0.6, 1.0]], rtol=1e-12)
    assert found.correlation.members == (2, 3)


def test_a_tie_in_toml():
    narrow = "parameters.albedo={lower=0.24, upper=0.33, start=[0.25, 0.3]}"
    found = space('parameters.emissivity={tied_to="albedo", factor=3.0}', narrow)
    assert "emissivity" not in found.names
    values = found.to_physical(found.initial())
    assert float(values["emissivity"]) == pytest.approx(0.9)


def test_parameters_of_an_experiment_in_words(capsys):
    tie = 'parameters.albedo={tied_to="emissivity", factor=0.3}'
    parameters("twin-two-depths", set_=[*CORRELATED, tie])
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    conductivity = rows["thermal_conductivity"]
    for part in (
        "free",
        "log-normal, 0.8 ± 0.2 W m-1 K-1, correlation 0.6 with volumetric_heat_capacity",
        "0.479 to 1.26",
        "Oke",
    ):
        assert part in conductivity
    assert "= 0.3 × emissivity   0.285" in rows["albedo"]
    assert "fixed" in rows["emissivity"]
    assert list(rows)[-1] == "emissivity"


@pytest.mark.parametrize("kind", ["normal", "log-normal"])
def test_a_prior_keeps_the_bounds_that_the_model_declares_or_those_that_are_given(kind):
    prior = f'parameters.thermal_conductivity={{prior="{kind}", mean=0.8, sd=0.9, UPPER}}'
    declared = space(prior.replace(", UPPER", "")).free[2]
    assert declared.name == "thermal_conductivity"
    assert (declared.prior.lower, declared.prior.upper) == (0.05, 5.0)
    given = space(prior.replace("UPPER", "upper=2.0"))
    assert (given.free[2].prior.lower, given.free[2].prior.upper) == (0.05, 2.0)
    assert "within 0.05 to 2" in given.describe_prior("thermal_conductivity")
    far = given.to_physical(given.initial() + 30.0)
    assert 1.99 < float(far["thermal_conductivity"]) <= 2.0
    with pytest.raises(InputError, match=f"the mean of a {kind} prior inside its bounds, for par"):
        space(prior.replace("UPPER", "upper=0.7"))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([*NORMALS, f"prior_correlations=[{PAIR}, {PAIR}]"], "a pair that was not given before"),
        ([*NORMALS, 'prior_correlations=[{parameters=["albedo"], value=0.1}]'], "two names"),
        ([*NORMALS, 'prior_correlations=["albedo"]'], "a table for"),
        ([f"prior_correlations=[{PAIR}]"], "a normal or log-normal prior of thermal_conduct"),
        (["parameters.albedo={tied_to='emissivity', fixed=true}"], "fixed = true or tied_to"),
        (["parameters.albedo.factor=2.0"], "tied_to beside factor"),
        (["parameters.emissivity.tied_to='albedoo'"], "'albedo'"),
        (["parameters.emissivity.tied_to='albedo'"], "emissivity, tied to albedo, to stay"),
    ],
)
def test_what_cannot_be_is_refused(overrides, message):
    with pytest.raises(InputError, match=message):
        space(*overrides)

"""Observations: one column for each stream, gaps masked, and what a sensor can see at all."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from caliche.errors import InputError
from caliche.models import SoilHeat
from caliche.observations import Observations, Stream, make_operator
from caliche.observations.operator import _running_mean

MODEL = SoilHeat((0.0, 0.1, 0.3, 0.6), 1800.0)
SERIES = {
    "surface_temperature": np.array([290.0, np.nan, 292.0, 293.0]),
    "outgoing_longwave": np.array([np.nan, 400.0, np.inf, 410.0]),
}


def test_columns_follow_the_order_of_the_series():
    observations = Observations.from_series(
        SERIES, {"outgoing_longwave": 5.0, "surface_temperature": 0.5}
    )
    assert observations.sigma.tolist() == [0.5, 5.0]
    assert observations.mask.T.tolist() == [[True, False, True, True], [False, True, False, True]]
    values = np.asarray(observations.values)
    np.testing.assert_array_equal(values[:, 0][[0, 2, 3]], [290.0, 292.0, 293.0])
    np.testing.assert_array_equal(values[:, 1][[1, 3]], [400.0, 410.0])
    assert np.isfinite(values).all()  # 0 * NaN would spoil a gradient
    assert values.dtype == np.float64


@pytest.mark.parametrize("sigma", [0.0, -1.0, np.nan])
def test_sigma_is_positive(sigma):
    with pytest.raises(InputError, match="positive sigma of outgoing_longwave"):
        Observations.from_series(SERIES, {"surface_temperature": 0.5, "outgoing_longwave": sigma})


def test_what_can_be_seen_at_all():
    """States from time zero, fluxes from the first step, means when they are complete."""
    streams = [
        Stream("surface_temperature"),
        Stream("outgoing_longwave"),
        Stream("surface_temperature", 2),
        Stream("outgoing_longwave", 3),
        Stream("ground_heat_flux_0.10m", 1),
    ]
    visible = make_operator(MODEL, streams).visible(6)
    assert visible.shape == (6, 5)
    assert visible.argmax(axis=0).tolist() == [0, 1, 2, 3, 1]
    assert (np.diff(visible.astype(int), axis=0) >= 0).all()


def test_a_mean_longer_than_the_window_is_never_seen():
    assert not make_operator(MODEL, [Stream("outgoing_longwave", 9)]).visible(6).any()


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 48])
def test_a_running_mean_is_the_mean_of_each_window(steps):
    values = np.random.default_rng(steps).normal(290.0, 10.0, 60)
    found = np.asarray(_running_mean(jnp.asarray(values), steps))
    assert not np.any(found[:steps])
    windows = np.lib.stride_tricks.sliding_window_view(values, steps)
    np.testing.assert_allclose(found[steps:], windows.mean(axis=1), rtol=1e-14)

"""Metrics of a list of numbers, of one stream or several."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from caliche.errors import InputError
from caliche.metrics.vectors import Vector, usual_kinds, vector_metrics

VALUES = np.array([1.0, 2.0, 4.0, 7.0, 100.0, 300.0])
STREAM = np.array([0, 0, 0, 0, 1, 1])
MASK = STREAM[:, None] == np.arange(2)
SEEN = Vector(("near", "far"), np.where(MASK, VALUES[:, None], 0.0), MASK)


def numbers(*kinds: str) -> dict[str, float]:
    metrics, _ = vector_metrics(SEEN, kinds)
    values = np.asarray(metrics(jnp.asarray(np.where(MASK, VALUES[:, None], np.nan))))
    return dict(zip(metrics.names, values.tolist(), strict=True))


def test_each_stream_has_its_own_metrics():
    assert usual_kinds(SEEN) == ("values",)
    found = numbers("values")
    assert list(found.values()) == pytest.approx(VALUES)
    assert list(found)[4] == "far: value 1"
    found = numbers("mean", "change", "sd")
    assert found == pytest.approx(
        {"near: mean": 3.5, "near: change": 6.0, "near: standard deviation": np.sqrt(5.25)}
    )
    assert list(numbers("bins").values()) == pytest.approx(VALUES[:4])


def test_what_the_list_does_not_allow_is_told_or_refused():
    _, left_out = vector_metrics(SEEN, ("mean",))
    assert left_out == ("far has too few values for its mean over what was observed.",)
    long = Vector(("near",), np.ones((300, 1)), np.ones((300, 1), bool))
    assert usual_kinds(long) == ("mean", "change", "sd")
    with pytest.raises(InputError, match="at most 200 values"):
        vector_metrics(long, ("values",))
    with pytest.raises(InputError, match="did you mean 'bins'"):
        vector_metrics(SEEN, ("bin",))
    with pytest.raises(InputError, match="ask for --metrics values"):
        vector_metrics(Vector(("a",), np.ones((2, 1)), np.ones((2, 1), bool)), ("sd",))

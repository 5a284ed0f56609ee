"""The numpy conversions of humidity say what the model's own say."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from caliche.data import humidity
from caliche.physics import humidity as physics


@pytest.mark.parametrize("temperature", [250.0, 273.15, 300.0, 320.0])
def test_both_copies_agree(temperature):
    pressure, q = 8.7e4, 0.008
    t, p, x = jnp.asarray(temperature), jnp.asarray(pressure), jnp.asarray(q)
    assert humidity.saturation_vapour_pressure(np.array(temperature)) == pytest.approx(
        float(physics.saturation_vapour_pressure(t)), rel=1e-14
    )
    e = humidity.vapour_pressure(np.array(q), np.array(pressure))
    assert e == pytest.approx(float(physics.vapour_pressure(x, p)), rel=1e-14)
    back = humidity.specific_humidity(e, np.array(pressure))
    assert back == pytest.approx(q, rel=1e-14)
    assert back == pytest.approx(
        float(physics.specific_humidity(physics.vapour_pressure(x, p), p)), rel=1e-14
    )

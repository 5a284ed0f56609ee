"""States as vectors, and the diagnostics that are made of a step, against the models' own."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from caliche.errors import InputError
from caliche.models import LaD, SoilHeat
from caliche.models.base import Profile
from caliche.models.emulated.model import view_of
from caliche.models.soil_heat.closures import CLOSURES

NODES = (0.0, 0.02, 0.1, 0.4, 1.0)
WEATHER = {
    "incoming_shortwave": 430.0,
    "incoming_longwave": 310.0,
    "air_temperature": 288.0,
    "specific_humidity": 0.006,
    "air_pressure": 9.8e4,
    "wind_speed": 3.0,
    "precipitation": 2e-4,
}
MODELS = {
    "fixed bottom": SoilHeat(NODES, 1800.0),
    "two fluxes, insulated": SoilHeat(
        NODES,
        1800.0,
        scheme="backward-euler",
        turbulence=CLOSURES["bulk-transfer"],
        moisture="bucket",
        bottom="zero-flux",
        initial="uniform",
    ),
    "land dynamics": LaD(1800.0, initial_snow=3.0),
}


@pytest.mark.parametrize("name", MODELS)
def test_diagnostics_of_an_exact_step_are_the_models_own(name):
    model = MODELS[name]
    view = view_of(model)
    forcing = {n: jnp.asarray(WEATHER[n]) for n in model.forcing_variables}
    params = {d.name: jnp.asarray(d.default) for d in model.declarations}

    @jax.jit
    def both(params, forcing, shift):
        prepared = model.prepare(params)
        vector = view.read(prepared, model.init_state(prepared, forcing)) + shift
        state = view.write(prepared, vector)
        after, own = model.step(prepared, state, forcing)
        increments = view.read(prepared, after) - vector
        made = view.diagnostics(params, forcing, vector, increments, view.fluxes_of(own))
        lost = view.energy_imbalance(params, forcing, increments, view.fluxes_of(own))
        again = view.read(prepared, view.write(prepared, vector))
        return own, made, lost, vector, again

    shift = jnp.linspace(3.0, -1.0, len(view.states))
    own, made, lost, vector, again = both(params, forcing, shift)
    assert np.allclose(vector, again, rtol=1e-13)
    assert set(made) == set(model.diagnostics)
    for key in model.diagnostics:
        a, b = (
            np.asarray(d[key].stack() if isinstance(d[key], Profile) else d[key])
            for d in (made, own)
        )
        assert np.allclose(a, b, rtol=1e-9, atol=1e-8), key
    assert float(lost) == pytest.approx(float(own["energy_imbalance"]), abs=1e-8)
    if name == "fixed bottom":
        assert float(lost) == pytest.approx(float(own["energy_imbalance"]), abs=1e-10)


def test_stores_stay_between_empty_and_full():
    view = view_of(MODELS["land dynamics"])
    params = {d.name: jnp.asarray(d.default) for d in view.model.declarations}
    low = np.asarray(view.possible(params, jnp.full(8, -5.0)))
    assert low.tolist() == [-5.0] * 5 + [0.0] * 3
    assert float(view.possible(params, jnp.full(8, 1e4))[6]) < 1e3


def test_a_model_without_such_a_vector_is_refused():
    with pytest.raises(InputError, match="soil_freezing = false"):
        view_of(LaD(1800.0, soil_freezing=True))

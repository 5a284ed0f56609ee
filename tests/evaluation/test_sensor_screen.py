"""The screen for nuisances: it names what is wrong with a sensor, and keeps silent otherwise."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from caliche.commands.check.run import check_experiment
from caliche.estimation import estimate
from caliche.evaluation.sensor_screen import screen_first, screen_sensors
from caliche.experiments import load_experiment

SENSOR = "soil_temperature_0.05m"
# kind -> what is true of the sensor
WRONG = {"clock-offset": 0.5, "depth-offset": 0.01, "bias": 0.8}
# A third sensor, without which a wrong depth is but another conductivity.
SHORT = ("synthetic.seed=3", 'observations."soil_temperature_0.15m".sigma=0.1')


def sensor_wrong(kind, truth):
    """The twin with a wrong sensor, for somebody who knows and for somebody who does not."""
    declared = [
        f'nuisances.wrong.kind="{kind}"',
        f'nuisances.wrong.streams=["{SENSOR}"]',
        "nuisances.wrong.sd=1.0",
        f"synthetic.truth.wrong={truth}",
    ]
    knowing = load_experiment("twin-two-depths", [*SHORT, *declared]).problem()
    ignorant = load_experiment("twin-two-depths", SHORT).problem()
    # A clock that may be wrong hides the ends of the record.
    observed = dataclasses.replace(knowing.observations, mask=knowing.mask)
    return knowing, dataclasses.replace(ignorant, observations=observed)


@pytest.mark.parametrize(
    "kind",
    [
        "bias",
        pytest.param("clock-offset", marks=pytest.mark.ci),
        pytest.param("depth-offset", marks=pytest.mark.slow),
    ],
)
def test_what_is_wrong_is_named(kind):
    truth = WRONG[kind]
    knowing, ignorant = sensor_wrong(kind, truth)
    result = estimate(ignorant, starts=1)
    found = screen_sensors(ignorant, result.u)
    mine = [s for s in found if s.kind == kind and s.streams == (SENSOR,)]
    assert mine
    suspicion = mine[0]
    # First order in the offset; the twin's noise is 0.1 K.
    assert suspicion.value == pytest.approx(truth, abs=max(0.2 * truth, 4 * suspicion.sd))
    # The gain told is about the gain that freeing it brings.
    freed = estimate(knowing, starts=1)
    assert suspicion.gain == pytest.approx(
        1.0 - freed.starts[0].misfit / result.starts[0].misfit, abs=0.1
    )
    assert f'kind = "{kind}"' in suspicion.sentence
    assert SENSOR in suspicion.sentence
    assert screen_first(ignorant)[0] == found[0]
    # Told what is wrong, it is content.
    assert screen_sensors(knowing, freed.u) == []


def test_sound_sensors_are_not_suspected():
    problem = load_experiment("twin-two-depths", SHORT).problem()
    assert screen_first(problem) == []
    lines = list(check_experiment(load_experiment("twin-two-depths")))
    assert any(line.startswith("Sensors") and "nothing" in line for line in lines)


def test_a_share_of_the_flux_is_named():
    changes = [
        "observations.turbulent_heat_flux.sigma=10",
        'nuisances.share.kind="flux-fraction"',
        'nuisances.share.streams=["turbulent_heat_flux"]',
        "synthetic.truth.share=0.7",
    ]
    knowing = load_experiment("twin-two-depths", changes).problem()
    ignorant = load_experiment("twin-two-depths", changes[:1]).problem()
    ignorant = dataclasses.replace(ignorant, observations=knowing.observations)
    found = screen_first(ignorant)
    assert found[0].kind == "flux-fraction"
    assert found[0].value == pytest.approx(0.7, abs=0.1)
    assert np.isfinite(found[0].sd)

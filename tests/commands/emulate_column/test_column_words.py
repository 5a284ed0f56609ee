"""What is said of an emulated column, and when it is refused."""

from __future__ import annotations

import copy

import pytest

from caliche.commands.emulate_column.words import (
    jacobian,
    passed,
    sentences,
    speed,
    stability,
    verdict,
    warnings_of,
)

GOOD = {
    "states": ["surface_temperature", "soil_temperature_0.10m"],
    "settings": {"derivatives": 1.0},
    "seed": 0,
    "seeds": [{"seed": 0, "converged": True, "reason": ""}],
    "one_step": {"surface_temperature": 0.03, "soil_temperature_0.10m": 0.04, "runoff": None},
    "jacobian": {"error": 0.01, "radius": 0.98, "exact_radius": 0.99},
    "drift": {
        "days": [1, 365],
        "errors": [[0.1, 0.05], [0.2, 0.06]],
        "spread": [10.0, 4.0],
        "imbalance": 2.0,
        "mean_imbalance": 0.5,
        "exact_imbalance": 1e-12,
        "runs": 8,
        "failed": 0,
    },
    "costs": {
        "single": 1.0,
        "exact_single": 1.0,
        "batch": 0.8,
        "exact_batch": 0.2,
        "columns": 64,
    },
}


def changed(part: str, **values: object) -> dict:
    summary = copy.deepcopy(GOOD)
    summary[part] |= values
    return summary


def test_a_good_network_is_told_by_its_worst_drift():
    assert passed(GOOD)
    assert verdict(GOOD) == (
        "The network follows the model: on weather and parameters that it never saw its runs of up "
        "to 365 days are off by 2 % of the spread of a state at most (surface_temperature, after "
        "365 days)."
    )
    assert len(sentences(GOOD)) == 5
    assert "root mean square; worst soil_temperature_0.10m, 4 %" in sentences(GOOD)[0]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"failed": 2}, "2 long runs of 8 give no numbers"),
        ({"errors": [[0.1, 0.05], [None, None]]}, "after 365 days surface_temperature is off"),
        (
            {"errors": [[0.1, 2.5], [0.2, 0.06]]},
            "after 1 day soil_temperature_0.10m is off by 62 %",
        ),
        ({"mean_imbalance": 7.0}, "lose or gain 7 W m-2 on average"),
        ({"mean_imbalance": None, "failed": 8}, "8 long runs"),
    ],
)
def test_a_network_whose_runs_do_not_follow_is_refused(values, said):
    summary = changed("drift", **values)
    assert not passed(summary)
    assert verdict(summary).startswith("Refused: ")
    if values.get("mean_imbalance", 0) is not None:
        assert said in verdict(summary)


def test_derivatives_that_are_wrong_are_said_to_be():
    assert jacobian(GOOD).endswith("its derivatives can be used.")
    summary = changed("jacobian", error=0.92)
    assert "92 % wrong" in jacobian(summary)
    assert "not those of the model." in jacobian(summary)
    summary["settings"]["derivatives"] = 0.0
    assert jacobian(summary).endswith("leave out --derivatives 0.")


def test_growing_errors_are_told_unless_they_grow_in_the_model_too():
    assert stability(GOOD).endswith("errors of a step die away.")
    assert "errors of a step grow" in stability(changed("jacobian", radius=1.01))
    told = stability(changed("jacobian", radius=1.01, exact_radius=1.01))
    assert told.endswith("errors of a step grow no faster than in the model.")


@pytest.mark.parametrize(
    ("single", "batch", "said"),
    [
        (1.0, 0.8, "The exact column is as fast or faster: use it, it is exact."),
        (0.1, 0.8, "In a batch the exact column is as fast or faster."),
        (1.0, 0.01, "Alone the exact column is as fast or faster."),
        (0.1, 0.02, "The network is 10 and 10 times as fast."),
    ],
)
def test_speed_is_told_also_where_the_exact_column_wins(single, batch, said):
    assert speed(changed("costs", single=single, batch=batch)).endswith(said)


def test_a_training_that_was_cut_off_is_a_warning():
    summary = copy.deepcopy(GOOD)
    assert len(warnings_of(summary)) == 1
    summary["seeds"][0] |= {"converged": False, "reason": "the limit of 3 epochs"}
    assert "more epochs would make it better" in warnings_of(summary)[0]

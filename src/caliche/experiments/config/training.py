"""The [training] table of an experiment with a network in its fluxes."""

from __future__ import annotations

from dataclasses import dataclass

from caliche.errors import InputError
from caliche.keys.declare import key


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How `caliche train` trains."""

    epochs: int = key("passes over the record at most", 100, above=0)
    learning_rate: float = key("learning rate of Adam at the start", 3e-3, above=0)
    window_days: float = key(
        "length of the windows that gradients go back through", 30.0, unit="days", above=0
    )
    patience: int = key("epochs without a better held-out loss before training stops", 30, above=0)
    width: int = key("units in each hidden layer of the network", 32, above=0)
    depth: int = key("number of hidden layers of the network", 2, above=0)
    seeds: int = key(
        "how many networks are trained; the best on the held-out data is kept", 1, above=0
    )
    seed: int = key("random seed of the first network", 0, least=0)


def check_training(config: TrainingConfig, where: str, time_step: float) -> None:
    """Raises InputError if windows are not whole time steps (s), two or more."""
    seconds = config.window_days * 86400.0
    steps = round(seconds / time_step)
    if steps < 2 or abs(steps * time_step - seconds) > 1e-6:
        raise InputError(
            f"window_days in {where} of a whole number of time steps of {time_step:g} s, "
            "two or more",
            f"{config.window_days:g}",
            "window_days = 30",
        )

"""The [training] table of an experiment with a network in its fluxes."""

from __future__ import annotations

from dataclasses import dataclass

from caliche.errors import InputError
from caliche.experiments.config.section import Section


@dataclass(frozen=True)
class TrainingConfig:
    """How `caliche train` trains.

    epochs : passes over the record at most.  learning_rate : of Adam at the start.
    window_days : length of the windows that gradients go back through.  patience : epochs without
    a better held-out loss before training stops.  width, depth : of the network's hidden layers.
    seeds : how many networks are trained, from `seed` on; the best on the held-out data is kept.
    """

    epochs: int = 100
    learning_rate: float = 3e-3
    window_days: float = 30.0
    patience: int = 30
    width: int = 32
    depth: int = 2
    seeds: int = 1
    seed: int = 0


def parse_training(section: Section, time_step: float) -> TrainingConfig:
    """Configuration of a [training] table; time step in s.

    Raises
    ------
    InputError : an unknown key, a number that cannot be, windows that are not whole steps.
    """
    default = TrainingConfig()
    config = TrainingConfig(
        epochs=section.positive("epochs", int, default.epochs),
        learning_rate=section.positive("learning_rate", float, default.learning_rate),
        window_days=section.positive("window_days", float, default.window_days),
        patience=section.positive("patience", int, default.patience),
        width=section.positive("width", int, default.width),
        depth=section.positive("depth", int, default.depth),
        seeds=section.positive("seeds", int, default.seeds),
        seed=section.get("seed", int, default.seed),
    )
    section.finish()
    seconds = config.window_days * 86400.0
    steps = round(seconds / time_step)
    if steps < 2 or abs(steps * time_step - seconds) > 1e-6:
        raise InputError(
            f"window_days in {section.where} of a whole number of time steps of {time_step:g} s, "
            "two or more",
            f"{config.window_days:g}",
            "window_days = 30",
        )
    if config.seed < 0:
        raise InputError(f"a seed in {section.where} of 0 or more", f"{config.seed}", "seed = 0")
    return config

"""Experiments: a TOML file, the inverse problem it describes, and the folder a run leaves.

`Experiment` and `load_experiment` need JAX and are loaded when first used, so that the bundled
experiments can be listed without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from caliche.experiments.config import ExperimentConfig as ExperimentConfig
from caliche.experiments.config import bundled as bundled
from caliche.experiments.config import read_config as read_config

if TYPE_CHECKING:
    from caliche.experiments.experiment import Experiment as Experiment
    from caliche.experiments.experiment import load_experiment as load_experiment


def __getattr__(name: str) -> Any:
    if name in ("Experiment", "load_experiment"):
        from caliche.experiments import experiment

        return getattr(experiment, name)
    raise AttributeError(f"module 'caliche.experiments' has no attribute {name!r}")

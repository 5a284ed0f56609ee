"""Experiments: a TOML file, the inverse problem it describes, and the folder a run leaves.

`Experiment`, `load_experiment` and `read_config` need JAX: they are
loaded when first used, so that the bundled
experiments can be listed without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from caliche.experiments.config.tables import ExperimentConfig as ExperimentConfig
from caliche.experiments.config.toml import bundled as bundled

if TYPE_CHECKING:
    from caliche.experiments.config.read import read_config as read_config
    from caliche.experiments.experiment import Experiment as Experiment
    from caliche.experiments.experiment import load_experiment as load_experiment


def __getattr__(name: str) -> Any:
    if name in ("Experiment", "load_experiment"):
        from caliche.experiments import experiment

        return getattr(experiment, name)
    if name == "read_config":
        from caliche.experiments.config.read import read_config

        return read_config
    raise AttributeError(f"module 'caliche.experiments' has no attribute {name!r}")

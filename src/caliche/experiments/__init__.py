"""Experiments: a TOML file, the inverse problem it describes, and the folder a run leaves."""

from caliche.experiments.config import ExperimentConfig as ExperimentConfig
from caliche.experiments.config import bundled as bundled
from caliche.experiments.config import read_config as read_config
from caliche.experiments.experiment import Experiment as Experiment
from caliche.experiments.experiment import load_experiment as load_experiment

"""One site of a joint calibration."""

from __future__ import annotations

from dataclasses import dataclass

from caliche.estimation.result import Result
from caliche.experiments.experiment import Experiment
from caliche.problems.inverse import InverseProblem


@dataclass(frozen=True)
class Site:
    """A site that takes part: its experiment with the hyperparameters of its own calibration, what
    that says, and its problem with streams that count with the information found there.

    Half a year of half hours would else outweigh any prior, and what other sites say with it."""

    name: str
    experiment: Experiment
    problem: InverseProblem
    result: Result

"""Estimation: every method takes an `InverseProblem` and gives a `Result`."""

from caliche.estimation.ensemble_engine import MEMBER_METHODS as MEMBER_METHODS
from caliche.estimation.estimate import METHODS as METHODS
from caliche.estimation.estimate import estimate as estimate
from caliche.estimation.result import ParameterEstimate as ParameterEstimate
from caliche.estimation.result import Result as Result
from caliche.estimation.result import Start as Start

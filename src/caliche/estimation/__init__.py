"""Estimation: every method takes an `InverseProblem` and gives a `Result`."""

from caliche.cards.methods import MEMBER_METHODS as MEMBER_METHODS
from caliche.cards.methods import METHODS as METHODS
from caliche.cards.methods import MethodCard as MethodCard
from caliche.cards.methods import register as register
from caliche.estimation.estimate import estimate as estimate
from caliche.estimation.result import ParameterEstimate as ParameterEstimate
from caliche.estimation.result import Result as Result
from caliche.estimation.result import Start as Start

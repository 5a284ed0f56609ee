"""Observations: what is seen of a model, how well, and what may be wrong with the sensor."""

from caliche.observations.error_model import Observations as Observations
from caliche.observations.nuisances import Nuisance as Nuisance
from caliche.observations.operator import ObservationOperator as ObservationOperator
from caliche.observations.operator import Stream as Stream
from caliche.observations.operator import make_operator as make_operator

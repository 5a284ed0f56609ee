"""Parameters to be estimated: priors, transforms, and the space that joins them."""

from caliche.parameters.priors import Flat as Flat
from caliche.parameters.priors import LogNormal as LogNormal
from caliche.parameters.priors import Normal as Normal
from caliche.parameters.priors import Prior as Prior
from caliche.parameters.space import FreeParameter as FreeParameter
from caliche.parameters.space import ParameterSpace as ParameterSpace
from caliche.parameters.ties import Tie as Tie
from caliche.parameters.variation import Variation as Variation
from caliche.parameters.variation import harmonics as harmonics
from caliche.parameters.variation import random_walk as random_walk

"""Models: they assemble physics into two pure functions, an initial state and a step."""

from caliche.models.base import Model as Model
from caliche.models.base import ParameterDeclaration as ParameterDeclaration
from caliche.models.lad import LaD as LaD
from caliche.models.soil_heat import SoilHeat as SoilHeat
from caliche.models.time_loop import simulate as simulate

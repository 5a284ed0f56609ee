"""Models: they assemble physics into two pure functions, an initial state and a step."""

from caliche.models.base import Model as Model
from caliche.models.base import ParameterDeclaration as ParameterDeclaration
from caliche.models.lad.model import LaD as LaD
from caliche.models.loop.time_loop import simulate as simulate
from caliche.models.soil_heat.model import SoilHeat as SoilHeat

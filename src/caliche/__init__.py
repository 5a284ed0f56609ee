"""caliche: calibrate land-surface models with exact gradients and honest error bars.

Names are loaded when first used, so that `import caliche` (and `caliche --help`) is immediate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caliche._lazy import lazy_names
from caliche._version import __version__ as __version__

if TYPE_CHECKING:
    from caliche.errors import InputError as InputError
    from caliche.estimation import Result as Result
    from caliche.estimation import estimate as estimate
    from caliche.experiments import Experiment as Experiment
    from caliche.experiments import load_experiment as load_experiment
    from caliche.experiments.check import check_experiment as check_experiment
    from caliche.experiments.read_results import read_results as read_results
    from caliche.experiments.run import run_experiment as run_experiment
    from caliche.inverse_problem import InverseProblem as InverseProblem
    from caliche.models import LaD as LaD
    from caliche.models import SoilHeat as SoilHeat
    from caliche.models import simulate as simulate
    from caliche.report import write_report as write_report
    from caliche.runtime import configure as configure
    from caliche.sites import estimate_sites as estimate_sites

_HOME = {
    "InputError": "caliche.errors",
    "Result": "caliche.estimation",
    "estimate": "caliche.estimation",
    "Experiment": "caliche.experiments",
    "load_experiment": "caliche.experiments",
    "check_experiment": "caliche.experiments.check",
    "read_results": "caliche.experiments.read_results",
    "run_experiment": "caliche.experiments.run",
    "InverseProblem": "caliche.inverse_problem",
    "LaD": "caliche.models",
    "SoilHeat": "caliche.models",
    "simulate": "caliche.models",
    "write_report": "caliche.report",
    "configure": "caliche.runtime",
    "estimate_sites": "caliche.sites",
}


__getattr__, __dir__ = lazy_names(__name__, _HOME)

"""caliche: calibrate land-surface models with exact gradients and honest error bars.

Names are loaded when first used, so that `import caliche` (and `caliche --help`) is immediate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caliche._lazy import lazy_names
from caliche._version import __version__ as __version__

if TYPE_CHECKING:
    from caliche.commands.check.run import check_experiment as check_experiment
    from caliche.commands.emulate.run import emulate as emulate
    from caliche.commands.emulate.run import open_emulation as open_emulation
    from caliche.commands.sites.run import estimate_sites as estimate_sites
    from caliche.emulators.store import load_emulator as load_emulator
    from caliche.errors import InputError as InputError
    from caliche.estimation import Result as Result
    from caliche.estimation import estimate as estimate
    from caliche.evaluation.experiment_metrics import match_metrics as match_metrics
    from caliche.experiments import Experiment as Experiment
    from caliche.experiments import load_experiment as load_experiment
    from caliche.history_matching.match import history_match as history_match
    from caliche.models import LaD as LaD
    from caliche.models import SoilHeat as SoilHeat
    from caliche.models import simulate as simulate
    from caliche.problems.inverse import InverseProblem as InverseProblem
    from caliche.report import write_report as write_report
    from caliche.runs.read_results import read_results as read_results
    from caliche.runs.run import run_experiment as run_experiment
    from caliche.runtime import configure as configure

_HOME = {
    "InputError": "caliche.errors",
    "Result": "caliche.estimation",
    "estimate": "caliche.estimation",
    "Experiment": "caliche.experiments",
    "load_experiment": "caliche.experiments",
    "check_experiment": "caliche.commands.check.run",
    "history_match": "caliche.history_matching.match",
    "match_metrics": "caliche.evaluation.experiment_metrics",
    "emulate": "caliche.commands.emulate.run",
    "open_emulation": "caliche.commands.emulate.run",
    "load_emulator": "caliche.emulators.store",
    "read_results": "caliche.runs.read_results",
    "run_experiment": "caliche.runs.run",
    "InverseProblem": "caliche.problems.inverse",
    "LaD": "caliche.models",
    "SoilHeat": "caliche.models",
    "simulate": "caliche.models",
    "write_report": "caliche.report",
    "configure": "caliche.runtime",
    "estimate_sites": "caliche.commands.sites.run",
}


__getattr__, __dir__ = lazy_names(__name__, _HOME)

"""Forward cost of SuPy (SUEWS in Python) on its own sample data.

A different model: the energy and water balance of an urban neighbourhood with seven kinds of
surface, in steps of five minutes, with some thousand outputs, and no derivatives. Only its order
of magnitude means anything here. Sun and Grimmond (2019), doi:10.5194/gmd-12-2781-2019.

SuPy wants older versions of numpy and scipy than caliche does. It may therefore be installed in an
environment of its own, whose interpreter is the variable CALICHE_SUPY_PYTHON.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import tempfile

from benchmarks.timing import run_child

PROGRAM = """
import json, logging, sys, time, warnings
warnings.simplefilter("ignore")
import supy
from supy import SUEWSSimulation
logging.disable(logging.CRITICAL)
days = int(sys.argv[1])
simulation = SUEWSSimulation.from_sample_data()
frame = simulation.forcing.df
per_day = round(86400.0 / (frame.index[1] - frame.index[0]).total_seconds())
simulation.update_forcing(frame.iloc[: days * per_day])
began = time.perf_counter()
simulation.run()
seconds = time.perf_counter() - began
print(json.dumps({"seconds": seconds, "steps_per_day": per_day, "version": supy.__version__}))
"""


def run_sample(days: int) -> dict:
    """Run the first days of the sample year: seconds, steps_per_day and version.

    Raises
    ------
    ImportError : SuPy is not installed.
    """
    python = os.environ.get("CALICHE_SUPY_PYTHON")
    if python is None:
        if importlib.util.find_spec("supy") is None:
            raise ImportError(
                "supy is not installed (nor is CALICHE_SUPY_PYTHON set to an interpreter that has "
                "it)"
            )
        python = sys.executable
    with tempfile.TemporaryDirectory() as folder:
        printed, _ = run_child([python, "-c", PROGRAM, str(days)], cwd=folder)
    return json.loads(printed.strip().splitlines()[-1])

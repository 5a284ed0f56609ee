"""What the first line says of many sites: how many that converged have something wrong."""

from __future__ import annotations

import numpy as np
import xarray as xr

from caliche.commands.sites.summary import WRONG, _wrong
from caliche.parameters import Normal
from problems import line_problem

X = np.linspace(-1.0, 1.0, 5)


def test_sites_that_converged_but_have_something_wrong():
    problem = line_problem(X, X, 0.5, slope=Normal(0.0, 0.2))  # intercept, slope
    by_parameter, by_stream = ("site", "parameter"), ("site", "stream")
    block = xr.Dataset(
        {
            "estimate": (by_parameter, np.array([[9.0, 0.1], [9.0, 0.7], [0.0, 0.0], [0.0, 0.0]])),
            "sd": (by_parameter, np.array([[0.1, 0.1], [0.1, 0.1], [np.inf, 0.1], [0.1, np.nan]])),
            "at_bound": (by_parameter, np.array([[0, 0], [0, 0], [0, 0], [0, 1]])),
            "rms_residual": (by_stream, np.array([[0.5], [2.0], [0.01], [np.nan]])),
            "nse": (by_stream, np.array([[0.9], [-0.1], [0.99], [np.nan]])),
            "remaining_step": ("site", np.array([1e-6, 1e-6, 0.3, 1e-6])),
        }
    )
    found = _wrong(problem, block)
    assert found == dict.fromkeys(WRONG, 1)
    assert _wrong(problem, block.isel(site=[0])) == dict.fromkeys(WRONG, 0)

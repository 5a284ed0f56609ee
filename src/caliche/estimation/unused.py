"""Observations that no prediction meets: said in the result where they are many."""

from __future__ import annotations

import dataclasses

import numpy as np

from caliche.estimation.result import Result
from caliche.problems.base import Problem
from caliche.problems.inverse import InverseProblem
from caliche.remarks import Remark

# Share of a stream's observations from which on it is told: of a long record of a tower, the one
# value of a flux at the start is not worth a sentence outside `caliche check`.
TOLD = 0.01


def with_unused(problem: Problem, result: Result) -> Result:
    """The result with a remark on streams with many observations that cannot be predicted."""
    if not isinstance(problem, InverseProblem):
        return result
    told = problem.operator.unused(np.asarray(problem.observations.mask), TOLD)
    said = tuple(Remark("unused", text, False) for text in told)
    return dataclasses.replace(result, remarks=(*result.remarks, *said)) if said else result

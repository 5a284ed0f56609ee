"""How long the compiled programs of LaD are: what a user waits for, without a clock."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import jaxlib
import pytest

from caliche.experiments.experiment import load_experiment
from caliche.problems.inverse import InverseProblem

WRITTEN_FOR = "0.10.2"
pytestmark = [
    pytest.mark.ci,
    pytest.mark.skipif(
        jaxlib.__version__ != WRITTEN_FOR, reason=f"counts are those of jaxlib {WRITTEN_FOR}"
    ),
]
PROGRAMS = {
    "cost": InverseProblem.cost,
    "gradient": jax.value_and_grad(InverseProblem.cost, 1),
    "normal equations": InverseProblem.normal_equations,
}


def instructions(text: str) -> int:
    """Instructions in all computations of a module."""
    return len(re.findall(r"^\s+(?:ROOT )?%?[\w.\-]+ = ", text, re.MULTILINE))


# Two Newton passes, written out, had 2,842, 10,112 and 6,592 before XLA's optimisations and 4,571,
# 54,458 and 27,651 after them.
@pytest.mark.parametrize(
    ("program", "before", "after", "loops"),
    [
        ("cost", 2_600, 3_900, 4),  # over time, two searches in it, and one for truncated priors
        ("gradient", 5_200, 7_800, 5),  # back in time there is no search
        ("normal equations", 4_300, 9_400, 4),
    ],
)
def test_length_of_a_program(program, before, after, loops):
    problem = load_experiment("twin-lad").problem()
    u = jnp.asarray(problem.space.initial())
    lowered = jax.jit(lambda p, u: PROGRAMS[program](p, u)).lower(problem, u)
    module = lowered.compiler_ir("hlo")
    assert module is not None
    written = module.as_hlo_text()
    assert instructions(written) < before
    assert written.count(" while(") == loops
    text = lowered.compile().as_text()
    assert text is not None
    assert instructions(text) < after

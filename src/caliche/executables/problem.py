"""An executable as a problem: parameters and observations of which nothing but runs is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.errors import InputError
from caliche.executables.config import DriveConfig
from caliche.metrics.vectors import Vector
from caliche.observations import Observations
from caliche.parameters.space import ParameterSpace
from caliche.problems.base import NormalEquations, Problem, need_double_precision


class ProgramProblem(Problem):
    """The parameters and observations of an executable. It cannot be run in compiled code: an
    emulator stands in for it, or `caliche drive` runs it.

    Attributes
    ----------
    space : its parameters.  observations : (n, stream), each row one value of one stream.
    names : of the streams.
    """

    space: ParameterSpace  # pyright: ignore[reportIncompatibleMethodOverride]
    observations: Observations  # pyright: ignore[reportIncompatibleMethodOverride]
    names: tuple[str, ...] = eqx.field(static=True)

    def __check_init__(self) -> None:
        need_double_precision()

    @property
    def mask(self) -> Array:
        return self.observations.mask

    @property
    def stream_names(self) -> tuple[str, ...]:
        return self.names

    @property
    def pointwise(self) -> bool:
        return False

    def derived(self, u: Float[Array, " parameter"]) -> dict[str, Float[Array, ""]]:
        return {}

    @property
    def derived_labels(self) -> Mapping[str, tuple[str, str]]:
        return {}

    def for_block(self) -> ProgramProblem:
        return self

    @property
    def vector(self) -> Vector:
        """What was observed."""
        return Vector(self.names, np.asarray(self.observations.values), np.asarray(self.mask))

    def fields(self, outputs: np.ndarray) -> np.ndarray:
        """Outputs (k, n) of runs as predictions (k, n, stream); NaN of other streams."""
        return np.where(np.asarray(self.mask), outputs[:, :, None], np.nan)

    def forward(self, u: Float[Array, " parameter"]) -> NoReturn:
        raise _outside()

    def predict_tangents(self, u: Float[Array, " parameter"]) -> NoReturn:
        raise _outside()

    def misfit(self, u: Float[Array, " parameter"], segments: int = 1) -> NoReturn:
        raise _outside()

    def misfit_equations(self, u: Float[Array, " parameter"]) -> NormalEquations:
        raise _outside()


def _outside() -> InputError:
    return InputError(
        "a model that JAX can run",
        "an executable",
        "use caliche drive, or caliche emulate and the problem of its folder",
    )


def program_problem(config: DriveConfig) -> ProgramProblem:
    """Parameters and observations of an executable.

    Raises
    ------
    InputError : nothing was observed.
    """
    parameters = {p.name: p for p in config.parameters}
    space = ParameterSpace.build([p.declaration for p in config.parameters], parameters, {})
    names = tuple(dict.fromkeys(config.streams))
    column = np.array([names.index(name) for name in config.streams])
    seen = np.isfinite(config.observed)
    if not seen.any():
        raise InputError("at least one observation", "none", "give some that are not NaN")
    mask = seen[:, None] & (column[:, None] == np.arange(len(names)))
    used = tuple(k for k in range(len(names)) if mask[:, k].any())
    mask = mask[:, used]
    observations = Observations(
        jnp.asarray(np.where(mask, config.observed[:, None], 0.0)),
        jnp.asarray(mask),
        jnp.asarray(np.where(mask, config.sigma[:, None], 1.0)),
    )
    return ProgramProblem(space, observations, tuple(names[k] for k in used))

"""Parameters that follow another: equal to it, or a multiple of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from caliche.errors import InputError, nearest
from caliche.models.base import ParameterDeclaration


@dataclass(frozen=True)
class Tie:
    """A parameter `name` that is `factor` times the parameter `to`, in SI units.

    A factor of None means equal, which needs equal units.
    """

    name: str
    to: str
    factor: float | None = None

    @property
    def multiple(self) -> float:
        return 1.0 if self.factor is None else self.factor

    def describe(self) -> str:
        """`= 2 × roughness_length`."""
        return f"= {self.to}" if self.multiple == 1.0 else f"= {self.multiple:g} × {self.to}"

    def follow(self, values: Mapping[str, Any]) -> Any:
        """The value (or series) of this parameter, given that of the other."""
        value = values[self.to]
        return value if self.multiple == 1.0 else self.multiple * value


def check_tie(
    tie: Tie,
    known: Mapping[str, ParameterDeclaration],
    tied: Mapping[str, Tie],
    bounds: tuple[float, float],
) -> None:
    """Raises InputError for a tie that cannot be.

    Parameters
    ----------
    known : declarations of all parameters.
    tied : all ties, by name.
    bounds : between which the parameter it follows can move.
    """
    if tie.to not in known:
        raise InputError(
            f"a parameter of the model in tied_to of {tie.name}",
            repr(tie.to),
            nearest(tie.to, known),
        )
    if tie.to in tied:
        raise InputError(
            f"{tie.name} tied to a parameter that is not tied itself",
            tie.to,
            f"tie it to {tied[tie.to].to}" if tied[tie.to].to != tie.name else "untie one",
        )
    mine, other = known[tie.name], known[tie.to]
    if tie.factor is None and mine.unit != other.unit:
        raise InputError(
            f"a factor of {tie.name}, whose unit {mine.unit} is not that of {tie.to}",
            "none",
            "add factor = NUMBER, in SI units",
        )
    if tie.factor is not None and not (math.isfinite(tie.factor) and tie.factor != 0.0):
        raise InputError(
            f"a factor of {tie.name} other than zero", f"{tie.factor:g}", "fix it instead"
        )
    reached = sorted(tie.multiple * end for end in bounds)
    slack = 1e-12 * max(abs(end) for end in (1.0, *reached) if math.isfinite(end))
    outside = reached[0] < mine.lower - slack, reached[1] > mine.upper + slack
    for end, beyond in zip(reached, outside, strict=True):
        if beyond:
            reaches = f"{end:g} where {tie.to} is {end / tie.multiple:g}"
            raise InputError(
                f"{tie.name}, tied to {tie.to}, to stay between {mine.lower:g} and {mine.upper:g}",
                reaches if math.isfinite(end) else f"no bound of {tie.to} on that side",
                f"narrow the bounds of {tie.to}",
            )

"""What observations tell of some directions beyond what they tell of all: a Gaussian term of J.

Errors that persist hide slow changes more than fast ones, so that no one power of a stream's
likelihood is right for every parameter. The power is that of the direction that is told least; this
term adds what is known more precisely of the others (see `caliche.estimation.information`). It is
written in physical values, in which it means the same beside a bound as far from one.
"""

from __future__ import annotations

import equinox as eqx
from jaxtyping import Array, Float


class Adjustment(eqx.Module):
    """Adds |root (x - centre)|^2 / 2 to J at physical values x (P,).

    Attributes
    ----------
    root : (row, P); zero in directions of which nothing more is told.
    centre : (P,) physical values.
    """

    root: Float[Array, "row p"]
    centre: Float[Array, " p"]

    def residual(self, values: Float[Array, " p"]) -> Float[Array, " row"]:
        """Residuals (row,) at physical values (P,)."""
        return self.root @ (values - self.centre)

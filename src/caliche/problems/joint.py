"""Several sites under one cost: J(v) = sum over sites of J_o(u_site(v)) + the prior of v.

Each site keeps its model, forcing, observations and errors. What it takes from the joint control
vector v is linear in it (`parameters.shared`), so that Jacobians, normal equations and error bars
of the whole are sums over sites.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.names import at_site
from caliche.observations import Observations
from caliche.parameters.shared import SharedSpace, Sharing, share
from caliche.parameters.space import ParameterSpace
from caliche.problems.base import NormalEquations, Problem
from caliche.problems.inverse import InverseProblem


def joint_problem(
    problems: Mapping[str, InverseProblem], sharing: Mapping[str, Sharing] | None = None
) -> JointProblem:
    """Sites by name as one problem; see `parameters.shared.share` for what they share.

    Raises
    ------
    InputError : as `share` does.
    """
    shared = share(list(problems), [p.space for p in problems.values()], sharing)
    return JointProblem.build(problems, shared)


class JointProblem(Problem):
    """A problem of several sites. Any method takes it as it takes one site.

    Streams are those of all sites in order, `latent_heat_flux@US-Me2`; the time axis is that of the
    longest record, with nothing observed beyond the end of the others.

    Attributes
    ----------
    problems : of the sites, each with a space of its own.
    sites : their names.
    space : of the joint control vector v (P,).
    rows, mix : where each site finds its control vector, see `SharedSpace`.
    """

    problems: tuple[InverseProblem, ...]
    space: ParameterSpace  # pyright: ignore[reportIncompatibleMethodOverride]
    mix: Float[Array, "p p"]
    rows: tuple[tuple[int, ...], ...] = eqx.field(static=True)
    sites: tuple[str, ...] = eqx.field(static=True)

    @staticmethod
    def build(problems: Mapping[str, InverseProblem], shared: SharedSpace) -> JointProblem:
        """The problem of sites by name, with their joint space."""
        return JointProblem(
            tuple(problems.values()),
            shared.space,
            jnp.asarray(shared.mix),
            shared.rows,
            tuple(problems),
        )

    # -- what every problem has ---------------------------------------------------------------

    @property
    def stream_names(self) -> tuple[str, ...]:
        pairs = zip(self.sites, self.problems, strict=True)
        return tuple(at_site(name, site) for site, p in pairs for name in p.stream_names)

    @property
    def observations(self) -> Observations:
        parts = [p.observations for p in self.problems]
        memory = freedom = None
        if any(o.autocorrelation is not None for o in parts):
            memory = jnp.concatenate(
                [
                    jnp.zeros(o.values.shape[1]) if o.autocorrelation is None else o.autocorrelation
                    for o in parts
                ]
            )
        if any(o.freedom for o in parts):
            freedom = sum((o.freedom or (np.inf,) * o.values.shape[1] for o in parts), ())
        told = None
        if any(o.information is not None for o in parts):
            told = jnp.concatenate([o.root[0] ** 2 for o in parts])
        sigma = [jnp.broadcast_to(o.scale, o.values.shape) for o in parts]
        return Observations(
            self._beside([o.values for o in parts], 0.0),
            self._beside([o.mask for o in parts], False),
            self._beside(sigma, 1.0),
            memory,
            freedom or (),
            told,
        )

    @property
    def mask(self) -> Array:
        return self._beside([p.mask for p in self.problems], False)

    @property
    def pointwise(self) -> bool:
        return all(p.pointwise for p in self.problems)

    def forward(self, u: Float[Array, " parameter"]) -> Float[Array, "time stream"]:
        pairs = zip(self.problems, self.controls(u), strict=True)
        return self._beside([p.forward(own) for p, own in pairs], jnp.nan)

    def predict_tangents(
        self, u: Float[Array, " parameter"]
    ) -> tuple[Float[Array, "time stream"], Float[Array, "time stream parameter"]]:
        values, slopes = [], []
        for problem, own, rows in zip(self.problems, self.controls(u), self.rows, strict=True):
            value, slope = problem.predict_tangents(own)
            values.append(value)
            slopes.append(slope @ self.mix[np.array(rows)])
        return self._beside(values, jnp.nan), self._beside(slopes, 0.0)

    def misfit(self, u: Float[Array, " parameter"], segments: int = 1) -> Float[Array, ""]:
        pairs = zip(self.problems, self.controls(u), strict=True)
        return jnp.sum(jnp.stack([problem.misfit(own, segments) for problem, own in pairs]))

    def misfit_equations(self, u: Float[Array, " parameter"]) -> NormalEquations:
        pairs = zip(self.problems, self.controls(u), strict=True)
        return self.join([problem.misfit_equations(own) for problem, own in pairs])

    def derived(self, u: Float[Array, " parameter"]) -> dict[str, Float[Array, ""]]:
        found = {}
        for site, problem, own in zip(self.sites, self.problems, self.controls(u), strict=True):
            found |= {at_site(name, site): value for name, value in problem.derived(own).items()}
        return found

    @property
    def derived_labels(self) -> Mapping[str, tuple[str, str]]:
        return {
            at_site(name, site): (unit, f"{text}, {site}")
            for site, problem in zip(self.sites, self.problems, strict=True)
            for name, (unit, text) in problem.derived_labels.items()
        }

    def for_block(self) -> JointProblem:
        return dataclasses.replace(self, problems=tuple(p.for_block() for p in self.problems))

    # -- and what only this one has -------------------------------------------------------------

    def controls(self, u: Float[Array, " parameter"]) -> list[Float[Array, " own"]]:
        """The control vector of each site."""
        mixed = self.mix @ u
        return [mixed[np.array(rows)] for rows in self.rows]

    def join(self, equations: Sequence[NormalEquations]) -> NormalEquations:
        """`misfit_equations` of the whole, from those of the sites at their control vectors.

        The prior is that of the joint space, and counts once.
        """
        by_site = [self.mix[np.array(rows)] for rows in self.rows]
        parts = [
            NormalEquations(e.cost, by_u.T @ e.gradient, by_u.T @ e.hessian @ by_u)
            for by_u, e in zip(by_site, equations, strict=True)
        ]
        return jax.tree.map(lambda *values: jnp.sum(jnp.stack(values), axis=0), *parts)

    def without(self, site: str) -> JointProblem:
        """The problem with nothing observed at a site; what it shares, the others say."""
        k = self.sites.index(site)
        blind = eqx.tree_at(
            lambda p: p.observations.mask, self.problems[k], replace_fn=jnp.zeros_like
        )
        return dataclasses.replace(
            self, problems=(*self.problems[:k], blind, *self.problems[k + 1 :])
        )

    def _beside(self, parts: Sequence[Array], blank: float | bool) -> Array:
        """Arrays (time + 1, stream, ...) of sites side by side, filled up to the longest record."""
        longest = max(len(part) for part in parts)
        filled = [
            jnp.pad(p, [(0, longest - len(p))] + [(0, 0)] * (p.ndim - 1), constant_values=blank)
            for p in parts
        ]
        return jnp.concatenate(filled, axis=1)


@jax.jit
def controls_of(problem: JointProblem, u: Float[Array, " p"]) -> list[Float[Array, " own"]]:
    """`JointProblem.controls`, compiled."""
    return problem.controls(u)

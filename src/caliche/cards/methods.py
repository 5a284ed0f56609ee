"""Method cards: what each method of `estimate` is called, what makes it, and what it costs.

A method is one card. `estimate`, the configuration, help texts, `compare`, reports and the
reference page read it, so that a new method is one more card and no other line. Nothing here loads
JAX: the maker of a built-in method is a name, imported when the method is made.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from caliche._lazy import load
from caliche.errors import InputError, nearest

REFERENCE = "docs/methods.md"
# Model runs are of this order where nobody has counted them.
UNCOUNTED_ITERATIONS = 50

Runs = Callable[[int, Mapping[str, Any]], int]


@dataclass(frozen=True)
class MethodCard:
    """A method of `estimate`.

    Attributes
    ----------
    name : as in `--method` and in the configuration.
    label : short, for columns and legends.
    words : what it is, after "by".
    maker : makes it from its options, or "module:name" of what does. Its parameters are the
        options, all with defaults.
    kind : "descent" by exact gradients, "ensemble" of runs that end as a posterior, or "search" by
        runs alone.
    runs : roughly how many model runs it makes, from the number of parameters and its options.
    when : in which case to use it, a sentence.
    """

    name: str
    label: str
    words: str
    maker: Callable[..., Any] | str
    kind: Literal["descent", "ensemble", "search"]
    when: str
    runs: Runs = field(default_factory=lambda: by_gradients(UNCOUNTED_ITERATIONS))

    @property
    def needs_gradient(self) -> bool:
        """Whether it follows derivatives of the model."""
        return self.kind == "descent"

    @property
    def keeps_state(self) -> bool:
        """Whether it keeps its state in a file, and goes on from there."""
        return self.kind != "descent"

    @property
    def gives_posterior(self) -> bool:
        """Whether it begins at the prior and ends as members of the posterior."""
        return self.kind == "ensemble"

    def __call__(self, **options: Any) -> Any:
        """The method with these options.

        Raises
        ------
        InputError : an option that it does not have.
        """
        made = self._made_by()
        unknown = options.keys() - inspect.signature(made).parameters.keys()
        if unknown:
            raise InputError(
                f"options that method {self.name} has",
                ", ".join(sorted(unknown)),
                f"use some of {', '.join(self.options)}, see {REFERENCE}",
            )
        return made(**options)

    @property
    def options(self) -> dict[str, Any]:
        """Names and defaults of its options."""
        parameters = inspect.signature(self._made_by()).parameters
        return {name: p.default for name, p in parameters.items() if name != "name"}

    def _made_by(self) -> Callable[..., Any]:
        return load(self.maker) if isinstance(self.maker, str) else self.maker


def by_gradients(iterations: int, inner: int = 0) -> Runs:
    """Runs of a method that makes a run and its tangents in each iteration, and `inner` more."""
    return lambda size, options: iterations * (1 + size + inner)


def by_members(iterations: int, members: Callable[[int], int], iterated: int = 0) -> Runs:
    """Runs of a method of so many members, or those asked for; `iterated` times where asked to."""

    def runs(size: int, options: Mapping[str, Any]) -> int:
        times = iterated if iterated and options.get("iterated") else iterations
        return times * (options.get("members") or members(size)) + 1

    return runs


def ten_each(size: int) -> int:
    """Ten members a parameter, from 20 to 100."""
    return min(100, max(20, 10 * size))


def by_proposals(size: int, options: Mapping[str, Any]) -> int:
    """Runs of Bayesian optimisation: as many as it may make, with a tangent for each parameter."""
    tangents = 0 if options.get("gradients") == "never" else size
    return (options.get("budget") or 20 + 10 * size) * (1 + tangents)


METHODS: dict[str, MethodCard] = {}
MEMBER_METHODS: dict[str, MethodCard] = {}


def register(card: MethodCard) -> None:
    """Make a method known under its name to everything that asks for methods."""
    (METHODS if card.kind == "descent" else MEMBER_METHODS)[card.name] = card


def method_names() -> tuple[str, ...]:
    """Names of all methods, those by gradients first."""
    return (*METHODS, *MEMBER_METHODS)


def method_of(name: str, options: Mapping[str, Any]) -> Any:
    """A method by name.

    Raises
    ------
    InputError : an unknown name or option, or one that cannot be.
    """
    card = card_of(name)
    if card is None:
        raise InputError("the name of a method", repr(name), nearest(name, method_names()))
    return card(**options)


def card_of(name: str) -> MethodCard | None:
    """The card of a method, None if there is none of that name."""
    return METHODS.get(name) or MEMBER_METHODS.get(name)


def keeps_state(name: str) -> bool:
    """Whether a method keeps its state in a file; False of a name that is unknown."""
    card = card_of(name)
    return card is not None and card.keeps_state


for _card in (
    MethodCard(
        "lm",
        "LM",
        "Levenberg–Marquardt least squares",
        "caliche.estimation.descent.levenberg_marquardt:LevenbergMarquardt",
        "descent",
        "Where the model has derivatives: some ten iterations, and error bars from the curvature.",
        by_gradients(8),
    ),
    MethodCard(
        "lbfgs",
        "L-BFGS",
        "quasi-Newton minimisation (L-BFGS)",
        "caliche.estimation.descent.first_order:lbfgs",
        "descent",
        "Where parameters are so many that a tangent for each is dear.",
        by_gradients(6, 25),
    ),
    MethodCard(
        "adam",
        "Adam",
        "gradient descent (Adam)",
        "caliche.estimation.descent.first_order:adam",
        "descent",
        "To compare with what networks are trained by; slow for parameters.",
        by_gradients(200, 50),
    ),
    MethodCard(
        "4denvar",
        "4DEnVar",
        "an ensemble-variational analysis (4DEnVar)",
        "caliche.estimation.ensemble.variational:FourDEnVar",
        "ensemble",
        "Without derivatives, where one analysis or a few have to do.",
        by_members(1, ten_each, iterated=7),
    ),
    MethodCard(
        "eki",
        "EKI",
        "ensemble Kalman inversion (EKI)",
        "caliche.estimation.ensemble.kalman:EnsembleKalmanInversion",
        "ensemble",
        "Without derivatives and with noisy or failing runs: perturbed observations.",
        by_members(9, ten_each),
    ),
    MethodCard(
        "etki",
        "ETKI",
        "ensemble transform Kalman inversion (ETKI)",
        "caliche.estimation.ensemble.kalman:EnsembleTransformKalmanInversion",
        "ensemble",
        "Without derivatives, the first to try: a transform, no perturbed observations.",
        by_members(9, ten_each),
    ),
    MethodCard(
        "uki",
        "UKI",
        "unscented Kalman inversion (UKI)",
        "caliche.estimation.ensemble.kalman:UnscentedKalmanInversion",
        "ensemble",
        "Without derivatives and with few parameters: two runs each and one more.",
        by_members(9, lambda size: 2 * size + 1),
    ),
    MethodCard(
        "ga",
        "GA",
        "a genetic algorithm",
        "caliche.estimation.ensemble.search:GeneticAlgorithm",
        "search",
        "To compare with studies that used one.",
        by_members(90, lambda size: min(100, max(40, 20 * size))),
    ),
    MethodCard(
        "cma",
        "CMA-ES",
        "the evolution strategy CMA-ES",
        "caliche.estimation.ensemble.search:CovarianceMatrixAdaptation",
        "search",
        "Without derivatives and with several optima, where runs are cheap.",
        by_members(170, lambda size: 4 + int(3 * math.log(size))),
    ),
    MethodCard(
        "bo",
        "BO",
        "Bayesian optimisation",
        "caliche.optimisation.bayes:Bayes",
        "search",
        "Where a run takes minutes and the misfit has several basins, to find the best one.",
        by_proposals,
    ),
):
    register(_card)

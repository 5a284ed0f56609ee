"""What an experiment asks of the options of any model, and the options of a simple one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class Learner:
    """What has to be trained before a model says anything: a network in the law of its fluxes.

    Attributes
    ----------
    plain : the options of the same model without it.
    law : the law with a network that has learned nothing yet, of the time step (s), the width and
        depth of the network, and the seed of its weights.
    standardised : the model with the inputs of its network standardised, of the model, its
        parameters and the forcing.
    """

    plain: ModelOptions
    law: Callable[[float, int, int, int], Any]
    standardised: Callable[[Any, Any, Any], Any]


class ModelOptions(Protocol):
    """Options of a model, as [model] says them.

    Attributes
    ----------
    name : of the model.
    initial, initial_depths : how temperatures at the start are found; depths (m) of an observed or
        estimated profile.
    bottom_stream : observed soil temperature that the bottom follows, or None.
    period : of a periodic spin-up, s, or None.
    fluxes, learner : name of the law of the turbulent fluxes; what has to be trained in it before
        the model says anything, or None.
    attributes : of a site, as predictors of what sites have in common (`caliche joint`).
    structural : whether the families of other closures and grids are among its default variants.
    """

    @property
    def name(self) -> str: ...
    @property
    def initial(self) -> str: ...
    @property
    def initial_depths(self) -> tuple[float, ...]: ...
    @property
    def bottom_stream(self) -> str | None: ...
    @property
    def period(self) -> float | None: ...
    @property
    def fluxes(self) -> str: ...
    @property
    def learner(self) -> Learner | None: ...
    @property
    def attributes(self) -> Mapping[str, str]: ...
    @property
    def structural(self) -> bool: ...

    def build(
        self, time_step: float, varying: Sequence[str] = (), initial_values: Any = None
    ) -> Any:
        """The model, with a time step in s.

        Parameters
        ----------
        varying : parameters that vary in time.
        initial_values : observed temperatures (depth, K) at `initial_depths`, or None.

        Raises
        ------
        InputError : a parameter that cannot vary.
        """
        ...


@dataclass(frozen=True)
class PlainOptions:
    """Options of a model that starts from its own state and has nothing to be trained.

    make : the model from its time step (s).
    """

    name: str
    make: Callable[[float], Any]
    initial: str = "uniform"
    initial_depths: tuple[float, ...] = ()
    bottom_stream: str | None = None
    period: float | None = None
    fluxes: str = ""
    learner: Learner | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    structural: bool = False

    def build(
        self, time_step: float, varying: Sequence[str] = (), initial_values: Any = None
    ) -> Any:
        """See `ModelOptions`."""
        return self.make(time_step)

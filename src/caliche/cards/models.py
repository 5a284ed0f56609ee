"""Model cards: what a model is called, the keys of its [model] table, and what makes it.

A model is one card. The configuration, its schema and reference page, `caliche parameters` and the
experiments read it. Nothing here loads JAX: what a card names as "module:name" is imported when it
is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from caliche._lazy import load


@dataclass(frozen=True)
class ModelCard:
    """A model that [model] can name.

    Attributes
    ----------
    name : in [model].
    table : the dataclass whose fields are the keys of [model], one of them `name`, or
        "module:name" of it; see `caliche.keys.declare`.
    read : makes the options of the model, see `caliche.experiments.options.ModelOptions`, from the
        table, the keys that were given, where they stand, the window and the synthetic experiment
        (or None); or "module:name" of it. It raises InputError where they do not go together.
    declarations : gives every parameter that the model can have, or "module:name" of it.
    paths : keys of the table that are paths, relative to the experiment's file or else to the
        current folder.
    """

    name: str
    table: type | str
    read: Callable[..., Any] | str
    declarations: Callable[[], Iterable[Any]] | str
    paths: tuple[str, ...] = ()

    def options(self, *given: Any) -> Any:
        """The options of the model, as `read` makes them."""
        return _loaded(self.read)(*given)

    def declared(self) -> list[Any]:
        """Every parameter that the model can have."""
        return list(_loaded(self.declarations)())


MODELS: dict[str, ModelCard] = {}


def register_model(card: ModelCard) -> None:
    """Make a model known under its name to everything that asks for models."""
    MODELS[card.name] = card


def model_tables() -> Mapping[str, type]:
    """The table of keys of each model, by name."""
    return {name: _loaded(card.table) for name, card in MODELS.items()}


def _loaded(what: Any) -> Any:
    return load(what) if isinstance(what, str) else what


_TABLES, _PARAMETERS = "caliche.experiments.config", "caliche.experiments.declared_parameters"
register_model(
    ModelCard(
        "soil-heat",
        f"{_TABLES}.models:SoilHeatTable",
        f"{_TABLES}.models:read_soil_heat",
        f"{_PARAMETERS}:of_soil_heat",
    )
)
register_model(
    ModelCard(
        "lad",
        f"{_TABLES}.lad:LaDTable",
        f"{_TABLES}.lad:read_lad",
        f"{_PARAMETERS}:of_lad",
    )
)
register_model(
    ModelCard(
        "emulated",
        f"{_TABLES}.emulated:EmulatedTable",
        f"{_TABLES}.emulated:read_emulated",
        f"{_PARAMETERS}:of_emulated",
        ("folder",),
    )
)

"""The [model] table of an experiment whose column is a trained network."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from caliche.errors import InputError
from caliche.experiments.config.read import read_config
from caliche.experiments.options import ModelOptions
from caliche.keys.declare import key
from caliche.wording import listing


@dataclass(frozen=True, kw_only=True)
class EmulatedTable:
    """A network that takes the steps of another model, as `caliche emulate-column` trained it."""

    name: Literal["emulated"] = key("which model", "emulated")
    folder: str = key("folder that `caliche emulate-column` wrote")


@dataclass(frozen=True)
class EmulatedConfig:
    """Options of `caliche.models.emulated.EmulatedModel`; `ModelOptions` of it.

    folder : of the network.  exact : options of the model that it stands for, which makes the state
    at the start.
    """

    folder: Path
    exact: ModelOptions
    name: str = "emulated"
    fluxes: str = ""
    learner: None = None
    structural: bool = False

    @property
    def initial(self) -> str:
        return self.exact.initial

    @property
    def initial_depths(self) -> tuple[float, ...]:
        return self.exact.initial_depths

    @property
    def bottom_stream(self) -> str | None:
        return self.exact.bottom_stream

    @property
    def period(self) -> float | None:
        return self.exact.period

    @property
    def attributes(self) -> Mapping[str, str]:
        return self.exact.attributes

    def build(
        self, time_step: float, varying: Sequence[str] = (), initial_values: Any = None
    ) -> Any:
        """See `ModelOptions`."""
        from caliche.column_networks.store import read_network  # loads JAX

        if varying:
            raise InputError(
                "constant parameters in an emulated column, which was trained with such",
                f"{listing(list(varying))} varying in time",
                "leave the variation out, or use the model itself",
            )
        return read_network(self.folder, self.exact.build(time_step, (), initial_values))


def read_emulated(
    table: EmulatedTable, given: Mapping[str, Any], where: str, window: Any, synthetic: Any
) -> EmulatedConfig:
    """Configuration of a [model] table with name = "emulated".

    Raises
    ------
    InputError : no such folder, or one that has no network in it.
    """
    folder = Path(table.folder)
    missing = [
        n for n in ("config.toml", "network.json", "network.eqx") if not (folder / n).is_file()
    ]
    if missing:
        raise InputError(
            f"a folder that caliche emulate-column wrote to the end as folder in {where}",
            f"{folder}, without {listing(missing)}",
            "give the folder that the command named with --out",
        )
    exact = read_config(folder / "config.toml").model
    if isinstance(exact, EmulatedConfig):
        raise InputError(
            f"a network of a model in {folder}", "a network of a network", "train on the model"
        )
    return EmulatedConfig(folder, exact)


def exact_config(config: Any) -> Any:
    """The configuration with the exact model in place of its network; None if there is none."""
    if not isinstance(config.model, EmulatedConfig):
        return None
    return dataclasses.replace(config, model=config.model.exact)

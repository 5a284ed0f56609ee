"""The tables of correlated priors and nuisances, and what streams have to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from caliche.errors import InputError
from caliche.experiments.config.tables import (
    PRIOR_NAMES,
    NuisanceConfig,
    ObservationConfig,
    ParameterConfig,
    ParameterKeys,
)
from caliche.keys.declare import key, keys_of
from caliche.variables import variable

NUISANCES = ("bias", "clock-offset", "depth-offset", "flux-fraction")
# Prior (mean, sd) of a nuisance of which nothing else is said.
_NUISANCE_PRIORS = {
    "clock-offset": (0.0, 0.5),
    "depth-offset": (0.0, 0.005),
    "flux-fraction": (0.85, 0.1),
}


@dataclass(frozen=True, kw_only=True)
class CorrelationTable:
    """The correlation between the priors of two parameters."""

    parameters: tuple[str, str] = key(
        "names of the two parameters", noun="names", example='["A", "B"]'
    )
    value: float = key("correlation between their priors")


@dataclass(frozen=True, kw_only=True)
class NuisanceTable(ParameterKeys):
    """What may be wrong with observations: a parameter of its own."""

    kind: str = key("what is wrong with the streams", "bias", choices=NUISANCES)
    streams: tuple[str, ...] = key(
        "streams that are affected", noun="names of streams", example='["soil_temperature_0.05m"]'
    )
    prior: str | None = key(
        "kind of its prior; each kind of nuisance has its own if left out",
        None,
        choices=PRIOR_NAMES,
    )

    def check(self, where: str) -> None:
        if not self.streams:
            raise InputError(
                f"names of streams in {where}", "[]", 'write streams = ["soil_temperature_0.05m"]'
            )
        for stream in self.streams:
            variable(stream)
        if len(set(self.streams)) < len(self.streams):
            raise InputError(
                f"each stream once for streams in {where}", f"{list(self.streams)}", "take one out"
            )
        self.parameter(where).check(where)

    def parameter(self, where: str) -> ParameterConfig:
        """The parameter that it is."""
        said = {s.field: getattr(self, s.field) for s in keys_of(ParameterKeys).values()}
        if said["prior"] is None:
            said["prior"] = "flat"
            if not self.fixed and self.tied_to is None:
                if self.kind not in _NUISANCE_PRIORS and self.sd is None:
                    raise InputError(
                        f"sd in {where}: how large the bias may be", "nothing", "add sd = 1.0"
                    )
                mean, sd = _NUISANCE_PRIORS.get(self.kind, (0.0, 1.0))
                said["prior"] = "normal"
                said["mean"] = mean if self.mean is None else self.mean
                said["sd"] = sd if self.sd is None else self.sd
        return ParameterConfig(**said)


def prior_correlations(
    tables: Sequence[CorrelationTable], where: str
) -> dict[tuple[str, str], float]:
    """Pairs of parameters, and the correlation of their priors."""
    found: dict[tuple[str, str], float] = {}
    for number, table in enumerate(tables, 1):
        first, second = table.parameters
        if found.keys() & {(first, second), (second, first)}:
            raise InputError(
                f"a pair that was not given before in {where}, prior_correlations number {number}",
                f"{first} and {second}",
                "take one of them out",
            )
        found[first, second] = table.value
    return found


def make_nuisance(table: NuisanceTable) -> NuisanceConfig:
    """A nuisance, with the prior of its kind where none is given."""
    return NuisanceConfig(table.kind, table.streams, table.parameter(""))


def check_observation(stream: str, config: ObservationConfig, where: str) -> None:
    """Raises InputError at a stream that is fitted without an error."""
    if config.fit and config.sigma is None and not config.sigma_from_data:
        raise InputError(
            f"sigma of the fitted stream in {where}",
            "nothing",
            f"give the error of one observation in {variable(stream).unit}, or fit = false",
        )

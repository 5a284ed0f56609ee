"""The file of a CalLMIP entry: which towers, what they share, which days are kept back."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from caliche.callmip.protocol import CARBON, SCENARIOS, check_model, check_scenario
from caliche.commands.callmip.folder import ENTRY
from caliche.data.callmip_sites import CALIBRATION, CallmipSite, callmip_site
from caliche.errors import InputError, nearest
from caliche.keys.declare import key
from caliche.keys.read import read
from caliche.wording import listing

GLOBAL, SITE = "global", "site"
ATTRIBUTES = ("vegetation", "soil")
NO_CARBON = (
    "caliche has no carbon yet: Scenarios 3 (LE), 4 (H) and 6 (LE and H) are whole with it, and "
    "the required Scenario 1 is not"
)


@dataclass(frozen=True, kw_only=True)
class EntrySiteTable:
    """A tower of the entry."""

    experiment: str = key("its experiment, a path relative to this file")
    vegetation: str = key("what groups it by vegetation, a word")
    soil: str = key("what groups it by soil, a word")


@dataclass(frozen=True, kw_only=True)
class HoldOutTable:
    """Days that the calibration does not see: every so many blocks of days."""

    every: int = key("one block of so many is kept back", least=2, example="4")
    days: int = key("days of a block", 7, above=0)


@dataclass(frozen=True, kw_only=True)
class EntryTable:
    """An entry to CalLMIP Phase 1b."""

    title: str = key("title, one line")
    model: str = key("model and version, as in the names of the files", "caliche-LaD.v1")
    scenario: int = key("calibration scenario of the protocol: 3 (LE), 4 (H) or 6 (LE and H)", 6)
    sites: Mapping[str, EntrySiteTable] = key("the towers")
    share: Mapping[str, str] = key(
        'by parameter: "global", "site", "vegetation" or "soil"', {}, example='"vegetation"'
    )
    weights: str = key(
        "whether no tower counts for more than the median one, or days count as they are",
        "towers",
        choices=("towers", "days"),
    )
    hold_out: HoldOutTable | None = key("days that the calibration does not see", None)
    max_iterations: int = key("iterations of the calibration at most", 200, above=0)


@dataclass(frozen=True)
class Entry:
    """An entry as it was read. folder : of the file.  towers : code -> its row in the table."""

    folder: Path
    table: EntryTable
    towers: Mapping[str, CallmipSite]
    text: str

    @property
    def calibrating(self) -> tuple[str, ...]:
        """Towers that are calibrated on."""
        return tuple(code for code, site in self.towers.items() if site.role == CALIBRATION)

    @property
    def variables(self) -> tuple[str, ...]:
        """The protocol's variables that the scenario calibrates."""
        return SCENARIOS[self.table.scenario]

    def label(self, parameter: str, site: str) -> str:
        """Which group's value of a parameter a tower takes; empty for one value of all."""
        how = self.table.share.get(parameter, SITE)
        if how == GLOBAL:
            return ""
        return site if how == SITE else str(getattr(self.table.sites[site], how))


def read_entry(folder: Path) -> Entry:
    """The entry of a folder.

    Raises
    ------
    InputError : no entry, a key that is missing, unknown or wrong, a scenario with carbon, or no
        tower to calibrate on.
    """
    path = folder / ENTRY
    if not path.is_file():
        raise InputError(
            f"an entry, {ENTRY}, in {folder}", "none", "begin with caliche callmip init FOLDER"
        )
    text = path.read_text(encoding="utf-8")
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"valid TOML in {path}", str(error), "correct that line") from None
    table = read(EntryTable, raw, ENTRY)
    check_model(table.model)
    refuse_carbon(table.scenario)
    towers = {code: callmip_site(code) for code in table.sites}
    for parameter, how in table.share.items():
        if how not in (GLOBAL, SITE, *ATTRIBUTES):
            raise InputError(
                f"{parameter} in {ENTRY}, [share], to be one of global, site, vegetation or soil",
                repr(how),
                nearest(how, (GLOBAL, SITE, *ATTRIBUTES)),
            )
    entry = Entry(folder, table, towers, text)
    if not entry.calibrating:
        raise InputError(
            f"a calibration tower in {ENTRY}", listing(towers) or "no tower", "add one, as US-Whs"
        )
    return entry


def refuse_carbon(scenario: int) -> None:
    """Raises InputError at a scenario that the models of caliche cannot do, or that is none."""
    check_scenario(scenario)
    if set(SCENARIOS[scenario]) & set(CARBON):
        raise InputError(
            "Scenario 3, 4 or 6", f"{scenario}, which calibrates nep; {NO_CARBON}", "scenario = 6"
        )

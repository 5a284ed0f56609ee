"""What CalLMIP Phase 1b asks of an output file: names, variables, units, attributes, scenarios.

Protocol version 2 (github.com/callmip-org/Phase1) and the template file beside it. The names of
the variables are those of CMIP6; the words are ours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from caliche.data.callmip_sites import CALIBRATION
from caliche.errors import InputError, nearest

PHASE = "Phase1b"
PRIOR, POSTERIOR = "Prior", "Posterior"
STAGES = (PRIOR, POSTERIOR)
CALIBRATED, VALIDATED = "Calibration", "Validation"
SHORT = {CALIBRATED: "Cal", VALIDATED: "Val"}
FILL = 1e38
UNCERTAINTY = "_post_unc"  # suffix of the posterior uncertainty of a variable
DIMENSIONS = ("time", "lat", "lon")
ATTRIBUTES = ("Model", "CalLMIP_Phase", "Calibration_Scenario", "Calibration_stage", "Cal_Val")
# Scenario -> the variables that it calibrates.
SCENARIOS = {
    1: ("nep", "hfls", "hfss"),
    2: ("nep",),
    3: ("hfls",),
    4: ("hfss",),
    5: ("nep", "hfls"),
    6: ("hfls", "hfss"),
}
CARBON = ("nep", "gpp", "reco", "cLiveBioAbove", "cSoil")
_NAME = re.compile(
    r"^(?P<model>[^_]+)_Phase1b_Scen(?P<scenario>[1-6])_(?P<site>[A-Z]{2}-[A-Za-z0-9]{3})"
    r"_(?P<role>Cal|Val)_(?P<stage>Prior|Posterior)\.nc$"
)


@dataclass(frozen=True)
class OutputVariable:
    """One variable: its unit as it has to be written, and what a daily mean of it can be.

    low, high : of a daily mean on land, wide; `others` are spellings of the unit that do as well.
    """

    name: str
    unit: str
    long_name: str
    low: float
    high: float
    others: tuple[str, ...] = ()


_CARBON, _WATER = "kgC m-2 s-1", "kg m-2 s-1"
VARIABLES = {
    v.name: v
    for v in (
        OutputVariable(
            "nep", _CARBON, "net ecosystem production, positive into the land", -5e-7, 5e-7
        ),
        OutputVariable("hfls", "W m-2", "latent heat flux, positive upwards", -150.0, 400.0),
        OutputVariable("hfss", "W m-2", "sensible heat flux, positive upwards", -300.0, 500.0),
        OutputVariable("gpp", _CARBON, "gross primary production", -2e-8, 6e-7),
        OutputVariable("reco", _CARBON, "ecosystem respiration", -2e-8, 5e-7),
        OutputVariable("tran", _WATER, "transpiration", -2e-5, 2e-4),
        OutputVariable("evspsblsoi", _WATER, "evaporation from the soil", -5e-5, 2e-4),
        OutputVariable("hfg", "W m-2", "heat flux into the ground, positive downwards", -250, 250),
        OutputVariable("ts", "K", "surface (skin) temperature", 200.0, 345.0),
        OutputVariable("mrso", "kg m-2", "water in the soil, all phases", 0.0, 2e4),
        OutputVariable("mrsos", "kg m-2", "water in the upper 0.1 m of the soil", 0.0, 100.0),
        OutputVariable("lai", "m2 m-2", "leaf area index", 0.0, 15.0, ("1", "m^2 m^-2")),
        OutputVariable("cSoil", "kg m-2", "carbon in the soil", 0.0, 500.0),
        OutputVariable("cLiveBioAbove", "kg m-2", "carbon in live biomass above ground", 0.0, 100),
    )
}


@dataclass(frozen=True)
class OutputName:
    """What the name of a file says.

    model : with its version, as `CLASSIC.v2`.  scenario : 1 to 6.  site : code of the tower.
    cal_val : Calibration or Validation.  stage : Prior or Posterior.
    """

    model: str
    scenario: int
    site: str
    cal_val: str
    stage: str

    @property
    def file(self) -> str:
        """The name of the file."""
        short = SHORT[self.cal_val]
        return f"{self.model}_{PHASE}_Scen{self.scenario}_{self.site}_{short}_{self.stage}.nc"

    @property
    def attributes(self) -> dict[str, str]:
        """The global attributes that say the same."""
        said = (self.model, PHASE, f"Scen{self.scenario}", self.stage, self.cal_val)
        return dict(zip(ATTRIBUTES, said, strict=True))


def name_of(path: Path) -> OutputName | None:
    """What the name of a file says, None if it is not of the protocol's form."""
    match = _NAME.match(path.name)
    if match is None:
        return None
    role = next(long for long, short in SHORT.items() if short == match["role"])
    return OutputName(match["model"], int(match["scenario"]), match["site"], role, match["stage"])


def cal_val(role: str) -> str:
    """Calibration or Validation, as attributes say it, of a role in the table of towers."""
    return CALIBRATED if role == CALIBRATION else VALIDATED


def check_scenario(scenario: int) -> None:
    """Raises InputError at a scenario that the protocol does not have."""
    if scenario not in SCENARIOS:
        raise InputError(
            "a calibration scenario from 1 to 6", f"{scenario}", nearest(str(scenario), "123456")
        )


def check_model(model: str) -> None:
    """Raises InputError at a model name with version that would not make a name of a file."""
    if not re.fullmatch(r"[A-Za-z0-9+-]+\.[A-Za-z0-9.+-]+", model):
        raise InputError(
            "a model with its version, of letters, digits and hyphens, as caliche-LaD.v1",
            repr(model),
            "write MODEL.VERSION without underscores",
        )

"""A folder of CalLMIP output files looked over, file by file and as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caliche.callmip.content_checks import CONTENT
from caliche.callmip.findings import Finding, run_checks
from caliche.callmip.layout_checks import LAYOUT
from caliche.callmip.opened import Opened, open_output
from caliche.callmip.protocol import PRIOR, SCENARIOS, SHORT, STAGES, cal_val, name_of
from caliche.data.callmip_flux import DailyFluxes, find_fluxes, read_daily_fluxes
from caliche.data.callmip_sites import CALIBRATION, callmip_sites
from caliche.data.locate import find_data
from caliche.errors import InputError
from caliche.wording import listing

OF_TOWERS = ("_Flux.nc", "_Met.nc")  # files of towers, which may lie beside
OF_FILES = (*LAYOUT, *CONTENT)
# Checks of a folder -> what is checked.
OF_FOLDERS = {
    "readable": "every file is netCDF",
    "pairs": "every run has its prior and its posterior",
    "one-model": "all files are of one model",
    "prior-differs": "the posterior is not the prior again",
    "towers": "no tower is missing",
}


@dataclass(frozen=True)
class Looked:
    """What was found.

    files : the names of all files that were looked at.  findings : of files, then of the folder.
    """

    files: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def failed(self) -> tuple[Finding, ...]:
        """Those that fail a file."""
        return tuple(f for f in self.findings if f.fails)

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return not self.failed


def check_outputs(path: Path) -> Looked:
    """Look over a folder, or one file.

    What was measured is looked for in the folder and in CALICHE_DATA/callmip; without it the days
    of the table of towers count, and the signs are checked by what the file itself holds.

    Raises
    ------
    InputError : no such folder, or no file in it that could be meant.
    """
    files = output_files(path)
    found: list[Finding] = []
    opened: list[Opened] = []
    for file in files:
        try:
            one = open_output(file, measured(file))
        except InputError as error:
            found.append(Finding("readable", file.name, f"it cannot be read: {error.got}"))
            continue
        found += run_checks(OF_FILES, one)
        opened.append(one)
    if path.is_dir():
        found += _of_folder(opened, len(opened) == len(files))
    return Looked(tuple(file.name for file in files), tuple(found))


def output_files(path: Path) -> tuple[Path, ...]:
    """The output files of a folder (its own, or those in its folder `output`), or one file.

    Raises
    ------
    InputError : no such folder, or no file in it that could be meant.
    """
    if path.is_file():
        return (path,)
    inside = path / "output"
    folder = inside if inside.is_dir() else path
    files = tuple(p for p in sorted(folder.glob("*.nc")) if not p.name.endswith(OF_TOWERS))
    if not files:
        raise InputError(
            "a folder with output files of CalLMIP, MODEL.VERSION_Phase1b_..._Prior.nc",
            f"none in {folder}" if folder.is_dir() else f"no folder {folder}",
            "give the folder that holds them",
        )
    return files


def measured(file: Path) -> DailyFluxes | None:
    """What was measured at the tower of an output file, if its flux file is at hand."""
    name = name_of(file)
    if name is None or name.site not in callmip_sites():
        return None
    if callmip_sites()[name.site].role != CALIBRATION:
        return None
    for folder in (file.parent, file.parent.parent, _data_folder()):
        if folder is not None:
            try:
                return read_daily_fluxes(find_fluxes(name.site, folder))
            except InputError:
                continue
    return None


def _data_folder() -> Path | None:
    try:
        return find_data("callmip", ".")
    except InputError:
        return None


def _of_folder(opened: Sequence[Opened], complete: bool) -> list[Finding]:
    """What is to be said of all files together."""
    named = {o.name: o for o in opened if o.name is not None}
    found = []
    models = sorted({name.model for name in named})
    if len(models) > 1:
        said = f"the files are of several models: {listing(models)}"
        found.append(Finding("one-model", "", said))
    whole = complete and len(named) == len(opened) and len(models) == 1
    runs: dict[tuple, dict[str, Opened]] = {}
    for name, one in named.items():
        run = (name.scenario, name.site, name.cal_val)
        runs.setdefault(run, {})[name.stage] = one
    for (scenario, site, role), stages in sorted(runs.items()):
        words = f"Scen{scenario}_{site}_{SHORT[role]}"
        missing = [stage for stage in STAGES if stage not in stages]
        if missing and whole:
            found.append(Finding("pairs", "", f"{words} has no {missing[0]} beside it"))
        elif not missing and _same(stages, scenario):
            said = f"{words}: the posterior has the values of the prior in every calibrated flux"
            found.append(Finding("prior-differs", "", said))
    if whole:
        found += _towers({run[:1] + run[2:] for run in runs}, set(runs))
    return found


def _same(stages: dict[str, Opened], scenario: int) -> bool:
    prior, posterior = (stages[stage] for stage in (PRIOR, *(s for s in STAGES if s != PRIOR)))
    known = False
    for name in SCENARIOS[scenario]:
        one, other = prior.series(name), posterior.series(name)
        if one is None or other is None or not np.isfinite(one).any():
            continue
        known = True
        if one.shape != other.shape or not np.array_equal(one, other, equal_nan=True):
            return False
    return known


def _towers(kinds: set[tuple], runs: set[tuple]) -> list[Finding]:
    """Which towers are missing, for each scenario and role that is there."""
    found = []
    for scenario, role in sorted(kinds):
        every = [c for c, site in callmip_sites().items() if cal_val(site.role) == role]
        missing = [code for code in every if (scenario, code, role) not in runs]
        if missing:
            said = (
                f"Scen{scenario} has {len(every) - len(missing)} of {len(every)} {role} towers; "
                f"missing: {', '.join(missing)}"
            )
            found.append(Finding("towers", "", said, fails=False))
    return found

"""A new entry to CalLMIP: its file, and an experiment for each tower."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import tomli_w

from caliche.callmip.protocol import SCENARIOS, check_model
from caliche.callmip.weather import PATTERN as WEATHER
from caliche.callmip.weather import find_weather
from caliche.commands.callmip.config import refuse_carbon
from caliche.commands.callmip.folder import ENTRY, EXPERIMENTS
from caliche.data.callmip_flux import (
    LATENT,
    PATTERN,
    SENSIBLE,
    find_fluxes,
    read_daily_fluxes,
)
from caliche.data.callmip_sites import (
    CALIBRATION,
    VALIDATION,
    VEGETATION,
    WHERE,
    WHERE_FLUX,
    CallmipSite,
    callmip_site,
    callmip_sites,
)
from caliche.data.locate import find_data
from caliche.data.readers.plumber2_facts import plumber2_facts
from caliche.errors import InputError
from caliche.experiments.config.toml import load_raw
from caliche.files.whole_file import write_text
from caliche.models.lad.tables import COVERS
from caliche.variables import FORCING
from caliche.wording import listing, number_of

DATA = "callmip"  # folder in CALICHE_DATA
FITTED = {"hfls": LATENT, "hfss": SENSIBLE}
MODEL_ERROR = {LATENT: 15.0, SENSIBLE: 20.0}  # W m-2 of a daily mean, a first guess
FEWEST = 60  # days of a stream below which it is scored, not fitted
# Tables of another experiment that a tower takes over, and streams of its files that it does not.
KEPT = ("site", "window", "sources", "derive", "model", "parameters")
TURBULENT = (LATENT, SENSIBLE)
FLUX, MET = "flux", "weather"  # kinds of files, and where each is had
KINDS = {FLUX: WHERE_FLUX, MET: WHERE}
MIXED_SOIL = "coarse_medium_fine"
SHARE = {
    "stomatal_resistance": "vegetation",
    "log_roughness_ratio": "vegetation",
    "available_water_capacity": "soil",
}
HEAD = """\
# An entry to CalLMIP Phase 1b. Next: caliche callmip run {folder}
# {carbon}.
# share: "global" (one value), "vegetation" or "soil" (one a group), "site" (each its own, which the
# protocol does not want of an operational parameter set; initial states may be).
# [hold_out] every = 4 keeps one week of four back, to see whether the error bars hold.
"""
CARBON = "caliche has no carbon: nep, gpp, reco, cSoil and cLiveBioAbove stay empty"


def start_entry(
    folder: Path,
    sites: Sequence[str],
    scenario: int,
    model: str,
    weather: Mapping[str, str],
    hold_out: int | None = None,
) -> tuple[str, ...]:
    """Write the folder of an entry, and return sentences on what to look at.

    Parameters
    ----------
    sites : codes of towers; `calibration` and `validation` stand for all of a kind.
    weather : tower -> an experiment (bundled, or a file) whose forcing, model and priors it takes,
        where there is no PLUMBER2 file.
    hold_out : one week of so many is kept back.

    Raises
    ------
    InputError : a scenario with carbon, no towers, files that are missing (all of them named), or
        a folder that holds an entry.
    """
    refuse_carbon(scenario)
    check_model(model)
    towers = _towers(sites)
    for code in weather:
        if code not in {tower.code for tower in towers}:
            raise InputError("weather of a tower in --sites", code, "add it to --sites")
    if (folder / ENTRY).exists():
        raise InputError(
            "a folder without an entry", f"{folder / ENTRY}, which is there", "choose another one"
        )
    data = _data_folders(folder)
    experiments, missing, remarks = {}, [], []
    for tower in towers:
        found, lacks, said = _experiment(tower, scenario, data, weather.get(tower.code))
        missing, remarks = missing + lacks, remarks + said
        experiments[tower.code] = found
    if missing:
        raise InputError(
            "the files of every tower",
            "; ".join(_lacking(missing)),
            "get them, or name an experiment that brings the weather: --weather SITE=EXPERIMENT",
        )
    (folder / EXPERIMENTS).mkdir(parents=True, exist_ok=True)
    for code, raw in experiments.items():
        write_text(folder / EXPERIMENTS / f"{code}.toml", tomli_w.dumps(raw))
    write_text(folder / ENTRY, _entry(folder, towers, scenario, model, experiments, hold_out))
    mixed = [code for code, raw in experiments.items() if raw["model"].get("soil") == MIXED_SOIL]
    return (*remarks, *_remarks(towers, data, mixed))


def _towers(sites: Sequence[str]) -> tuple[CallmipSite, ...]:
    codes: list[str] = []
    for said in sites:
        if said in (CALIBRATION, VALIDATION):
            codes += [c for c, site in callmip_sites().items() if site.role == said]
        else:
            codes.append(said)
    towers = tuple(callmip_site(code) for code in dict.fromkeys(codes))
    if not any(tower.role == CALIBRATION for tower in towers):
        raise InputError(
            "at least one calibration tower in --sites",
            listing(codes) or "none",
            "--sites US-Whs, or --sites calibration for all 21",
        )
    return towers


def _data_folders(folder: Path) -> list[Path]:
    try:
        return [folder, find_data(DATA, ".")]
    except InputError:
        return [folder]


def _experiment(
    tower: CallmipSite, scenario: int, data: Sequence[Path], weather: str | None
) -> tuple[dict[str, Any], list[tuple[str, str]], list[str]]:
    """The experiment of a tower, what it lacks, and what is to be said of its files."""
    missing, remarks, raw, flux = [], [], {}, None
    if tower.role == CALIBRATION:
        flux = next(_each(data, lambda place: find_fluxes(tower.code, place)), None)
        if flux is None:
            name = PATTERN.format(site=tower.code)
            missing.append((f"{name} of {tower.code}", FLUX))
    if weather is not None:
        raw = _taken_over(tower, weather)
    else:
        path = next(_each(data, lambda place: find_weather(tower.code, [place])), None)
        if path is None:
            name = WEATHER.format(site=tower.code)
            missing.append((f"{name} of {tower.code}", MET))
        else:
            raw = _plumber2(tower, path)
            remarks = _contradictions(tower, path)
    if not missing:
        raw = _observed(raw, tower, scenario, flux)
    return raw, missing, remarks


def _lacking(missing: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Files that are missing, by kind, and where each kind is had."""
    for kind, where in KINDS.items():
        names = [name for name, of in missing if of == kind]
        if names:
            yield f"no {kind} file {listing(names)}: {where}"


def _contradictions(tower: CallmipSite, path: Path) -> list[str]:
    """Where a weather file is not as the table of towers has it; its own heights and step hold."""
    facts, found = plumber2_facts(path), []
    if facts.site != tower.code:
        raise InputError(
            f"the weather file of {tower.code}", f"{path.name}, of {facts.site}", "rename it"
        )
    if facts.step and facts.step != tower.step:
        found.append(
            f"{path.name} has a step of {facts.step:g} s, and {tower.step:g} s were expected."
        )
    height = facts.reference_height
    if height is not None and abs(height - tower.reference_height) > 1e-3:
        found.append(
            f"{path.name} has a reference height of {height:g} m, and {tower.reference_height:g} m "
            "were expected; that of the file is taken."
        )
    if tower.lai and facts.leaf_area and facts.modis not in ("", tower.lai):
        found.append(f"{path.name} has MODIS leaf area as {facts.modis}, not as {tower.lai}.")
    return found


def _each(places: Sequence[Path], find: Callable[[Path], Path]) -> Iterator[Path]:
    """What is found in each place that has it."""
    for place in places:
        with contextlib.suppress(InputError):
            yield find(place)


def _plumber2(tower: CallmipSite, path: Path) -> dict[str, Any]:
    """LaD on the weather of a PLUMBER2 file, with wide priors about the defaults of its cover."""
    first, last = tower.years
    cover, facts = VEGETATION[tower.vegetation][1], plumber2_facts(path)
    step = facts.step or tower.step
    return {
        "site": {"name": tower.code, "utc_offset": tower.utc_offset, **_place(tower)},
        "window": {
            "start": datetime(first, 1, 1),
            "end": datetime(last + 1, 1, 1),
            "time_step": step,
        },
        "sources": {
            "weather": {
                "path": str(path.absolute()),
                "format": "plumber2",
                "utc_offset": tower.utc_offset,
                "stamp": "start",
                "accept_forcing": list(range(6)),
                "variables": list(FORCING),
            }
        },
        "model": {
            "name": "lad",
            "vegetation": cover,
            "soil": tower.soil or MIXED_SOIL,
            "measurement_height": facts.reference_height or tower.reference_height,
        },
        "parameters": {
            "albedo": {
                "prior": "normal",
                "mean": COVERS[cover].albedo,
                "sd": 0.04,
                "lower": 0.03,
                "upper": 0.6,
            },
            "stomatal_resistance": {"prior": "log-normal", "mean": 150.0, "sd": 150.0},
            "log_roughness_ratio": {
                "prior": "normal",
                "mean": 2.0,
                "sd": 2.0,
                "lower": -1.0,
                "upper": 12.0,
            },
            "available_water_capacity": {"prior": "log-normal", "mean": 150.0, "sd": 120.0},
            "initial_root_zone_saturation": {
                "prior": "normal",
                "mean": 0.5,
                "sd": 0.3,
                "lower": 0.0,
                "upper": 1.2,
            },
        },
    }


def _place(tower: CallmipSite) -> dict[str, float]:
    return {"latitude": tower.latitude, "longitude": tower.longitude}


def _taken_over(tower: CallmipSite, experiment: str) -> dict[str, Any]:
    """Forcing, model and priors of another experiment; its own observations are left out."""
    raw, folder, _ = load_raw(experiment)
    raw = {key: raw[key] for key in KEPT if key in raw}
    raw["site"] = {"name": tower.code, "utc_offset": tower.utc_offset} | raw.get("site", {})
    if raw["site"]["utc_offset"] != tower.utc_offset:
        raise InputError(
            f"utc_offset = {tower.utc_offset:g} of {tower.code} in {experiment}",
            f"{raw['site']['utc_offset']:g}",
            "correct the one that is wrong",
        )
    sources = {}
    for name, source in raw.get("sources", {}).items():
        source = dict(source)
        beside = folder / str(source["path"])
        if experiment.endswith(".toml") and beside.exists():
            source["path"] = str(beside.absolute())
        if "variables" in source:
            source["variables"] = [v for v in source["variables"] if v not in TURBULENT]
        else:
            source["leave_out"] = sorted({*source.get("leave_out", ()), *TURBULENT})
        sources[name] = source
    raw["sources"] = sources
    window = dict(raw["window"])
    window.pop("fit_until", None)
    first, last = tower.years
    window["start"] = max(window["start"], datetime(first, 1, 1))
    window["end"] = min(window["end"], datetime(last + 1, 1, 1))
    if not window["start"] < window["end"]:
        raise InputError(
            f"a window of {experiment} within the years of {tower.code}, {first} to {last}",
            "another time",
            "take another experiment for its weather",
        )
    raw["window"] = window
    return raw


def _observed(
    raw: dict[str, Any], tower: CallmipSite, scenario: int, flux: Path | None
) -> dict[str, Any]:
    """The experiment with daily fluxes as its observations; at a validation tower they are withheld
    and the table is only there because an experiment has one."""
    raw = {"title": f"{tower.code}, CalLMIP Phase 1b", **raw}
    if flux is not None:
        raw["sources"] = {**raw["sources"], DATA: {"path": str(flux.absolute())}}
        raw["sources"][DATA]["format"] = "callmip"
    fitted = [FITTED[name] for name in SCENARIOS[scenario]]
    raw["observations"] = {
        stream: {
            "sigma": sigma,
            "sigma_from_data": True,
            "estimate_sigma": stream in fitted,
            "fit": stream in fitted,
        }
        for stream, sigma in MODEL_ERROR.items()
    }
    return raw


def _entry(
    folder: Path,
    towers: Sequence[CallmipSite],
    scenario: int,
    model: str,
    experiments: Mapping[str, Mapping[str, Any]],
    hold_out: int | None,
) -> str:
    """The text of callmip.toml."""
    raw: dict[str, Any] = {
        "title": f"CalLMIP Phase 1b, Scenario {scenario}",
        "model": model,
        "scenario": scenario,
    }
    free = {name for e in experiments.values() for name in e.get("parameters", {})}
    raw["share"] = {name: how for name, how in SHARE.items() if name in free}
    if hold_out is not None:
        raw["hold_out"] = {"every": hold_out}
    raw["sites"] = {
        tower.code: {
            "experiment": f"{EXPERIMENTS}/{tower.code}.toml",
            "vegetation": tower.vegetation,
            "soil": experiments[tower.code]["model"].get("soil") or tower.soil or MIXED_SOIL,
        }
        for tower in towers
    }
    return HEAD.format(folder=folder, carbon=CARBON) + tomli_w.dumps(raw)


def _remarks(
    towers: Sequence[CallmipSite], data: Sequence[Path], mixed: Sequence[str]
) -> Iterator[str]:
    """What to look at before the entry is run."""
    if mixed:
        yield (
            f"The soil of {listing(mixed)} is written as a mixture: set it by the texture in "
            "Tables 1 and 2 of the protocol."
        )
    for tower in towers:
        if tower.role != CALIBRATION:
            continue
        path = next(_each(data, lambda place, c=tower.code: find_fluxes(c, place)))
        fluxes = read_daily_fluxes(path)
        for stream in MODEL_ERROR:
            if fluxes.valid(stream) < FEWEST:
                days = number_of(fluxes.valid(stream), "day")
                yield (
                    f"{tower.code} has {days} of {stream}, less than {FEWEST}: scored, not fitted."
                )

"""Output files of CalLMIP held against what was measured, and regressions on the weather."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from caliche.callmip.check import measured, output_files
from caliche.callmip.opened import Opened, open_output
from caliche.callmip.protocol import PRIOR as PRIOR_STAGE
from caliche.callmip.protocol import UNCERTAINTY, OutputName
from caliche.callmip.records import (
    CLUSTERS,
    ONE,
    POSTERIOR,
    PRIOR,
    EntryScores,
    FluxScore,
    TowerFlux,
)
from caliche.callmip.weather import (
    DailyWeather,
    find_weather,
    plumber2_weather,
    read_weather,
)
from caliche.data.callmip_flux import LATENT, NEE, SENSIBLE, DailyFluxes
from caliche.data.callmip_sites import CALIBRATION, WHERE, callmip_sites
from caliche.data.locate import find_data
from caliche.errors import InputError
from caliche.evaluation.benchmarks import benchmark_predictions
from caliche.evaluation.scores import score
from caliche.wording import listing, number_of

# Flux -> the output variable, what makes the flux of it, and the unit.
FLUXES = {
    NEE: ("nep", -8.64e7, "gC m-2 d-1"),
    LATENT: ("hfls", 1.0, "W m-2"),
    SENSIBLE: ("hfss", 1.0, "W m-2"),
}
SEASONS = {"DJF": (12, 1, 2), "MAM": (3, 4, 5), "JJA": (6, 7, 8), "SON": (9, 10, 11)}
BAND = 1.6448536269514722  # standard deviations on either side of a 90 % band
SHIFTS = range(-3, 4)
FEWEST_TOWERS = 5  # others, for benchmarks that are fitted to them alone
TOO_FEW = 30  # days below which a season is left out


def score_outputs(
    folder: Path, held: Mapping[str, np.ndarray] | None = None, command: str | None = None
) -> EntryScores:
    """Scores of every flux at every tower whose flux file is at hand.

    Parameters
    ----------
    held : tower -> days that its calibration did not use; scores are of these alone where given.
    command : as typed.

    Raises
    ------
    InputError : no output files, or none that can be compared with anything.
    """
    opened, notes = _open(output_files(folder))
    runs: dict[tuple[int, str], dict[str, Opened]] = {}
    for one in opened:
        name = _name(one)
        stage = PRIOR if name.stage == PRIOR_STAGE else POSTERIOR
        runs.setdefault((name.scenario, name.site), {})[stage] = one
    weather = {site: _weather(site, folder) for _, site in runs}
    without = [site for site, found in weather.items() if found is None]
    if without:
        notes.append(f"No benchmarks at {listing(without)}, whose weather is not at hand: {WHERE}.")
    known = {site: found for site, found in weather.items() if found is not None}
    fluxes = {_name(o).site: o.fluxes for o in opened if o.fluxes is not None}
    towers: list[TowerFlux] = []
    for (scenario, site), stages in runs.items():
        for flux in FLUXES:
            found = _tower(scenario, site, flux, stages, (held or {}).get(site), known, fluxes)
            towers += [] if found is None else [found]
    if not towers:
        raise InputError(
            "a flux with a value and a measured one on the same day",
            f"none in {folder}",
            "look at caliche callmip check, and at the years of the flux files",
        )
    models = listing(sorted({_name(o).model for o in opened}))
    return EntryScores(
        models, tuple(towers), _by_vegetation(towers), _sentences(towers), tuple(notes), command
    )


def _name(one: Opened) -> OutputName:
    assert one.name is not None  # `_open` leaves others out
    return one.name


def _open(files: Sequence[Path]) -> tuple[list[Opened], list[str]]:
    """Files that can be compared with something, and why others cannot."""
    opened, notes = [], []
    without: dict[str, list[str]] = {}  # why files of towers are left out -> their towers
    for file in files:
        try:
            one = open_output(file, measured(file))
        except InputError as error:
            notes.append(f"{file.name} is left out: it cannot be read ({error.got}).")
            continue
        if one.name is None or one.days is None:
            what = "its name" if one.name is None else "its times"
            notes.append(f"{file.name} is left out: {what} cannot be understood.")
        elif one.fluxes is None:
            site = callmip_sites().get(one.name.site)
            withheld = site is not None and site.role != CALIBRATION
            why = "whose fluxes are withheld" if withheld else "whose flux file is not at hand"
            without.setdefault(why, []).append(one.name.site)
        else:
            opened.append(one)
    for why, sites in without.items():
        notes.append(f"Left out: {listing(dict.fromkeys(sites))}, {why}.")
    if not opened:
        raise InputError(
            "output files whose towers have a flux file at hand",
            "; ".join(notes),
            "put the flux files beside them, or into the folder callmip of CALICHE_DATA",
        )
    return opened, notes


def _weather(site: str, folder: Path) -> DailyWeather | None:
    places = [folder, folder.parent]
    kept = next((w for w in (read_weather(p, site) for p in places) if w is not None), None)
    if kept is not None:
        return kept
    with contextlib.suppress(InputError):
        places.append(find_data("callmip", "."))
    try:
        return plumber2_weather(find_weather(site, places), callmip_sites()[site])
    except InputError:
        return None


def _tower(
    scenario: int,
    site: str,
    flux: str,
    stages: Mapping[str, Opened],
    held: np.ndarray | None,
    weather: Mapping[str, DailyWeather],
    fluxes: Mapping[str, DailyFluxes],
) -> TowerFlux | None:
    """One flux at one tower; None where nothing can be compared."""
    seen, (variable, factor, unit) = fluxes[site], FLUXES[flux]
    if flux not in seen.values:
        return None
    observed, days = seen.values[flux], seen.days
    series = {stage: _on(days, one, variable) for stage, one in stages.items()}
    series = {stage: factor * values for stage, values in series.items()}
    series = {stage: values for stage, values in series.items() if np.isfinite(values).any()}
    rows = np.isfinite(observed) & np.all([np.isfinite(v) for v in series.values()], axis=0)
    if not series or not rows.any():
        return None
    kept = np.isin(days, held) if held is not None else np.ones(len(days), bool)
    period = "held out" if held is not None and (rows & kept).any() else "all days"
    rows = rows & kept if period == "held out" else rows
    made, trained = _benchmarks(site, flux, rows, weather, fluxes, period)
    for values in made.values():
        rows = rows & np.isfinite(values)
    sigma = None
    if POSTERIOR in stages:
        sigma = abs(factor) * _on(days, stages[POSTERIOR], variable + UNCERTAINTY)
    every = {**series, **made}

    def scored(where: np.ndarray) -> dict[str, FluxScore]:
        return {
            name: _score(
                observed[where],
                values[where],
                sigma[where] if name == POSTERIOR and sigma is not None else None,
                seen.sigma[flux][where],
            )
            for name, values in every.items()
        }

    month = days.astype("datetime64[M]").astype(int) % 12 + 1
    seasons = {
        name: scored(rows & np.isin(month, months))
        for name, months in SEASONS.items()
        if (rows & np.isin(month, months)).sum() >= TOO_FEW
    }
    words = callmip_sites()[site].vegetation_words
    last = series[POSTERIOR if POSTERIOR in series else PRIOR]
    return TowerFlux(
        site,
        words,
        scenario,
        flux,
        unit,
        period,
        scored(rows),
        seasons,
        best_shift(last, observed),
        trained if made else "",
    )


def _on(days: np.ndarray, one: Opened, variable: str) -> np.ndarray:
    """A variable of a file on other days (n,), NaN where it has none."""
    found, values = np.full(len(days), np.nan), one.series(variable)
    if values is None or one.days is None or len(values) != len(one.days):
        return found
    k = np.clip(np.searchsorted(one.days, days), 0, len(one.days) - 1)
    return np.where(one.days[k] == days, values[k], np.nan)


def _score(
    observed: np.ndarray, modelled: np.ndarray, sigma: np.ndarray | None, error: np.ndarray
) -> FluxScore:
    s = score(observed, modelled)
    ratio = s.sd_model / s.sd_obs if s.sd_obs and s.sd_model is not None else None
    covered: list[float | None] = [None, None]
    if sigma is not None and np.isfinite(sigma).any():
        known = np.isfinite(sigma)
        off = np.abs(modelled - observed)[known]
        for k, width in enumerate((sigma, np.hypot(sigma, np.nan_to_num(error)))):
            covered[k] = float((off <= BAND * width[known]).mean())
    return FluxScore(s.n, s.rmse, s.bias, s.r, s.nme, s.sd_obs, ratio, *covered)


def best_shift(modelled: np.ndarray, observed: np.ndarray) -> int | None:
    """Days (n,) by which a series has to be moved later to agree best with another; None if that
    cannot be told."""
    found = {}
    for shift in SHIFTS:
        moved = np.roll(modelled, shift)
        moved[: max(shift, 0)] = np.nan
        if shift < 0:
            moved[shift:] = np.nan
        both = np.isfinite(moved) & np.isfinite(observed)
        if both.sum() > 2 and np.ptp(moved[both]) > 0.0 and np.ptp(observed[both]) > 0.0:
            found[shift] = float(np.corrcoef(moved[both], observed[both])[0, 1])
    if 0 not in found:
        return None
    return max(found, key=lambda shift: (found[shift], -abs(shift)))


def _benchmarks(
    site: str,
    flux: str,
    rows: np.ndarray,
    weather: Mapping[str, DailyWeather],
    fluxes: Mapping[str, DailyFluxes],
    period: str,
) -> tuple[dict[str, np.ndarray], str]:
    """Benchmarks on the days of a tower, and which days they were fitted to."""
    if site not in weather:
        return {}, ""
    own = fluxes[site]
    others = [
        name for name in fluxes if name != site and name in weather and fluxes[name].valid(flux) > 0
    ]
    many = len(others) >= FEWEST_TOWERS
    towers = [site, *others] if many else [site]
    observed = np.concatenate([fluxes[name].values[flux] for name in towers])
    by_name = [weather[name].on(fluxes[name].days) for name in towers]
    together = {key: np.concatenate([found[key] for found in by_name]) for key in by_name[0]}
    training = np.isfinite(observed)
    here = np.arange(len(observed)) < len(own.days)
    if many:
        training &= ~here
        trained = f"fitted to the other {len(others)} towers"
    elif period == "held out":
        training[: len(own.days)] &= ~rows
        trained = "fitted to the days of this tower that were not held out"
    else:
        trained = "fitted to the very days on which they are scored"
    made, _ = benchmark_predictions(observed, training, together)
    return {k: made[k][: len(own.days)] for k in (ONE, CLUSTERS) if k in made}, trained


def _by_vegetation(towers: Sequence[TowerFlux]) -> dict[str, dict[str, dict[str, float]]]:
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for t in towers:
        for name, s in t.scores.items():
            if s.rmse is not None:
                by_flux = found.setdefault(t.vegetation, {}).setdefault(t.flux, {})
                by_flux.setdefault(name, []).append(s.rmse)
    return {
        words: {
            flux: {name: float(np.mean(values)) for name, values in by_name.items()}
            for flux, by_name in by_flux.items()
        }
        for words, by_flux in found.items()
    }


WORDS = {NEE: "NEE", LATENT: "latent heat flux", SENSIBLE: "sensible heat flux"}


def _sentences(towers: Sequence[TowerFlux]) -> tuple[str, ...]:
    found = []
    for flux, words in WORDS.items():
        mine = [t for t in towers if t.flux == flux]
        gains = {t.site: t.gain for t in mine if t.gain is not None}
        if gains:
            better = sum(gain > 0.0 for gain in gains.values())
            worse = [f"{site} by {-100 * g:.0f} %" for site, g in gains.items() if g < 0.0]
            text = (
                f"RMSE of {words}: the posterior is better than the prior at {better} of "
                f"{number_of(len(gains), 'tower')}"
            )
            found.append(text + (f", and worse at {listing(worse)}" if worse else "") + ".")
        wins = []
        for rival in (ONE, CLUSTERS):
            pairs = [(_best(t), t.scores[rival].rmse) for t in mine if rival in t.scores]
            known = [(x, y) for x, y in pairs if x is not None and y is not None]
            if known:
                below = sum(x < y for x, y in known)
                wins.append(f"that of {rival} at {below} of {number_of(len(known), 'tower')}")
        if wins:
            found.append(f"RMSE of {words}: below {listing(wins)}.")
        covered = [
            (t.scores[POSTERIOR].covered_both, t.scores[POSTERIOR].n)
            for t in mine
            if POSTERIOR in t.scores and t.scores[POSTERIOR].covered_both is not None
        ]
        if covered:
            n = sum(days for _, days in covered)
            share = sum((c or 0.0) * days for c, days in covered) / n
            found.append(
                f"90 % bands of {words} hold {100 * share:.0f} % of {number_of(n, 'day')} "
                "(posterior uncertainty and that of the measurement)."
            )
        moved = [f"{t.site} ({t.shift:+d})" for t in mine if t.shift]
        if moved:
            found.append(
                f"{words[:1].upper()}{words[1:]} agrees best if moved by days: {listing(moved)}."
            )
    return tuple(found)


def _best(t: TowerFlux) -> float | None:
    return t.scores[POSTERIOR if POSTERIOR in t.scores else PRIOR].rmse

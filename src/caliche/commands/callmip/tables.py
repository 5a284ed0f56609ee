"""Rows of the scores of a CalLMIP entry, for the terminal and the page."""

from __future__ import annotations

from caliche.callmip.records import CLUSTERS, ONE, POSTERIOR, PRIOR, EntryScores, FluxScore

RUNS = (PRIOR, POSTERIOR, ONE, CLUSTERS)
FLUX_WORDS = {"nee": "NEE", "latent_heat_flux": "LE", "sensible_heat_flux": "H"}
HEADER = ["tower", "flux", "run", "n", "RMSE", "bias", "r", "NME", "sd ratio", "in 90 % band"]
# What a narrow terminal does without, first to last.
DROP = ("sd ratio", "NME", "r", "n")


def score_rows(found: EntryScores) -> list[list[str]]:
    """Every run and benchmark of every flux at every tower; columns are `HEADER`."""
    rows = []
    for tower in found.towers:
        for run in RUNS:
            if run in tower.scores:
                begin = [tower.site, FLUX_WORDS.get(tower.flux, tower.flux), run]
                rows.append([*begin, *_cells(tower.scores[run])])
    return rows


def season_rows(found: EntryScores) -> tuple[list[str], list[list[str]]]:
    """RMSE and bias by season, of every run."""
    header, rows = ["tower", "flux", "months", "n"], []
    for run in RUNS[:3]:
        header += [f"RMSE {run}", f"bias {run}"]
    for tower in found.towers:
        for season, scores in tower.seasons.items():
            row = [tower.site, FLUX_WORDS.get(tower.flux, tower.flux), season]
            row.append(str(next(iter(scores.values())).n))
            for run in RUNS[:3]:
                s = scores.get(run, FluxScore(0))
                row += [_number(s.rmse), _number(s.bias)]
            rows.append(row)
    return header, rows


def vegetation_rows(found: EntryScores) -> tuple[list[str], list[list[str]]]:
    """Mean RMSE over the towers of each vegetation."""
    header = ["vegetation", "flux", "towers", *(f"RMSE {run}" for run in RUNS)]
    rows = []
    for words, by_flux in found.vegetation.items():
        for flux, by_run in by_flux.items():
            towers = sum(t.vegetation == words and t.flux == flux for t in found.towers)
            row = [words, FLUX_WORDS.get(flux, flux), str(towers)]
            rows.append([*row, *(_number(by_run.get(run)) for run in RUNS)])
    return header, rows


def gain_rows(found: EntryScores) -> tuple[list[str], list[list[str]]]:
    """What calibration gained or lost at each tower."""
    header = ["tower", "vegetation", "flux", "RMSE prior", "RMSE posterior", "gain, %"]
    rows = []
    for tower in found.towers:
        if tower.gain is not None:
            before, after = tower.scores[PRIOR].rmse, tower.scores[POSTERIOR].rmse
            row = [tower.site, tower.vegetation, FLUX_WORDS.get(tower.flux, tower.flux)]
            rows.append([*row, _number(before), _number(after), f"{100.0 * tower.gain:+.1f}"])
    return header, rows


def _cells(s: FluxScore) -> list[str]:
    share = "-" if s.covered_both is None else f"{100.0 * s.covered_both:.0f} %"
    numbers = (s.rmse, s.bias, s.r, s.nme, s.sd_ratio)
    return [str(s.n), *(_number(value) for value in numbers), share]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"

"""Assembly of the report from a run folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from caliche.files.whole_file import write_text
from caliche.report import numbers, wording
from caliche.report.pages import render_page
from caliche.report.run import plates, words
from caliche.report.run.energy import closure_sentences
from caliche.report.run.folder import RunFolder, Stream, read_run
from caliche.report.run.posterior import PosteriorFolder, posterior_content, read_posterior
from caliche.report.run.structure import structure_content
from caliche.report.run.training import training_content
from caliche.report.run.validation import validation
from caliche.report.run.varying import varying_plate, varying_rows, varying_sentences
from caliche.report.style import report_style
from caliche.runs.run_summary import ParameterEntry, ScoreEntry

SYNTHETIC = "synthetic"  # in place of a site's name where the model made the observations


def write_report(folder: Path) -> Path:
    """Write `report.html` into a run folder from its three files, and return its path.

    Raises
    ------
    InputError : `summary.json`, `result.nc` or `config.toml` is missing or cannot be read.
    """
    folder = Path(folder)
    run = read_run(folder)
    found = read_posterior(folder, run.local_time.size)
    return write_text(folder / "report.html", render(run, found))


def render(run: RunFolder, posterior: PosteriorFolder | None = None) -> str:
    """The whole page as text."""
    with report_style():
        content = {**_texts(run), **_tables(run), **validation(run), **_plates(run)}
        content["posterior"] = posterior_content(run, posterior)
        content["training"] = training_content(run)
        content["structure"] = structure_content(run)
    return render_page(
        "report/run/page.html.j2", run=run.summary, config=run.config, n=numbers, **content
    )


def _texts(run: RunFolder) -> dict[str, Any]:
    """Everything said in sentences."""
    summary, parameters = run.summary, run.summary.parameters
    labels = {stream.name: stream.label for stream in run.streams}
    units = {stream.name: stream.unit for stream in run.streams}
    holdout = summary.holdout
    sds = {name: numbers.number(entry.sd) for name, entry in run.free.items()}
    fitted = [
        (stream.label, int(summary.fit[stream.name].n))
        for stream in run.streams
        if stream.fitted and stream.name in summary.fit
    ]
    site = str(run.results.attrs.get("site", ""))
    named = "" if site == SYNTHETIC else site
    sentences = [
        words.what_was_done(summary, fitted, _period(run), run.utc_offset, named),
        words.estimates(parameters, summary.converged, _about(run, "no-effect")),
        *varying_sentences(run),
        *words.error_sentences(summary.hyperparameters, labels, units),
        words.truth_sentence(parameters) if summary.converged else "",
        words.misses(summary.fit, holdout, labels, units),
        words.starts_sentence(summary.starts, sds, summary.optima),
    ]
    return {
        "site": named or ("none, synthetic observations" if site else ""),
        "not_converged": "" if summary.converged else words.not_converged(summary.reason),
        "verdict": _unbroken(words.verdict(summary)),
        "reason": wording.sentence(summary.reason),
        "cost": words.cost_sentence(summary.cost),
        "paragraph": _unbroken(" ".join(sentence for sentence in sentences if sentence)),
        "cautions": [
            _unbroken(caution)
            for caution in (
                *words.correlation_warnings(summary.correlation, parameters),
                *words.residual_warnings(summary.residuals, run.free, labels),
            )
        ],
        "own_warnings": list(dict.fromkeys(summary.warnings)),
        "held_out": _held_out(run),
        "closure": [_unbroken(sentence) for sentence in closure_sentences(run)],
        "clock": wording.clock(run.utc_offset),
    }


def _about(run: RunFolder, kind: str) -> set[str]:
    """Names that the verdict's remarks of a kind are about."""
    return {name for remark in run.summary.remarks if remark.kind == kind for name in remark.about}


def _unbroken(text: str) -> str:
    """No line break inside a number, nor between a lag and its value."""
    text = text.replace("lag-1 ", "lag\u20111\u00a0")
    for sign in ("±", "×", "%"):
        text = text.replace(f" {sign}", f"\u00a0{sign}")
    return text.replace("± ", "±\u00a0").replace("× ", "×\u00a0")


def _tables(run: RunFolder) -> dict[str, Any]:
    """Rows of the parameter and score tables."""
    summary, labels = run.summary, {stream.name: stream for stream in run.streams}
    idle = _about(run, "no-effect")
    parameters = [
        {
            **vars(entry),
            "name": name,
            "label": wording.parameter_label(name, entry.long_name),
            "estimate": "no effect"
            if name in idle
            else numbers.value_and_sd(entry.estimate, entry.sd),
            "interval": numbers.MISSING
            if name in idle
            else numbers.interval(entry.interval95, entry.sd, entry.estimate),
            "range": _unbroken(_range(entry)),
        }
        for name, entry in summary.parameters.items()
    ]
    scores = [
        {"title": title, "rows": _score_rows(table, labels)}
        for title, table in (("Fit", summary.fit), ("Hold-out", summary.holdout))
        if table
    ]
    return {
        "rows": sorted([*varying_rows(run), *parameters], key=lambda row: bool(row.get("fixed"))),
        "has_truth": any(row.get("truth") is not None for row in parameters),
        "scores": scores,
        "derived": [
            {
                **vars(entry),
                "label": entry.long_name or name.replace("_", " "),
                "text": numbers.value_and_sd(entry.value, entry.sd),
            }
            for name, entry in summary.derived.items()
        ],
        "starts": summary.starts,
        "seconds": {k: numbers.plain(v, 3) for k, v in summary.seconds.items() if v is not None},
    }


def _plates(run: RunFolder) -> dict[str, Any]:
    """Every figure of the page."""
    fitted = [stream for stream in run.streams if stream.fitted]
    return {
        "parameters_plate": plates.parameters_plate(run),
        "varying_plates": [
            plate
            for i, name in enumerate(run.knots)
            if (plate := varying_plate(run, name, f"varying{i}")) is not None
        ],
        "stream_plates": [
            plates.stream_plate(run, stream, f"stream{i}") for i, stream in enumerate(run.streams)
        ],
        "residual_plates": [
            plates.residual_plate(run, stream, f"residual{i}") for i, stream in enumerate(fitted)
        ],
        "search_plates": [
            plate for plate in (plates.search_plate(run), plates.trajectories_plate(run)) if plate
        ],
        "correlation_plate": plates.correlation_plate(run),
        "energy_plate": plates.energy_plate(run),
    }


def _score_rows(
    table: Mapping[str, ScoreEntry], streams: Mapping[str, Stream]
) -> list[dict[str, Any]]:
    """Scores of every stream, fitted ones first."""
    rows = []
    for name, score in table.items():
        stream = streams.get(name)
        rows.append(
            {
                "label": stream.label if stream else name.replace("_", " "),
                "unit": stream.unit if stream else "",
                **vars(score),
            }
        )
    return sorted(rows, key=lambda row: not row.get("fitted"))


def _range(entry: ParameterEntry) -> str:
    """Bounds and prior of a parameter in one cell."""
    if entry.tied:
        return str(entry.tied)
    if entry.prior:
        return str(entry.prior)  # it names the bounds too
    low, high = numbers.number(entry.lower), numbers.number(entry.upper)
    parts = []
    if np.isfinite(low) and np.isfinite(high):
        parts.append(f"{numbers.plain(low)} to {numbers.plain(high)}")
    elif np.isfinite(low) or np.isfinite(high):
        parts.append(
            f"above {numbers.plain(low)}" if np.isfinite(low) else f"below {numbers.plain(high)}"
        )
    return "; ".join(parts) or "none"


def _period(run: RunFolder) -> tuple[np.datetime64, np.datetime64]:
    """First and last time in the fit, or of the whole run if nothing was fitted."""
    used = np.zeros(run.local_time.size, bool)
    for stream in run.streams:
        used |= stream.fitted & np.isfinite(stream.observed) & ~run.holdout
    where = np.flatnonzero(used)
    first, last = (where[0], where[-1]) if where.size else (0, -1)
    return run.local_time[first], run.local_time[last]


def _held_out(run: RunFolder) -> str:
    """Which part of the record was held out."""
    where = np.flatnonzero(run.holdout)
    if where.size == 0:
        return ""
    first, last = (wording.moment(run.local_time[int(i)]) for i in (where[0], where[-1]))
    if where[-1] - where[0] + 1 == where.size:
        return f"Held out: {first} to {last}, {wording.clock(run.utc_offset)}."
    share = numbers.percent(where.size, run.local_time.size)
    return f"Held out: {share} of the time steps, in several stretches, from {first} to {last}."

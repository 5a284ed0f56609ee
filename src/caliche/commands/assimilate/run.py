"""An experiment assimilated window by window, and the folder that this leaves."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from caliche._version import __version__
from caliche.assimilation.windows import Analysis, Callback, WindowSettings, assimilate_windows
from caliche.commands.assimilate.folder import AssimilationFolder
from caliche.commands.assimilate.summary import (
    AssimilationSummary,
    LastEstimate,
    StreamEntry,
    WindowEntry,
)
from caliche.commands.assimilate.words import how_it_ended, remarks_of, sentences
from caliche.errors import InputError
from caliche.estimation import estimate
from caliche.estimation.descent.levenberg_marquardt import LevenbergMarquardt
from caliche.estimation.information import with_information
from caliche.estimation.verdict import FAR, far_from_prior, prior_distance
from caliche.evaluation.verdict import data_remarks, problem_scores, score_remarks
from caliche.experiments.experiment import Experiment
from caliche.files.checkpoint import fingerprint
from caliche.keys.records import Known, as_kept, from_json
from caliche.problems.inverse import InverseProblem
from caliche.problems.window import cut
from caliche.remarks import Remark, capitalised, headline, unlike
from caliche.runs.folder import as_run, versions, write_data
from caliche.runs.run_summary import VerdictEntry
from caliche.variables import variable
from caliche.wording import number_of

DAY = 86400.0
LONGEST = 36525.0  # a window, in days


@dataclass(frozen=True)
class AssimilationRun:
    """A run that is done, and where it is."""

    folder: Path
    summary: AssimilationSummary


def run_assimilation(
    experiment: Experiment,
    days: float,
    out: Path | None = None,
    drift: float | Mapping[str, float] = 0.0,
    forget: float = 1.0,
    callback: Callback | None = None,
    command: str | None = None,
) -> AssimilationRun:
    """Assimilate the fitted record of an experiment window by window, and write its folder.

    Parameters
    ----------
    days : length of a window.  drift, forget : see `WindowSettings`.
    out : the folder; one that the same run left, when it was stopped, is gone on with. Default
        `runs/<experiment>-windows-<time>`.

    Raises
    ------
    InputError : anything wrong with configuration or data; then nothing is written.
    """
    settings = window_settings(experiment, days, drift, forget)
    problem = experiment.problem()
    cut(problem, settings.steps, settings.lead)
    settings.drift_of(problem.space)
    method = _method(experiment)
    problem = _weighed(experiment, problem, method)
    if out is None:
        out = Path("runs") / f"{experiment.config.name}-windows-{datetime.now():%Y%m%d-%H%M%S}"
    folder = AssimilationFolder(out, _mark(problem, settings, method))

    def begun(number: int, total: int, record: dict[str, Any]) -> None:
        if callback is not None:
            callback(number, total, record)

    folder.begin(as_run(experiment, out))
    write_data(experiment, out)
    found = assimilate_windows(problem, settings, method, folder, begun)
    summary = _summarise(experiment, problem, found, settings, days, command)
    folder.write_dataset("result.nc", _dataset(experiment, problem, found, summary))
    folder.write_summary(summary)
    return AssimilationRun(out, summary)


def window_settings(
    experiment: Experiment, days: float, drift: float | Mapping[str, float], forget: float
) -> WindowSettings:
    """The windows of an experiment.

    Raises
    ------
    InputError : windows, drifts or an experiment that cannot be.
    """
    if days > LONGEST:
        raise InputError(f"a --window in days, up to {LONGEST:g}", f"{days:g}", "--window 30")
    window = experiment.config.window
    unknown = experiment.unknown
    if unknown.changes_declared:
        names = [*unknown.sigma, *unknown.autocorrelation, *unknown.smoothness]
        raise InputError(
            "errors of known size and memory, as every window needs them",
            f"{', '.join(dict.fromkeys(names))} to be estimated",
            "give the values that caliche estimate finds, and set estimate_sigma and "
            "estimate_autocorrelation to false",
        )
    varying = [n for n, p in experiment.config.parameters.items() if p.variation is not None]
    if varying:
        raise InputError(
            "constant parameters, as windows are how they vary",
            f"a variation in time of {', '.join(varying)}",
            f"--set parameters.{varying[0]}.variation=false, and use --drift",
        )
    steps = round(days * DAY / window.time_step) if math.isfinite(days) else 0
    if steps < 1:
        raise InputError(
            f"a --window of one time step ({number_of(window.time_step / DAY, 'day')}) or more",
            number_of(days, "day"),
            "--window 30",
        )
    return WindowSettings(steps, round(window.spin_up / window.time_step), drift, forget)


def _weighed(
    experiment: Experiment, problem: InverseProblem, method: LevenbergMarquardt
) -> InverseProblem:
    """The problem with the information that its streams hold by a calibration of the whole record:
    a window is too short to tell how long errors last."""
    if experiment.unknown.information != "weights":
        return problem
    found = estimate(problem, method, unknown=experiment.unknown).hyperparameters
    told = None if found is None else found.information
    return problem if told is None else with_information(problem, told, whole=False)


def _method(experiment: Experiment) -> LevenbergMarquardt:
    config = experiment.config.method
    return LevenbergMarquardt(**(dict(config.options) if config.name == "lm" else {}))


def _mark(problem: InverseProblem, settings: WindowSettings, method: LevenbergMarquardt) -> str:
    return fingerprint(__version__, settings, method, problem)


# -- what the folder says ------------------------------------------------------------------------


def _summarise(
    experiment: Experiment,
    problem: InverseProblem,
    found: Sequence[Analysis],
    settings: WindowSettings,
    days: float,
    command: str | None,
) -> AssimilationSummary:
    """The content of summary.json."""
    config, times = experiment.config, experiment.dataset.time.values
    records, names = [w.record for w in found], [s.name for s in problem.operator.streams]
    truth = experiment.truth or {}
    windows = tuple(
        from_json(
            WindowEntry,
            {
                **record,
                "start": _moment(times[max(record["first"] - 1, settings.lead)]),
                "end": _moment(times[record["last"]]),
            },
        )
        for record in records
    )
    drift = settings.drift
    made = AssimilationSummary(
        experiment=config.name,
        title=config.title,
        description=config.description,
        site=str(experiment.dataset.attrs.get("site", "")),
        utc_offset=Known(config.utc_offset),
        window_days=Known(days),
        drift={n: Known(sd) for n, sd in drift.items()}
        if isinstance(drift, Mapping)
        else Known(drift),
        forget=Known(settings.forget),
        converged=all(window.converged for window in windows),
        parameters={
            p.name: LastEstimate(
                long_name=p.declaration.long_name,
                unit=p.declaration.unit,
                initial=p.initial,
                lower=p.prior.lower,
                upper=p.prior.upper,
                prior=problem.space.describe_prior(p.name),
                truth=truth.get(p.name),
                **vars(windows[-1].parameters[p.name]),
            )
            for p in problem.space.free
        },
        streams={name: _stream(problem, found, k, name) for k, name in enumerate(names)},
        windows=windows,
        seconds={
            key: sum(record["seconds"][key] for record in records) for key in ("compile", "run")
        },
        versions=versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
    )
    remarks = unlike([*remarks_of(made), *_remarks(experiment, problem, found)])
    return as_kept(
        dataclasses.replace(
            made,
            sentences=sentences(made),
            verdict=VerdictEntry(headline(how_it_ended(made), remarks), remarks),
            warnings=tuple(remark.sentence for remark in remarks),
        )
    )


def _remarks(
    experiment: Experiment, problem: InverseProblem, found: Sequence[Analysis]
) -> list[Remark]:
    """What a careful referee would say of the analyses, the last estimates and the data."""
    analysis = np.full(problem.mask.shape, np.nan)
    for window in found:
        analysis[window.record["first"] : window.record["last"] + 1] = window.analysis
    said: list[Remark] = list(score_remarks(problem_scores(problem, analysis)))
    last = found[-1].record["parameters"]
    for p in problem.space.free:
        away = float(prior_distance(p.prior, last[p.name]["estimate"]))
        if abs(away) > FAR:
            prior = problem.space.describe_prior(p.name)
            text = far_from_prior(p.declaration.long_name, away, prior)
            said.append(Remark("far-from-prior", text, True, (p.name,)))
    return [*capitalised(said), *data_remarks(experiment)]


def _stream(problem: InverseProblem, found: Sequence[Analysis], k: int, name: str) -> StreamEntry:
    """Innovations of a stream over all windows but the first, whose forecast is the first guess."""
    values, mask = np.asarray(problem.observations.values)[:, k], np.asarray(problem.mask)[:, k]
    later = [w for w in found[1:] if name in w.record["innovations"]]
    squares: dict[str, list[np.ndarray]] = {"forecast": [], "analysis": []}
    for window in later:
        own = slice(window.record["first"], window.record["last"] + 1)
        for kind, kept in squares.items():
            errors = getattr(window, kind)[:, k] - values[own]
            kept.append(errors[mask[own]])
    chi = sum(w.record["innovations"][name]["chi_square"] for w in later)
    freedom = sum(w.record["innovations"][name]["freedom"] for w in later)
    errors = {kind: np.concatenate(kept) if kept else np.zeros(0) for kind, kept in squares.items()}
    found_any = len(errors["forecast"]) > 0
    return StreamEntry(
        long_name=variable(name).long_name,
        unit=variable(name).unit,
        n=len(errors["forecast"]),
        forecast_rmse=float(np.sqrt(np.mean(errors["forecast"] ** 2))) if found_any else None,
        forecast_bias=float(np.mean(errors["forecast"])) if found_any else None,
        analysis_rmse=float(np.sqrt(np.mean(errors["analysis"] ** 2))) if found_any else None,
        chi_square_ratio=chi / freedom if freedom else None,
    )


def _moment(time: np.datetime64) -> str:
    return str(time.astype("datetime64[m]"))


def _dataset(
    experiment: Experiment,
    problem: InverseProblem,
    found: Sequence[Analysis],
    summary: AssimilationSummary,
) -> xr.Dataset:
    """Series over the fitted record, and what each window gave."""
    times = experiment.dataset.time.values[: problem.observations.mask.shape[0]]
    names = [s.name for s in problem.operator.streams]
    free = list(summary.parameters)
    data: dict[str, Any] = {}
    mask = np.asarray(problem.mask)
    for k, name in enumerate(names):
        meta = variable(name)
        observed = np.where(mask[:, k], np.asarray(problem.observations.values)[:, k], np.nan)
        columns = {"observed": observed}
        for kind in ("forecast", "analysis"):
            column = np.full(len(times), np.nan)
            for window in found:
                own = slice(window.record["first"], window.record["last"] + 1)
                column[own] = getattr(window, kind)[:, k]
            columns[kind] = column
        for kind, column in columns.items():
            attributes = {"units": meta.unit, "long_name": f"{meta.long_name}, {kind}"}
            data[f"{name}_{kind}"] = ("time", column, attributes)
    units = ", ".join(f"{n}: {summary.parameters[n].unit}" for n in free)
    by_window = [w.record["parameters"] for w in found]
    for key in ("estimate", "sd", "sd_naive"):
        rows = [[math.nan if p[n][key] is None else p[n][key] for n in free] for p in by_window]
        data[key] = (("window", "parameter"), np.array(rows, float), {"comment": units})
    for k, end in enumerate(("lower", "upper")):
        rows = [[p[n]["interval"][k] for n in free] for p in by_window]
        attributes = {"comment": units, "long_name": f"{end} end of the 95 % interval"}
        data[f"interval95_{end}"] = (("window", "parameter"), np.array(rows, float), attributes)
    data["covariance_u"] = (
        ("window", "parameter", "parameter_other"),
        np.stack([w.covariance_u for w in found]),
        {"long_name": "posterior covariance in whitened coordinates"},
    )
    for key in ("n", "rmse", "bias", "chi_square", "freedom"):
        rows = [
            [w.record["innovations"].get(n, {}).get(key, math.nan) for n in names] for w in found
        ]
        data[f"innovation_{key}"] = (
            ("window", "stream"),
            np.array(rows, float),
            {"long_name": f"{key.replace('_', ' ')} of the innovations of a window"},
        )
    ends = {
        key: np.array([getattr(w, key) for w in summary.windows], "datetime64[ns]")
        for key in ("start", "end")
    }
    data |= {f"window_{key}": ("window", values) for key, values in ends.items()}
    return xr.Dataset(
        data,
        coords={
            "time": ("time", times, {"long_name": "end of the time step, UTC"}),
            "window": np.arange(1, len(found) + 1),
            "parameter": free,
            "parameter_other": free,
            "stream": names,
        },
        attrs={
            "Conventions": "CF-1.11",
            "title": experiment.config.title,
            "source": f"caliche {__version__}",
            "experiment": experiment.config.name,
            "utc_offset": float(experiment.config.utc_offset),
        },
    )

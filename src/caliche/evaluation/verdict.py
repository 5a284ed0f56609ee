"""What a careful referee would say of what a model predicts, beside what was observed.

Pure functions of scores, series and data: every command that estimates or scores asks them, and
says what they find in its first line (`caliche.remarks.headline`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from caliche.data.gaps import filled_lines
from caliche.data.origin import stream_origins
from caliche.data.quality import utc_text
from caliche.errors import InputError
from caliche.evaluation.scores import Score, score
from caliche.names import at_site
from caliche.remarks import Remark, error_size_remarks, unlike
from caliche.variables import AMOUNTS, VARIABLES, Variable, label, variable
from caliche.wording import agree, number_of

if TYPE_CHECKING:
    from caliche.evaluation.prediction import Prediction
    from caliche.experiments.experiment import Experiment
    from caliche.problems.inverse import InverseProblem

# A correlation below this says that the sign of the stream is another one.
AGAINST = -0.5
# So many of the largest errors, or this share of the values, that bring half of a misfit.
MOST_VALUES, SHARE_OF_VALUES, HALF = 10, 0.001, 0.5
FEWEST_VALUES = 40  # of a stream, for a few of them to stand out
MOST_NAMED = 5
# W m-2; an energy balance that is met to less than this is met, and to this share of the fluxes.
BALANCED, SHARE_OF_FLUXES = 1.0, 0.01
FEW_MADE = 0.01  # share of interpolated or filled values that is worth no word


def experiment_remarks(
    experiment: Experiment, prediction: Prediction, fit: Mapping[str, Score]
) -> tuple[Remark, ...]:
    """Everything there is to say of a prediction and its data.

    Parameters
    ----------
    fit : scores of every observed stream in the fitted window.
    """
    config, times = experiment.config, experiment.dataset.time.values
    fitted = [name for name in fit if config.observations[name].fit]
    n = experiment.n_fit
    found = list(score_remarks({name: asdict(fit[name]) for name in fitted}))
    for name in fitted:
        observed = np.asarray(experiment.dataset[name].values, float)[:n]
        found += few_values_remarks(name, times[:n], observed, prediction.streams[name][:n])
    found += balance_remarks(prediction.energy, times)
    found += range_remarks({**prediction.energy, **prediction.streams}, times)
    found += data_remarks(experiment)
    return unlike(found)


def score_remarks(fit: Mapping[str, Mapping[str, Any]], where: str = "") -> Iterator[Remark]:
    """Fitted streams that move against their observations, or are worse than their mean.

    Parameters
    ----------
    fit : scores of fitted streams in the fitted window, see `Score`.
    where : at which site, among several.
    """
    for name, s in fit.items():
        r, nse = s.get("r"), s.get("nse")
        about = (at_site(name, where),)
        what = label(about[0])
        if r is not None and r < AGAINST:
            yield Remark(
                "wrong-sign",
                f"Modelled and observed {what} move against each other (correlation {r:.2f}): "
                "the sign of the observations, or the order of their values, is another one than "
                f"caliche's ({_convention(name)}).",
                True,
                about,
            )
        if nse is not None and nse < 0.0:
            yield Remark(
                "worse-than-mean",
                f"The mean of the observed {what} fits better than the model does, although it was "
                f"fitted (NSE {nse:.2g}): do not use what the model says of it, nor parameters "
                "that rest on it.",
                True,
                about,
            )


def problem_scores(problem: InverseProblem, predicted: np.ndarray) -> dict[str, dict[str, Any]]:
    """Scores of the fitted streams of a problem, of whatever it fits.

    Parameters
    ----------
    predicted : (time + 1, stream).
    """
    values, mask = np.asarray(problem.observations.values), np.asarray(problem.mask)
    return {
        name: asdict(
            score(np.where(mask[:, k], values[:, k], np.nan), np.asarray(predicted)[:, k], False)
        )
        for k, name in enumerate(problem.stream_names)
    }


def vector_remarks(
    observed: np.ndarray, sigma: np.ndarray, misfit: float, free: int
) -> Iterator[Remark]:
    """What the misfit alone tells of observations without names, as those of `caliche drive`.

    Parameters
    ----------
    observed, sigma : (n,), NaN where nothing was seen.
    misfit : half the sum of squared standardised misfits.  free : number of parameters.
    """
    seen = np.isfinite(observed)
    y, weight = observed[seen], 1.0 / sigma[seen] ** 2
    around = 0.5 * float(np.sum(weight * (y - np.average(y, weights=weight)) ** 2))
    if misfit > around > 0.0:
        yield Remark(
            "worse-than-mean",
            f"The mean of the observations fits better (J = {around:.4g}) than the model does "
            f"(J = {misfit:.4g}), although it was fitted: do not use its parameters.",
            True,
            ("observations",),
        )
    if len(y) > free:
        factor = float(np.sqrt(2.0 * misfit / (len(y) - free)))
        yield from error_size_remarks("observations", "the observations", factor, "residuals")


def _convention(name: str) -> str:
    text = variable(name).long_name
    return text.partition(", ")[2] or text


def few_values_remarks(
    name: str, times: np.ndarray, observed: np.ndarray, modelled: np.ndarray
) -> Iterator[Remark]:
    """A stream of whose squared errors a few values bring half, by time.

    Parameters
    ----------
    times : (n,) UTC.  observed, modelled : (n,), NaN where missing.
    """
    seen = np.flatnonzero(np.isfinite(observed) & np.isfinite(modelled))
    squares = (modelled[seen] - observed[seen]) ** 2
    total = float(squares.sum())
    if len(seen) < FEWEST_VALUES or not total > 0.0:
        return
    allowed = min(max(MOST_VALUES, int(SHARE_OF_VALUES * len(seen))), len(seen) // 20)
    order = np.argsort(-squares, kind="stable")[:allowed]
    shares = np.cumsum(squares[order]) / total
    if shares[-1] <= HALF:
        return
    count = int(np.argmax(shares > HALF)) + 1
    unit = variable(name).unit
    named = "; ".join(
        f"{utc_text(times[k])} observed {observed[k]:.4g}, modelled {modelled[k]:.4g}"
        for k in seen[order[:count]][:MOST_NAMED]
    )
    more = f"; and {count - MOST_NAMED} more" if count > MOST_NAMED else ""
    values = f"{number_of(count, 'value')} {agree(count, 'brings', 'bring')}"
    yield Remark(
        "few-values",
        f"{values} {100 * shares[count - 1]:.0f} % of the misfit of {label(name)}, of "
        f"{number_of(len(seen), 'value')}: {named}{more} ({unit}). Look at them before you trust "
        "the estimates.",
        True,
        (name,),
    )


def balance_remarks(energy: Mapping[str, np.ndarray], times: np.ndarray) -> Iterator[Remark]:
    """A run that fails, or whose surface or column does not conserve energy.

    Parameters
    ----------
    energy : terms (time + 1,) of a run, W m-2, NaN at time zero, see `Prediction`.
    """
    terms = {name: np.asarray(values, float)[1:] for name, values in energy.items()}
    broken = [name for name, values in terms.items() if not np.isfinite(values).all()]
    if broken:
        first = min(int(np.argmin(np.isfinite(terms[name]))) for name in broken)
        yield Remark(
            "failed",
            f"The model run gives no numbers from {utc_text(times[first + 1])} on at the latest: "
            "it has failed, and nothing that follows from it holds.",
        )
    imbalance = terms.get("energy_imbalance", np.zeros(0))
    if not np.isfinite(imbalance).any():
        return
    worst = int(np.nanargmax(np.abs(imbalance)))
    fluxes = [
        np.nanmax(np.abs(values))
        for name, values in terms.items()
        if name != "energy_imbalance" and np.isfinite(values).any()
    ]
    allowed = max(BALANCED, SHARE_OF_FLUXES * float(np.median(fluxes or [0.0])))
    if abs(imbalance[worst]) > allowed:
        yield Remark(
            "imbalance",
            f"The modelled energy balance misses {abs(imbalance[worst]):.3g} W m-2 at "
            f"{utc_text(times[worst + 1])}, and more than {allowed:.2g} W m-2 in "
            f"{int(np.sum(np.abs(imbalance) > allowed))} of {number_of(imbalance.size, 'step')}: "
            "these are no solutions of its equations. Shorter time steps or other bounds may help.",
        )


def range_remarks(streams: Mapping[str, np.ndarray], times: np.ndarray) -> Iterator[Remark]:
    """Modelled series (time + 1,) that leave what can occur on land."""
    for name, values in streams.items():
        entry = _entry(name)
        if entry is None:
            continue
        with np.errstate(invalid="ignore"):
            outside = (values < entry.valid_min) | (values > entry.valid_max)
        if not outside.any():
            continue
        middle = 0.5 * (entry.valid_min + entry.valid_max)
        k = int(np.argmax(np.where(outside, np.abs(values - middle), -1.0)))
        yield Remark(
            "out-of-range",
            f"Modelled {entry.long_name.partition(',')[0]} reaches {values[k]:.4g} {entry.unit} at "
            f"{utc_text(times[k])}; on land it lies between {entry.valid_min:g} and "
            f"{entry.valid_max:g} ({int(outside.sum())} of {values.size:,} values outside).",
            True,
            (name,),
        )


def _entry(name: str) -> Variable | None:
    """What the table says of a stream or an energy term, if it knows it."""
    try:
        return VARIABLES.get(name) or variable(name)
    except InputError:
        return None


def data_remarks(experiment: Experiment) -> Iterator[Remark]:
    """Streams that were used and are rebuilt, interpolated, or without quality flags."""
    if experiment.config.synthetic is not None:
        return
    dataset, origins = experiment.dataset, stream_origins(experiment.dataset)
    fitted = [name for name in experiment.fitted_streams if name in dataset]
    forcing = [name for name in experiment.forcing_sources.values() if name in dataset]
    for name in dict.fromkeys([*forcing, *fitted]):
        rebuilt = dataset[name].attrs.get("derived_from")
        if rebuilt:
            text = f"{_capital(label(name))} was not all measured: {rebuilt}."
            yield Remark("rebuilt", text, True, (name,))
        if name in AMOUNTS:
            for line in filled_lines(dataset, [name]):
                yield Remark("dry-gaps", f"{_capital(line)}.", False, (name,))
            continue
        origin = origins.get(name)
        if origin is None:
            continue
        where = "in the record"
        if origin.interpolated > FEW_MADE:
            share = f"{100 * origin.interpolated:.2g} % of the values of {label(name)}"
            text = f"{_capital(share)} {where} are interpolated over gaps."
            yield Remark("interpolated", text, False, (name,))
        if origin.filled > FEW_MADE:
            share = f"{100 * origin.filled:.2g} % of the values of {label(name)}"
            text = f"{_capital(share)} {where} are filled, as the flags of the file say."
            yield Remark("filled", text, False, (name,))
    bare = [name for name in fitted if is_filled_in_silence(dataset, name)]
    if bare:
        names = ", ".join(label(name) for name in bare)
        yield Remark(
            "unflagged",
            f"Fitted without quality flags: {names}. The file keeps gap-filled values without "
            "saying which they are, so that a fit and its scores may rest on another model's "
            "numbers.",
            any(name in PARTS or name in PARTS[TURBULENT] for name in bare),
            tuple(bare),
        )


# Fluxes whose files are filled more often than not.
TURBULENT = "turbulent_heat_flux"
PARTS = {TURBULENT: ("sensible_heat_flux", "latent_heat_flux")}


def is_filled_in_silence(dataset: xr.Dataset, name: str) -> bool:
    """Whether the file of a stream fills gaps without saying where."""
    attrs = [dataset[n].attrs for n in (name, *PARTS.get(name, ())) if n in dataset]
    return any("quality" in a or a.get("flags") == "none" for a in attrs)


def has_flags(experiment: Experiment, name: str) -> bool:
    """Whether the values of an observed stream come with quality flags, or are synthetic."""
    if experiment.config.synthetic is not None:
        return True
    if is_filled_in_silence(experiment.dataset, name):
        return False
    sources = experiment.config.sources.values()
    parts = (name, *PARTS.get(name, ()))
    columns = [s.columns[part] for s in sources for part in parts if part in s.columns]
    return all(column.qc is not None for column in columns)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]

"""Regressions on the weather, the least that a land model should beat, scored beside it.

They are fitted to the measured flux of the fitted period and predict the hold-out: `1lin` by the
incoming shortwave radiation alone, `3lin` by shortwave, air temperature and relative humidity,
`3km27` by the same three with a regression in each of 27 clusters. Best et al. (2015),
doi:10.1175/JHM-D-14-0158.1; Haughton et al. (2018), doi:10.5194/gmd-11-195-2018. Everything comes
from the dataset of a run folder, so that a run can be judged without the tower's files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from caliche.data.humidity import relative_humidity
from caliche.errors import InputError
from caliche.evaluation.scores import Score, normalised_scores, score

MODEL = "caliche"
CLUSTERS = 27
PER_CLUSTER = 20  # training values that a cluster needs on average; fewer clusters otherwise
PER_COEFFICIENT = 10  # training values that a regression needs for each coefficient
ONE, THREE = ("shortwave",), ("shortwave", "air temperature", "relative humidity")


@dataclass(frozen=True)
class Comparison:
    """A flux predicted by the model and by the benchmarks, over the same measured steps.

    Attributes
    ----------
    stream, unit : name in result.nc and its unit.
    holdout : True for scores of the hold-out; False where nothing was held out, so that model and
        benchmarks are scored on the steps that they may have been fitted to.
    fitted : whether the model was fitted to this stream.
    n_training : measured steps that the benchmarks were fitted to.
    scores : by name, the model (`MODEL`) first.
    normalised : by name, 0 (best in every metric) to 1 (worst), see `normalised_scores`.
    notes : by benchmark, why it is missing or is not quite the standard one.
    """

    stream: str
    unit: str
    holdout: bool
    fitted: bool
    n_training: int
    scores: Mapping[str, Score]
    normalised: Mapping[str, float]
    notes: Mapping[str, str]

    @property
    def beaten(self) -> list[str]:
        """Benchmarks whose normalised score is worse than the model's."""
        return [n for n in self._benchmarks if self.normalised[n] > self.normalised[MODEL]]

    @property
    def lost_to(self) -> list[str]:
        """Benchmarks whose normalised score is better than the model's."""
        return [n for n in self._benchmarks if self.normalised[n] < self.normalised[MODEL]]

    @property
    def _benchmarks(self) -> list[str]:
        return [name for name in self.scores if name != MODEL]


def compare(results: xr.Dataset) -> list[Comparison]:
    """Every observed flux of a run beside its benchmarks.

    Parameters
    ----------
    results : the content of result.nc.

    Raises
    ------
    InputError : no observed series, or no forcing to make a benchmark of.
    """
    streams = observed_streams(results)
    if "forcing_incoming_shortwave" not in results:
        raise InputError(
            "a result.nc with the forcing of the run",
            "none of incoming_shortwave",
            "run the experiment again with this version of caliche",
        )
    fluxes = [name for name in streams if results[f"{name}_observed"].attrs.get("units") == "W m-2"]
    weather = predictors(results)
    return [_compare(results, name, weather) for name in fluxes]


def observed_streams(results: xr.Dataset) -> list[str]:
    """Names of the observed streams of result.nc, fitted ones first.

    Raises
    ------
    InputError : there is none.
    """
    suffix = "_observed"
    names = [str(n)[: -len(suffix)] for n in results.data_vars if str(n).endswith(suffix)]
    if not names:
        raise InputError(
            "observed series in result.nc", "none", "give a folder that `caliche estimate` wrote"
        )
    return sorted(names, key=lambda name: not results[f"{name}_observed"].attrs.get("fitted", 0))


def held_out(results: xr.Dataset) -> np.ndarray:
    """True (time,) where a step was held out."""
    if "holdout" not in results:
        return np.zeros(results.sizes["time"], bool)
    return results["holdout"].values > 0


def predictors(results: xr.Dataset) -> dict[str, np.ndarray]:
    """What benchmarks predict from, (time,) each; NaN throughout where the run has none."""
    shortwave, temperature, humidity, pressure = (
        _series(results, f"forcing_{name}")
        for name in ("incoming_shortwave", "air_temperature", "specific_humidity", "air_pressure")
    )
    moisture = relative_humidity(humidity, pressure, temperature)
    return dict(zip(THREE, (shortwave, temperature, moisture), strict=True))


def _compare(results: xr.Dataset, stream: str, weather: Mapping[str, np.ndarray]) -> Comparison:
    observed, modelled = (_series(results, f"{stream}_{what}") for what in ("observed", "modelled"))
    held = held_out(results)
    training = np.isfinite(observed) & ~held
    training[0] = False  # entry 0 of the forcing drives no step
    predictions, notes = benchmark_predictions(observed, training, weather)
    steps = np.isfinite(observed) & np.isfinite(modelled) & (held if held.any() else ~held)
    steps[0] = False
    for values in predictions.values():
        steps &= np.isfinite(values)
    scores = {
        name: score(observed[steps], values[steps])
        for name, values in {MODEL: modelled, **predictions}.items()
    }
    attrs = results[f"{stream}_observed"].attrs
    return Comparison(
        stream,
        str(attrs.get("units", "")),
        bool(held.any()),
        bool(attrs.get("fitted", 0)),
        int(training.sum()),
        scores,
        normalised_scores(scores),
        notes,
    )


def benchmark_predictions(
    observed: np.ndarray, training: np.ndarray, weather: Mapping[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Benchmark -> its prediction (time,), NaN where the weather is not known; and the notes.

    Parameters
    ----------
    observed : (time,), NaN where missing. training : (time,), True where a benchmark may learn.
    weather : of `predictors`.
    """
    found, notes = {}, {}
    for name, variables in {"1lin": ONE, "3lin": THREE, f"3km{CLUSTERS}": THREE}.items():
        x = np.stack([weather[variable] for variable in variables], axis=1)
        absent = [v for v in variables if not np.isfinite(weather[v]).any()]
        if absent:
            notes[name] = f"no {' and no '.join(absent)} in the run"
            continue
        known = np.isfinite(x).all(axis=1)
        used = training & known
        if used.sum() < PER_COEFFICIENT * (len(variables) + 1):
            notes[name] = f"only {int(used.sum())} measured steps to fit it to"
            continue
        count = 1 if "lin" in name else min(CLUSTERS, int(used.sum()) // PER_CLUSTER)
        if "lin" not in name and count < CLUSTERS:
            notes[name] = f"{count} clusters, as only {int(used.sum())} measured steps were there"
        values = np.full(len(observed), np.nan)
        values[known] = clustered_regression(x[used], observed[used], x[known], count)
        found[name] = values
    return found, notes


def clustered_regression(
    x: np.ndarray, y: np.ndarray, at: np.ndarray, count: int, seed: int = 0
) -> np.ndarray:
    """Linear regression in each of `count` clusters of standardised predictors.

    Parameters
    ----------
    x, y : (n, P) and (n,), what is fitted. at : (m, P), where it is evaluated.
    seed : of the first centres.

    Returns
    -------
    (m,) predictions. Slopes that the data of a cluster leave open are zero.
    """
    mean, sd = x.mean(axis=0), x.std(axis=0)
    sd = np.where(sd > 0.0, sd, 1.0)
    x, at = (x - mean) / sd, (at - mean) / sd
    centres = cluster_centres(x, count, seed)
    centres = centres[np.unique(_nearest(centres, x)[1])]  # those that have points
    member, nearest = (_nearest(centres, points)[1] for points in (x, at))
    result = np.empty(len(at))
    for k in range(len(centres)):
        mine = member == k
        middle, level = x[mine].mean(axis=0), y[mine].mean()
        slopes = np.zeros(x.shape[1])
        if mine.sum() > 2 * (x.shape[1] + 1):
            slopes = np.linalg.lstsq(x[mine] - middle, y[mine] - level)[0]
        result[nearest == k] = level + (at[nearest == k] - middle) @ slopes
    return result


def _nearest(centres: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance of each point to the nearest centre, and which that is."""
    from scipy.spatial import KDTree  # every report imports this module, and few need it

    distance, member = KDTree(centres).query(points)
    return np.asarray(distance), np.asarray(member)


def cluster_centres(points: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Centres (count, P) of k-means clusters of points (n, P): Lloyd's iterations.

    Lloyd (1982), doi:10.1109/TIT.1982.1056489; first centres far apart, as by Arthur and
    Vassilvitskii (2007, k-means++). A cluster without points restarts at the point that is
    furthest from its centre.
    """
    generator = np.random.default_rng(seed)
    centres = points[[generator.integers(len(points))]]
    while len(centres) < count:
        weight = _nearest(centres, points)[0] ** 2
        if weight.sum() == 0.0:  # fewer different points than clusters
            weight = np.ones(len(points))
        chosen = generator.choice(len(points), p=weight / weight.sum())
        centres = np.vstack([centres, points[chosen]])
    for _ in range(300):
        distance, member = _nearest(centres, points)
        size = np.bincount(member, minlength=count)
        sums = np.stack([np.bincount(member, column, count) for column in points.T], axis=1)
        moved = sums / np.maximum(size, 1)[:, None]
        for empty in np.flatnonzero(size == 0):
            moved[empty] = points[distance.argmax()]
            distance[distance.argmax()] = 0.0
        if np.array_equal(moved, centres):
            break
        centres = moved
    return centres


def _series(results: xr.Dataset, name: str) -> np.ndarray:
    if name not in results:
        return np.full(results.sizes["time"], np.nan)
    return results[name].values.astype(float)

"""What figures 3, 4 and 5 of Huang, Heaney and van Reeuwijk (2026) show, in numbers, beside ours.

Part of the page that `scripts/huang_2026.py` writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import caliche
from caliche.estimation.curvature import posterior
from caliche.evaluation.prediction import observed_series
from caliche.models import simulate

Columns = Mapping[str, np.ndarray]
H, CONDUCTIVITY, CAPACITY = (
    "combined_heat_transfer_coefficient",
    "thermal_conductivity",
    "volumetric_heat_capacity",
)
LEAD = "a) lead of the modelled wave at 5 cm (h)"
DEPTHS = {"twin-one-depth": "1depth", "twin-two-depths": "2depths"}
# panel of figure 3 -> unit, digits, from the columns of the authors' file
PANELS: Mapping[str, tuple[str, int, Callable[[Columns], np.ndarray]]] = {
    "albedo": ("", 3, lambda c: c["alpha"]),
    "h": ("W m-2 K-1", 2, lambda c: c["h"]),
    "Bowen ratio": ("", 2, lambda c: c["beta"]),
    "h (1 + 1 / Bowen ratio)": ("W m-2 K-1", 2, lambda c: c["h"] * (1 + 1 / c["beta"])),
    "conductivity": ("W m-1 K-1", 3, lambda c: c["lambda"]),
    "heat capacity": ("MJ m-3 K-1", 3, lambda c: c["C"] / 1e6),
    "bottom temperature": ("K", 2, lambda c: c["Tb"]),
    "thermal inertia": ("J m-2 K-1 s-1/2", 0, lambda c: np.sqrt(c["lambda"] * c["C"])),
    "diffusivity": ("mm2 s-1", 3, lambda c: 1e6 * c["lambda"] / c["C"]),
}


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table, the first column left-aligned."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" + "---:|" * (len(head) - 1)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows), ""]


def read(file: Path, mark: str) -> dict[str, np.ndarray]:
    """The columns of a file of trials that end with a mark ("0": where they began)."""
    raw = np.genfromtxt(file, delimiter=",", names=True)
    names = ("alpha", "h", "beta", "lambda", "Tb", "C")
    return {name: raw[name + mark] for name in names}


def span(values: np.ndarray, digits: int) -> str:
    return f"{values.min():.{digits}f} to {values.max():.{digits}f}"


# -- figures 3 and 4 ---------------------------------------------------------------------------


def figure_3(data: Path) -> list[str]:
    ends = {
        name: read(data / f"authors_trials_synthetic_{d}.csv", "") for name, d in DEPTHS.items()
    }
    begun = read(data / "authors_trials_synthetic_1depth.csv", "0")
    rows = []
    for name, (unit, digits, panel) in PANELS.items():
        cells = [span(panel(c), digits) for c in (begun, *ends.values())]
        rows.append([f"{name} ({unit})" if unit else name, *cells, ours(name, digits)])
    return [
        "**Figure 3**, where 50 trials begin and end (least to largest). caliche fits the combined",
        "coefficient, since h and the Bowen ratio are not told apart by temperatures.",
        "",
        *table(
            (
                "panel",
                "begin",
                "authors end, one depth",
                "authors end, two depths",
                "caliche ends, one depth and two",
            ),
            rows,
        ),
    ]


def ours(panel: str, digits: int) -> str:
    """All of our trials end at the truth, to the digits shown (see section 1)."""
    truth = caliche.load_experiment("twin-one-depth").truth
    assert truth is not None
    conductivity, capacity = truth[CONDUCTIVITY], truth[CAPACITY]
    values = {
        "albedo": truth["albedo"],
        "h (1 + 1 / Bowen ratio)": truth[H],
        "conductivity": conductivity,
        "heat capacity": capacity / 1e6,
        "bottom temperature": truth["bottom_temperature"],
        "thermal inertia": np.sqrt(conductivity * capacity),
        "diffusivity": 1e6 * conductivity / capacity,
    }
    return f"{values[panel]:.{digits}f}" if panel in values else "not identified"


def relative_slopes(space: caliche.ParameterSpace, u: jax.Array) -> np.ndarray:
    """Derivatives of the logarithm of each parameter by the control vector."""
    return np.asarray(jax.jacfwd(lambda u: jnp.log(space.vector(u)))(u))


def figure_4(data: Path) -> list[str]:
    rows = []
    for name, depths in DEPTHS.items():
        c = read(data / f"authors_trials_synthetic_{depths}.csv", "")
        theirs = np.corrcoef(c["lambda"], c["C"])[0, 1]
        slope = np.polyfit(np.log(c["C"]), np.log(c["lambda"]), 1)[0]
        experiment = caliche.load_experiment(name, ["synthetic.noise=false"])
        problem = experiment.problem()
        u = problem.space.to_whitened(experiment.truth)
        slopes = relative_slopes(problem.space, u)
        covariance = slopes @ posterior(problem, np.asarray(u)).covariance_naive @ slopes.T
        k, m = (problem.space.names.index(n) for n in (CONDUCTIVITY, CAPACITY))
        correlation = covariance[k, m] / np.sqrt(covariance[k, k] * covariance[m, m])
        pair = np.corrcoef(np.log(c["h"]), np.log(1 + 1 / c["beta"]))[0, 1]
        rows.append(
            [
                "one depth" if depths == "1depth" else "two depths",
                f"{pair:+.4f}",
                f"{theirs:+.3f}",
                f"{slope:.2f}",
                f"{correlation:+.3f}",
                f"{covariance[k, m] / covariance[m, m]:.2f}",
            ]
        )
    return [
        "**Figure 4**, the ridges. Of the authors' ends: correlation of log h with",
        "log (1 + 1 / Bowen ratio), which is -1 on the ridge that temperatures leave open; and of",
        "conductivity with heat capacity, with the slope d log(conductivity) / d log(capacity). Of",
        "caliche: the same correlation and slope in the error bars for 0.1 K of noise, from the",
        "exact Jacobian.",
        "",
        *table(
            (
                "",
                "authors, (h, Bowen ratio)",
                "authors, (conductivity, capacity)",
                "slope",
                "caliche, (conductivity, capacity)",
                "slope",
            ),
            rows,
        ),
    ]


# -- figure 5 ----------------------------------------------------------------------------------


def figure_5(data: Path) -> list[str]:
    trials = np.genfromtxt(data / "authors_trials_phoenix_T5T15.csv", delimiter=",", names=True)
    published = {
        H: trials["H"].mean(),
        CONDUCTIVITY: trials["lambda"].mean(),
        CAPACITY: trials["C"].mean(),
        "bottom_temperature": trials["Tb"].mean(),
    }
    paper, best = (caliche.load_experiment(n) for n in ("west-phoenix", "west-phoenix-best"))
    columns = {"caliche with the authors' mean values": panels(paper, published)}
    for words, experiment in (("caliche, west-phoenix", paper), ("west-phoenix-best", best)):
        result = caliche.estimate(experiment.problem(), starts=2, unknown=experiment.unknown)
        found = experiment.calibrated(result.hyperparameters)
        columns[words] = panels(found, found.scoring_problem().space.to_physical(result.u))
    observed = {
        "a) T 5 cm, range (K)": "299.0 to 317.6",
        "a) T 15 cm, range (K)": "303.2 to 310.8",
        "b) flux at 2 cm by day (W m-2)": "plates: 200 to 240 in gravel, 130 to 170 in sand",
        "b) flux at 2 cm by night (W m-2)": "",
    } | observed_panels(paper)
    quoted = {
        LEAD: "1/2 to 1",
        "b) flux at 2 cm by day (W m-2)": "175 to 185",
        "b) flux at 2 cm by night (W m-2)": "-110 to -80",
        "d) turbulent flux, daily peak (W m-2)": "390 to 420",
    }
    rows = [
        [
            name,
            observed.get(name, ""),
            quoted.get(name, ""),
            *(c.get(name, "") for c in columns.values()),
        ]
        for name in next(iter(columns.values()))
    ]
    return [
        "**Figure 5**, West Phoenix, first 150 h. The second column was read off the figure where",
        "the tower's file has no such record (plates, soil), the third off the authors' curves,",
        "where it could be read; daily extremes are given as least to largest of the days.",
        "",
        *table(("panel", "observed", "authors", *columns), rows),
    ]


def per_day(values: np.ndarray, time: np.ndarray, take: Callable) -> str:
    """Least and largest of the daily extremes of whole local days (UTC - 7 h)."""
    days = (time - np.timedelta64(7, "h")).astype("datetime64[D]")
    inside = [take(values[days == d]) for d in np.unique(days) if (days == d).sum() * 3600 >= 80000]
    return f"{np.nanmin(inside):.0f} to {np.nanmax(inside):.0f}"


def lead(modelled: np.ndarray, observed: np.ndarray) -> float:
    """Hours by which the modelled daily wave leads, from the phases of 24 h."""
    kept = np.isfinite(modelled) & np.isfinite(observed)
    hours = np.flatnonzero(kept)
    basis = np.stack(
        [np.ones(len(hours)), *(f(2 * np.pi * hours / 24.0) for f in (np.cos, np.sin))]
    )
    phases = [
        np.arctan2(*np.linalg.lstsq(basis.T, s[kept], rcond=None)[0][:0:-1])
        for s in (modelled, observed)
    ]
    return float((phases[1] - phases[0]) * 24.0 / (2 * np.pi))


def panels(experiment: caliche.Experiment, params: Mapping[str, float]) -> dict[str, str]:
    """The numbers of figure 5 for one set of parameters, of the hours of the fit."""
    problem = experiment.problem()
    space = problem.space
    fixed = {name: value for name, value in space.fixed.items() if name not in params}
    values = {name: jnp.asarray(v) for name, v in {**fixed, **params}.items()}
    model = {name: values[name] for name in (d.name for d in problem.model.declarations)}
    n = len(problem.forcing["air_temperature"])
    model = {name: v[:n] if v.ndim else v for name, v in model.items()}
    _, _, series = simulate(problem.model, model, problem.forcing)
    step = experiment.config.window.time_step
    every = round(3600.0 / step)
    time = experiment.dataset.time.values[1:n]
    soil = np.asarray(series["soil_temperature"])
    depths = np.asarray(problem.model.depths["soil_temperature"])

    def at(depth: float) -> np.ndarray:
        return np.array([np.interp(depth, depths, row) for row in soil])

    flux = -np.asarray(model[CONDUCTIVITY]) * (at(0.025) - at(0.015)) / 0.01
    turbulent = np.asarray(series["turbulent_heat_flux"])
    observed = observed_series(experiment)["soil_temperature_0.05m"][1:n]
    hourly = slice(every - 1, None, every)
    told = {
        "a) T 5 cm, range (K)": span(at(0.05), 1),
        "a) T 15 cm, range (K)": span(at(0.15), 1),
        LEAD: f"{lead(at(0.05)[hourly], observed[hourly]):.2f}",
        "b) flux at 2 cm by day (W m-2)": per_hour(flux, time, every, np.max),
        "b) flux at 2 cm by night (W m-2)": per_hour(flux, time, every, np.min),
        "c) outgoing longwave, range (W m-2)": span(np.asarray(series["outgoing_longwave"]), 0),
        "d) turbulent flux, daily peak (W m-2)": per_hour(turbulent, time, every, np.max),
    }
    return told


def per_hour(values: np.ndarray, time: np.ndarray, every: int, take: Callable) -> str:
    """`per_day` of hourly means."""
    whole = len(values) // every * every
    means = values[:whole].reshape(-1, every).mean(axis=1)
    return per_day(means, time[every - 1 : whole : every], take)


def observed_panels(experiment: caliche.Experiment) -> dict[str, str]:
    n = experiment.n_fit
    time = experiment.dataset.time.values[1:n]
    series = {k: v[1:n] for k, v in observed_series(experiment).items()}
    longwave = series["outgoing_longwave"]
    return {
        "c) outgoing longwave, range (W m-2)": span(longwave[np.isfinite(longwave)], 0),
        "d) turbulent flux, daily peak (W m-2)": per_day(
            series["turbulent_heat_flux"], time, np.nanmax
        ),
    }


def figures_section(data: Path) -> list[str]:
    folder = data / "huang-2026"
    return [
        "## 5. Figures 3, 4 and 5 in numbers",
        "",
        *figure_3(folder),
        *figure_4(folder),
        *figure_5(folder),
    ]

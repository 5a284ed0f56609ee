"""docs/results/monsoon.md: parameters of West Phoenix, the dry season to autumn.

CALICHE_DATA=... python scripts/monsoon.py --out docs/results/monsoon.md
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import caliche

caliche.configure()

import numpy as np  # noqa: E402

from caliche.estimation import estimate  # noqa: E402
from caliche.evaluation.prediction import observed_series, predict, score_windows  # noqa: E402
from caliche.experiments import load_experiment  # noqa: E402

EXCHANGE, CONDUCTIVITY = "combined_heat_transfer_coefficient", "thermal_conductivity"
STREAMS = {
    "soil_temperature_0.02m": "T 2 cm, K",
    "outgoing_longwave": "LWup, W m-2",
    "turbulent_heat_flux": "Qh + Qle, W m-2",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    began = time.perf_counter()
    experiment = load_experiment("west-phoenix-monsoon")
    result = estimate(experiment.problem(), starts=1, unknown=experiment.unknown)
    found = experiment.calibrated(result.hyperparameters)
    prediction = predict(found.scoring_problem(), result.u, result.covariance_u, streams_alone=True)
    fit, holdout = score_windows(found, prediction)
    observed = observed_series(found)
    stamps = found.dataset.time.values
    rain = rainfall(found)
    months = np.unique(stamps.astype("datetime64[M]"))
    lines = [
        "# West Phoenix through the monsoon",
        "",
        "Eight months of 2012 at half-hourly steps: soil temperature at 2 cm, outgoing longwave "
        "radiation and turbulent heat flux, fitted together. The transfer coefficient and the "
        "conductivity of the soil have a knot each week; how smoothly they change is found from "
        "the data, as are size and memory (AR(1)) of the errors. Written by",
        "",
        "    CALICHE_DATA=... python scripts/monsoon.py --out docs/results/monsoon.md",
        "",
        "Means over the month; the interval is the mean of the 95 % band.",
        "",
        "| month | rain, mm | transfer coefficient, W m-2 K-1 | conductivity, W m-1 K-1 |",
        "|---|---:|---|---|",
    ]
    for month in months:
        of = stamps.astype("datetime64[M]") == month
        cells = [band(prediction, name, of) for name in (EXCHANGE, CONDUCTIVITY)]
        lines.append(f"| {month} | {rain[of].sum():.1f} | {' | '.join(cells)} |")
    lines += [
        "",
        "Rain against weekly values: "
        f"{correlation(prediction, EXCHANGE, stamps, rain)} with the transfer coefficient, "
        f"{correlation(prediction, CONDUCTIVITY, stamps, rain)} with the "
        "conductivity (correlation of weekly means with the rain of the same week).",
        "",
        "| stream | RMSE, fit | bias | NSE | RMSE, held out (two weeks) | bias |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, label in STREAMS.items():
        a, b = fit[name], (holdout or {})[name]
        held = f"{b.rmse:.2f} | {b.bias:+.2f}" if np.isfinite(b.rmse) else "– | –"
        lines.append(f"| {label} | {a.rmse:.2f} | {a.bias:+.2f} | {a.nse:.3f} | {held} |")
    constants = ", ".join(
        f"{p.name.replace('_', ' ')} {p.estimate:.4g} ± {p.sd:.2g}"
        for p in result.parameters.values()
        if not p.fixed and p.sd is not None and "[" not in p.name and "initial" not in p.name
    )
    lines += [
        "",
        f"Constant through the year: {constants}. {len(result.u)} controls, "
        f"{int(np.isfinite(np.stack(list(observed.values()))).sum()):,} observed values, "
        f"{'converged' if result.converged else 'NOT converged'}; "
        f"{time.perf_counter() - began:.0f} s.",
        "",
        "The coefficient stands for sensible and latent heat together: what rises in a wet month "
        "is evaporation, and what the column calls conductivity is that of the soil with its "
        "water. Both are bulk properties of a suburb whose tower sees roofs, lawns and roads. "
        "Errors with memory make little of a bias: the soil may be off in the mean, as the table "
        "shows.",
    ]
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def rainfall(experiment: caliche.Experiment) -> np.ndarray:
    """Rain of each step (mm), zero where it was not measured."""
    data = experiment.dataset
    rate = data["precipitation"].values if "precipitation" in data else np.zeros(len(data.time))
    return np.nan_to_num(rate) * experiment.config.window.time_step


def band(prediction: object, name: str, of: np.ndarray) -> str:
    middle, low, high = (np.asarray(part)[of].mean() for part in prediction.parameters[name])
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def correlation(prediction: object, name: str, stamps: np.ndarray, rain: np.ndarray) -> str:
    week = ((stamps - stamps[0]) / np.timedelta64(7, "D")).astype(int)
    values = np.asarray(prediction.parameters[name][0])
    weekly = [(values[week == w].mean(), rain[week == w].sum()) for w in np.unique(week)]
    return f"{np.corrcoef(np.array(weekly).T)[0, 1]:+.2f}"


if __name__ == "__main__":
    main()

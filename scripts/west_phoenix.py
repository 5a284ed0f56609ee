"""docs/results/west-phoenix.md: explanations of the West Phoenix records held against one another.

    CALICHE_DATA=... python scripts/west_phoenix.py --out docs/results/west-phoenix.md

Every row is one calibration of `west-phoenix-best` with something taken away, put in, or put in its
place. The size of the errors of each is estimated with it, so that the log evidence tells how well
the explanation predicts the same observations, what it had to learn included. What the observations
are worth must be the same in all: it is what the residuals of `west-phoenix-best` say.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import time
from pathlib import Path

import caliche

caliche.configure()

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

from caliche.commands.variants.config import variant_config  # noqa: E402
from caliche.estimation import estimate  # noqa: E402
from caliche.estimation.information import InformationEstimate, with_information  # noqa: E402
from caliche.evaluation.prediction import predict, score_windows  # noqa: E402
from caliche.experiments import Experiment, load_experiment  # noqa: E402
from caliche.report.numbers import value_and_sd  # noqa: E402
from caliche.variables import label  # noqa: E402

SOIL = ("soil_temperature_0.05m", "soil_temperature_0.15m")
WEIGHED = (*SOIL, "outgoing_longwave", "turbulent_heat_flux")
STARTS = 2
COEFFICIENT = "combined_heat_transfer_coefficient"
NO_CLOCK = {"nuisances": {"soil_clock": {"fixed": True, "value": 0.0}}}
DEPTHS = {
    "nuisances": {
        f"depth_{cm}cm": {
            "kind": "depth-offset",
            "streams": [f"soil_temperature_0.{cm}m"],
            "prior": "normal",
            "mean": 0.0,
            "sd": 0.015,
            "lower": -0.04,
            "upper": 0.04,
        }
        for cm in ("05", "15")
    }
}
GRAVEL = {"model": {"layer_bottoms": [0.02]}}
ALBEDO = {"parameters": {"albedo": {"fixed": False, "prior": "normal", "mean": 0.172, "sd": 0.02}}}
DIURNAL_ALBEDO = {
    "parameters": {
        "albedo": {
            "fixed": False,
            "prior": "normal",
            "mean": 0.172,
            "sd": 0.02,
            "variation": {"kind": "diurnal", "harmonics": 1},
        }
    }
}
REFLECTED = {"model": {"longwave": "kirchhoff"}}
FREE_ALBEDO = {"parameters": {"albedo": {"fixed": False}}}
BIAS = {
    "nuisances": {
        f"bias_{cm}cm": {"kind": "bias", "streams": [f"soil_temperature_0.{cm}m"], "sd": 1.0}
        for cm in ("05", "15")
    }
}


def merged(*parts: dict) -> dict:
    """Tables laid over one another."""
    result: dict = {}
    for part in parts:
        for key, value in copy.deepcopy(part).items():
            both = isinstance(value, dict) and isinstance(result.get(key), dict)
            result[key] = merged(result[key], value) if both else value
    return result


RIVALS = {
    "**clock of the soil sensors** (`west-phoenix-best`)": {},
    "none of them": NO_CLOCK,
    "wrong depths": merged(NO_CLOCK, DEPTHS),
    "gravel, 2 cm, of its own kind": merged(NO_CLOCK, GRAVEL),
    "biased sensors": merged(NO_CLOCK, BIAS),
    "albedo 0.172 ± 0.02": merged(NO_CLOCK, ALBEDO),
    "albedo free": merged(NO_CLOCK, FREE_ALBEDO),
    "clock and wrong depths": DEPTHS,
    "clock and gravel": GRAVEL,
    "clock and albedo free": FREE_ALBEDO,
    "clock and an albedo that follows the day": DIURNAL_ALBEDO,
    "clock, and the ground reflects longwave radiation": REFLECTED,
}


def experiment_of(changes: dict, steady: bool = False) -> Experiment:
    """west-phoenix-best with changes; `steady`: with a constant transfer coefficient."""
    config = load_experiment("west-phoenix-best").config
    if steady:
        raw = copy.deepcopy(dict(config.raw))
        del raw["parameters"][COEFFICIENT]["variation"]
        config = variant_config(
            type(config)(**{**vars(config), "raw": raw}), {"title": config.title}
        )
    return Experiment(variant_config(config, changes) if changes else config)


def experiments() -> dict[str, Experiment]:
    """Of every row, first the one whose residuals say what the observations are worth."""
    found = {name: experiment_of(changes) for name, changes in RIVALS.items()}
    return {**found, "clock, and a constant coefficient": experiment_of({}, steady=True)}


def evidence(experiment: Experiment, found: dict, worth: InformationEstimate) -> float:
    """Log evidence of the observations worth as much as said, with sizes of errors and smoothness
    found for that, and flat priors uniform between their bounds; NaN where one of them holds a
    parameter."""
    problem = with_information(found["calibrated"].problem(), worth, whole=False)
    unknown = dataclasses.replace(experiment.unknown, information="")
    again = estimate(
        problem, starts=jnp.stack([found["result"].u] * STARTS), unknown=unknown
    ).hyperparameters
    flat = [p.prior for p in problem.space.free if not p.prior.informative]
    return again.log_evidence - sum(np.log(p.upper - p.lower) for p in flat)


def calibrate(experiment: Experiment) -> dict:
    """What a row of the table needs but its evidence."""
    began = time.perf_counter()
    result = estimate(experiment.problem(), starts=STARTS, unknown=experiment.unknown)
    found = experiment.calibrated(result.hyperparameters)
    prediction = predict(found.scoring_problem(), result.u, result.covariance_u, streams_alone=True)
    fit, holdout = score_windows(found, prediction)
    series = prediction.parameters.get(COEFFICIENT)
    albedo = prediction.parameters.get("albedo")
    lowest = (
        float(np.min(series[0])) if series is not None else result.parameters[COEFFICIENT].estimate
    )
    print(f"{time.perf_counter() - began:.0f} s, {result.reason}", flush=True)
    return {
        "result": result,
        "calibrated": found,
        "fit": fit,
        "holdout": holdout or {},
        "lowest": lowest,
        "albedo": "" if albedo is None else f"{np.min(albedo[0]):.2f} to {np.max(albedo[0]):.2f}",
    }


def row(name: str, found: dict, best: float) -> str:
    result = found["result"]
    together = np.sqrt(np.mean([found["fit"][n].rmse ** 2 for n in SOIL]))
    evidence = found["evidence"]

    def estimated(*names: str) -> str:
        parts = []
        for n in names:
            p = result.parameters.get(n)
            if p is None:
                continue
            parts.append("(fixed)" if p.fixed else value_and_sd(p.estimate, p.sd))
        return "; ".join(parts)

    def holdout(n: str) -> str:
        return f"{found['holdout'][n].rmse:.1f}"

    return (
        " | ".join(
            [
                f"| {name}",
                f"{evidence - best:+.1f}" if np.isfinite(evidence) else "at a bound",
                *(f"{found['fit'][n].rmse:.2f}" for n in SOIL),
                f"{together:.2f}",
                holdout("outgoing_longwave"),
                holdout("turbulent_heat_flux"),
                estimated(
                    "thermal_conductivity", "thermal_conductivity_1", "thermal_conductivity_2"
                ),
                estimated(
                    "volumetric_heat_capacity",
                    "volumetric_heat_capacity_1",
                    "volumetric_heat_capacity_2",
                ),
                found["albedo"] or estimated("albedo"),
                estimated("emissivity"),
                f"{found['lowest']:.1f}",
                estimated("soil_clock", "depth_05cm", "depth_15cm", "bias_05cm", "bias_15cm"),
                "" if result.converged else "not converged",
            ]
        )
        + " |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    worth, rows = None, {}
    for name, experiment in experiments().items():
        rows[name] = found = calibrate(experiment)
        if worth is None:
            worth = found["result"].hyperparameters.information
        found["evidence"] = evidence(experiment, found, worth)
    best = np.nanmax([r["evidence"] for r in rows.values()])
    lines = [*HEAD, *(row(name, found, best) for name, found in rows.items())]
    lines += ["", powers(worth), *TAIL]
    lines += ["", *two_centimetres(), "", *with_memory()]
    lines += ["", "All of it takes some ten minutes on one core, nearly all of it compiling."]
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def powers(worth: InformationEstimate) -> str:
    """The powers that the evidence is taken with, in a sentence."""
    told = ", ".join(f"{worth.factors[n]:.2g} ({label(n)})" for n in WEIGHED)
    return f"Powers of the streams: {told}."


def two_centimetres() -> list[str]:
    """The clock of the 2 cm sensor, from its own record."""
    changes = {
        "nuisances": {
            "soil_clock": {"fixed": True, "value": 0.0},
            "clock_2cm": {"kind": "clock-offset", "streams": ["soil_temperature_0.02m"]},
        },
        "observations": {
            "soil_temperature_0.02m": {
                "fit": True,
                "sigma": 0.5,
                "estimate_sigma": True,
            },
            "soil_temperature_0.05m": {"fit": False},
            "soil_temperature_0.15m": {"fit": False},
        },
    }
    found = calibrate(experiment_of(changes))
    lag = found["result"].parameters["clock_2cm"]
    fit = found["fit"]["soil_temperature_0.02m"]
    return [
        "## The 2 cm record",
        "",
        "Fitted instead of the two below it (with LWup and the turbulent flux), it asks for a lag "
        f"of {value_and_sd(lag.estimate, lag.sd)} h; its RMSE is then {fit.rmse:.2f} K.",
    ]


def with_memory() -> list[str]:
    """What becomes of the fit when the persistence of the errors is estimated too."""
    changes = {"observations": {name: {"estimate_autocorrelation": True} for name in WEIGHED}}
    stubborn = merged(REFLECTED, {"parameters": {"emissivity": {"fixed": True, "value": 0.95}}})
    lines = [
        "## Errors with memory",
        "",
        "Errors may be taken as AR(1), with a persistence (from one half-hour to the next) that "
        "is estimated too. What the model cannot explain may then pass for an error that lasts: "
        "a bias of the soil temperature costs little. So the experiment takes errors as "
        "independent, and weighs each stream by how long its residuals last. Where the model is "
        "wrong (longwave radiation is reflected and the emissivity held at 0.95), weights do the "
        "same: the stream that is not explained counts less, and its bias stays.",
        "",
        "| model | errors | persistence T 5 cm, T 15 cm, LWup, Qh+Qle | T 5 cm "
        "| its bias | LWup, held out |",
        "|---|---|---|---:|---:|---:|",
    ]
    for what, model in (("west-phoenix-best", {}), ("longwave reflected", stubborn)):
        for errors, more in (("independent", {}), ("AR(1)", changes)):
            found = calibrate(experiment_of(merged(model, more)))
            told = found["result"].hyperparameters
            memory = ", ".join(f"{told.autocorrelation[n]:.2f}" for n in WEIGHED) if more else ""
            score = found["fit"][SOIL[0]]
            lines.append(
                f"| {what} | {errors} | {memory} | {score.rmse:.2f} "
                f"| {score.bias:+.2f} | {found['holdout']['outgoing_longwave'].rmse:.1f} |"
            )
    return lines


HEAD = [
    """# West Phoenix: which explanation do the records prefer?

Soil temperatures at 5 and 15 cm, outgoing longwave radiation and turbulent heat flux, May 2012,
fitted together (150 h; 50 h held out) with a transfer coefficient that follows the day, an
estimated initial profile, a share of the turbulent flux that the tower misses, and errors whose
size is estimated, stream by stream. This page is written by

    CALICHE_DATA=... python scripts/west_phoenix.py --out docs/results/west-phoenix.md

Estimates, weights of the streams and sd are those of what the observations tell
([time and errors](../time-and-errors.md)). Log evidence: of the same observations, relative to the
best row. So that rows compare, each stream counts in all of them with the power that its residuals
in `west-phoenix-best` give it (below the table), and the sizes of errors are found for that; a flat
prior counts as uniform between its bounds, so that what is estimated besides has to pay for its
range. A difference of 3 is strong, of 1 not worth a mention (Kass and Raftery 1995,
doi:10.1080/01621459.1995.10476572). RMSE in K and W m-2; conductivity in W m-1 K-1, capacity in
J m-3 K-1 (two values: above and below 2 cm); lowest H: smallest transfer coefficient of the day,
W m-2 K-1; offsets in h (clock), m (depth), K.
""",
    "| explanation | log evidence | T 5 cm | T 15 cm | both | LWup, held out | Qh+Qle, held out | "
    "conductivity | heat capacity | albedo | emissivity | lowest H | offsets | |",
    "|---|---:|---:|---:|---:|---:|---:|---|---|---|---|---:|---|---|",
]
TAIL = [
    "",
    "Evidence is conditional on this model of the surface: it ranks explanations and proves none.",
]

if __name__ == "__main__":
    main()

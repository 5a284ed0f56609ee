"""How far the estimates of variants lie from the base's, and which variant the data prefer.

Pure functions of what `caliche.commands.variants.fit.fit` gives, so of variants.json.

A shift is told in standard deviations of the base, (x - x_base) / sd_base, and in combined ones,
(x - x_base) / sqrt(sd_base^2 + sd^2), which is what two independent data sets would be judged by;
here both fits share the data, so that it errs on the side of small shifts.

The criteria are those of a Gaussian likelihood, -2 log L = chi^2, the sum of squared misfits over
sigma (twice the misfit without priors), with p parameters in effect:

    AIC = chi^2 + 2 p                           Akaike (1974), doi:10.1109/TAC.1974.1100705
    BIC = chi^2 + p log n_eff                   Schwarz (1978), doi:10.1214/aos/1176344136
    tempered BIC = sum_k chi_k^2 / c_k + p log n_eff

n_eff = sum_k n_k (1 - rho_k) / (1 + rho_k) with the lag-1 autocorrelation rho_k of the residuals of
stream k (Bayley and Hammersley 1946, doi:10.2307/2983560). The first two take sigma at its word and
the misfits as independent. The third does to the likelihood what the error bars do to the variance:
c_k is the factor by which residuals inflate it. That is the quasi-likelihood of Burnham and
Anderson (2002), doi:10.1007/b97636, section 2.5, and as there n_eff and c_k are the same for all,
those of the model that fits best: what another one misses beyond that is its own fault.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from caliche.commands.variants.config import relatives
from caliche.commands.variants.words import free_parameters

Record = dict[str, Any]


def compare(base: Record, variants: Sequence[Record]) -> Record:
    """Add to the records, the base's too, what they are against the base, and give the record
    whose residuals scale the criteria.

    Added are `shifts`, `largest_shift`, `rmse`, `holdout_rmse`, `criteria` and their `delta` to the
    base, and whether criteria and hold-out scores compare (`comparable`, `holdout_comparable`).
    """
    fitted = [r for r in (base, *variants) if r["status"] != "cannot run"]
    held_out = _held_out_streams(base)
    for record in fitted:
        record["shifts"] = {name: shifts(name, base, record) for name in free_parameters(base)}
        found = [e["shift"] for each in record["shifts"].values() for e in each]
        record["largest_shift"] = max((abs(x) for x in found if x is not None), default=None)
        record["rmse"] = pooled(record["fit"], list(base["chi_square"]))
        record["holdout_rmse"] = pooled(record["holdout"] or {}, held_out)
        record["comparable"] = record["observed"] == base["observed"]
        record["holdout_comparable"] = record["held_out"] == base["held_out"]
    scale = _best_fit(base, fitted)
    for record in fitted:
        record["criteria"] = criteria(record, scale) if record["comparable"] else None
    for record in fitted:
        if record["criteria"] and base["criteria"]:
            record["delta"] = {
                key: value - base["criteria"][key] for key, value in record["criteria"].items()
            }
    return scale


def _best_fit(base: Record, fitted: Sequence[Record]) -> Record:
    """The converged record of the lowest sum of squares, of those that compare with the base."""
    able = [r for r in fitted if r["comparable"] and r["status"] == "converged"]
    known = [r for r in able if None not in r["chi_square"].values()]
    return min(known, key=lambda r: sum(r["chi_square"].values()), default=base)


def shifts(name: str, base: Record, record: Record) -> list[Record]:
    """A parameter of the base in a variant: one entry, one for each layer, or none.

    A quantity that the variant derives from its parameters counts as well.
    """
    names = list(record["parameters"])
    found = [name] if name in names else relatives(name, names)
    tables = {other: record["parameters"][other] for other in found}
    if not found and name in record["derived"]:
        tables = {name: {**record["derived"][name], "fixed": False}}
    return [_shift(base["parameters"][name], other, table) for other, table in tables.items()]


def _shift(base: Record, name: str, table: Record) -> Record:
    value, own, sd = table["estimate"], table["sd"], base["sd"]
    shift = combined = None
    if None not in (value, base["estimate"], sd) and sd > 0.0 and not table["fixed"]:
        moved = value - base["estimate"]
        shift = moved / sd
        combined = None if own is None else moved / math.hypot(sd, own)
    return {
        "as": name,
        "estimate": value,
        "sd": own,
        "unit": table["unit"],
        "fixed": table["fixed"],
        "at_bound": table.get("at_bound", False),
        "shift": shift,
        "shift_combined": combined,
    }


def effective_size(record: Record) -> float:
    """Number of independent observations that residuals leave, at least e."""
    total = 0.0
    for r in record["residuals"].values():
        total += r["n"] * max(1.0, r["variance_ratio"] or 1.0) / (r["inflation"] or 1.0)
    return max(total, math.e)


def criteria(record: Record, scale: Record) -> dict[str, float] | None:
    """AIC, BIC and tempered BIC, see the top of the file; None where there is no misfit.

    `scale` is the record whose residuals give n_eff and c_k.
    """
    squares, p = record["chi_square"], record["n_effective_parameters"]
    if p is None or None in squares.values():
        return None
    whole = sum(squares.values())
    factors = {name: r["inflation"] or 1.0 for name, r in scale["residuals"].items()}
    tempered = sum(value / factors[name] for name, value in squares.items())
    penalty = p * math.log(effective_size(scale))
    return {"aic": whole + 2.0 * p, "bic": whole + penalty, "tempered_bic": tempered + penalty}


def pooled(scores: Mapping[str, Record], streams: Sequence[str]) -> Record | None:
    """Root-mean-square error over streams together; in sigma where their units differ."""
    used = {n: scores[n] for n in streams if n in scores and scores[n]["n"]}
    if not used or any(s["rmse"] is None for s in used.values()):
        return None
    units = {s["unit"] for s in used.values()}
    same = len(units) == 1
    total = sum(s["n"] * (s["rmse"] / (1.0 if same else s["sigma"])) ** 2 for s in used.values())
    value = math.sqrt(total / sum(s["n"] for s in used.values()))
    return {"value": value, "unit": units.pop() if same else "sigma", "streams": list(used)}


def _held_out_streams(base: Record) -> list[str]:
    """The fitted streams, or if none was observed in the hold-out, others of the same unit."""
    scores = base["holdout"] or {}
    fitted = [n for n, s in scores.items() if s["fitted"] and s["n"]]
    units = {s["unit"] for s in base["fit"].values() if s["fitted"]}
    others = [n for n, s in scores.items() if s["n"] and s["unit"] in units]
    return fitted or (others if len(units) == 1 else [])

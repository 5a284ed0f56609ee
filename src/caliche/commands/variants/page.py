"""The page of a run over variants: a function of variants.json."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from caliche.commands.variants.figures import parameter_plate, signed
from caliche.commands.variants.summary import VariantsSummary
from caliche.files.whole_file import write_text
from caliche.keys.records import read_checked, read_text
from caliche.report import numbers, wording
from caliche.report.pages import REMEDY, render_page
from caliche.report.run import words
from caliche.report.style import report_style

NOTABLE = 1.0  # sd of the base, from which a shift is marked
PAGE = "variants.html"


def write_variants_page(folder: Path) -> Path:
    """Write `variants.html` into the folder of `caliche variants`, and return its path.

    Raises
    ------
    InputError : variants.json or config.toml is missing or cannot be read.
    """
    folder = Path(folder)
    run = read_checked(VariantsSummary, folder / "variants.json", REMEDY)
    config = read_text(folder / "config.toml", REMEDY)
    return write_text(folder / PAGE, render(run, config))


def render(run: Mapping[str, Any], config: str) -> str:
    """The whole page as text."""
    base = run["base"]
    settled = base["status"] == "converged"
    fitted = [v for v in run["variants"] if v["status"] != "cannot run"]
    free = {name: p for name, p in base["parameters"].items() if not p["fixed"]}
    plates = []
    if settled and fitted:
        with report_style():
            plates = [
                parameter_plate(name, entry, base, fitted, (run["truth"] or {}).get(name))
                for name, entry in free.items()
            ]
    return render_page(
        "commands/variants/page.html.j2",
        run=run,
        base=base,
        config=config,
        n=numbers,
        alarm="" if settled else words.not_converged(base["reason"]),
        columns=[
            {
                "label": wording.capital(name.replace("_", " ")),
                "unit": numbers.pretty_unit(p["unit"]),
            }
            for name, p in free.items()
        ],
        groups=_groups(base, fitted, list(free)),
        streams=_streams(base, fitted),
        has_holdout=any(r["holdout_rmse"] for r in (base, *fitted)),
        excluded=[v for v in run["variants"] if v["status"] == "cannot run"],
        lost=[v for v in fitted if v["status"] == "did not converge"],
        plates=plates,
        effective=numbers.plain(run["effective_observations"], 2),
        sentences=[_pretty(text, free) for text in run["sentences"]],
        conclusion=[_pretty(text, free) for text in run["conclusion"]],
    )


def _pretty(text: str, free: Mapping[str, Any]) -> str:
    """A sentence with units and powers of ten as the page writes them."""
    for unit in {p["unit"] for p in free.values()} - {"1", ""}:
        text = re.sub(rf" {re.escape(unit)}(?=[,;)])", f"\u00a0{numbers.pretty_unit(unit)}", text)
    text = re.sub(
        r"\)e(-?\d+)", lambda m: f")\u00a0×\u00a0{numbers.power_of_ten(10.0 ** int(m[1]))}", text
    )
    return re.sub(r" (±|sd\b)", "\u00a0\\1", text).replace("± ", "±\u00a0")


def _groups(
    base: Mapping[str, Any], variants: list[Mapping[str, Any]], free: list[str]
) -> list[list[dict[str, Any]]]:
    """Rows of the table, a group for each family, the base first."""
    families = [list(rows) for _, rows in groupby(variants, key=lambda v: v["family"])]
    return [[_row(base, record, free) for record in rows] for rows in ([base], *families)]


def _row(base: Mapping[str, Any], record: Mapping[str, Any], free: list[str]) -> dict[str, Any]:
    is_base = record["name"] == "base"
    delta = record.get("delta") or {}
    return {
        "name": record["name"],
        "what": record["what"],
        "converged": record["status"] == "converged",
        "cells": [[_entry(e, is_base) for e in record["shifts"][name]] for name in free],
        "rmse": _rmse(record["rmse"]),
        "holdout": _rmse(record["holdout_rmse"]),
        "comparable": record["comparable"],
        "holdout_comparable": record["holdout_comparable"],
        "effective": numbers.rounded(record["n_effective_parameters"], 2),
        "aic": "0" if is_base else signed(delta.get("aic")),
        "tempered": "0" if is_base else signed(delta.get("tempered_bic")),
    }


def _entry(entry: Mapping[str, Any], is_base: bool) -> dict[str, Any]:
    shift = entry["shift"]
    note = "fixed" if entry["fixed"] else "at bound" if entry["at_bound"] else ""
    return {
        "estimate": numbers.value_and_sd(entry["estimate"], entry["sd"]),
        "note": note,
        "shift": "" if is_base or shift is None else f"{signed(shift)} sd",
        "big": shift is not None and abs(shift) > NOTABLE,
    }


def _rmse(value: Mapping[str, Any] | None) -> str:
    return numbers.MISSING if value is None else numbers.rounded(value["value"])


def _streams(base: Mapping[str, Any], variants: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """RMSE of every stream in fit and hold-out: rows are variants, columns are streams."""
    names = list(base["fit"])
    tables = []
    for title, key in (("Fit", "fit"), ("Hold-out", "holdout")):
        rows = []
        for record in (base, *variants):
            scores = record[key] or {}
            cells = [numbers.rounded(scores.get(name, {}).get("rmse")) for name in names]
            rows.append({"name": record["name"], "cells": cells})
        used = [k for k in range(len(names)) if any(r["cells"][k] != numbers.MISSING for r in rows)]
        if used:
            heads = [
                {
                    "label": names[k].replace("_", " "),
                    "unit": base["fit"][names[k]]["unit"],
                    "fitted": base["fit"][names[k]]["fitted"],
                }
                for k in used
            ]
            rows = [{**row, "cells": [row["cells"][k] for k in used]} for row in rows]
            tables.append({"title": title, "heads": heads, "rows": rows})
    return tables

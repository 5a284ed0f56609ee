"""What the commands of CalLMIP found, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from caliche.callmip.check import OF_FILES, OF_FOLDERS, Looked
from caliche.wording import listing, number_of


def check_lines(found: Looked) -> Iterator[str]:
    """The verdict, what failed, and what else is worth knowing."""
    checks = number_of(len(OF_FILES) + len(OF_FOLDERS), "check")
    files = number_of(len(found.files), "file")
    if found.passed:
        yield f"Passed: {files}, {checks}, nothing that fails."
    else:
        names = dict.fromkeys(f.check for f in found.failed)
        yield f"Failed: {', '.join(names)} ({files}, {checks})."
    for finding in found.findings:
        where = f"{finding.file}: " if finding.file else ""
        kind = "fails" if finding.fails else "note"
        yield f"{kind}  {finding.check}: {where}{finding.sentence}."


def run_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """What a calibration found: how it ended, its parameters, and what it is worth elsewhere."""
    ended = "Converged" if found["converged"] else f"Did not converge: {found['reason']}"
    fitted = [code for code, site in found["sites"].items() if site["fitted"]]
    yield f"{ended}. {number_of(len(fitted), 'tower')} calibrated on: {listing(fitted)}."
    for name, p in found["parameters"].items():
        low, high = p["interval95"] or (None, None)
        ends = "" if low is None else f" ({low:.3g} to {high:.3g})"
        bound = ", at its bound" if p["at_bound"] else ""
        yield f"{name}: {p['prior']:.3g} before, {p['estimate']:.3g}{ends} {p['unit']}{bound}"
    for code, site in found["sites"].items():
        for stream, rmse in site["left_out"].items():
            yield f"{code} left out: RMSE of {stream.replace('_', ' ')} {rmse:.3g} W m-2."

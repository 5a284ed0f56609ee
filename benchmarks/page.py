"""The page of results: Markdown, written from what was measured and from nothing else."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from subprocess import run

from benchmarks import yardstick
from benchmarks.rows import Outcome, Row, Size

PACKAGES = ("caliche", "jax", "jaxlib", "equinox", "optax", "numpy", "scipy", "torch", "diffrax")
HEAD = ("", "measured", "median", "compile, s", "first call", "target", "")
SUMMARY_HEAD = ("", "measured", "target", "")


def number(value: float | None) -> str:
    """Three significant digits; blank where nothing was measured."""
    if value is None:
        return ""
    if value != 0.0 and not 1e-3 <= abs(value) < 1e7:
        return f"{value:.1e}"
    if abs(value) < 1e3:
        return f"{value:.3g}"
    return f"{float(f'{value:.3g}'):,.0f}"


def with_unit(value: float | None, row: Row) -> str:
    if value is None:
        return ""
    text = number(value) + ("" if row.unit == "1" else f" {row.unit}")
    return f"~ {text}" if row.extrapolated else text


def target(row: Row) -> str:
    """The target of a row, in words."""
    if row.target is None:
        return ""
    sign = "at least" if row.at_least else "at most"
    return f"{sign} {number(row.target)}" + ("" if row.unit == "1" else f" {row.unit}")


def verdict(row: Row) -> str:
    if row.target is None:
        return ""
    words = {True: "met", False: "MISSED", None: ""}  # the note says why it was not measured
    return "FAILED" if row.failed else words[row.met]


def first_call(row: Row) -> str:
    return "" if row.first_call_seconds is None else f"{1e3 * row.first_call_seconds:.3g} ms"


def without_paths(text: str) -> str:
    """A message without the folders of the machine it comes from."""
    return re.sub(r"(/[\w.+-]+)+/", ".../", text)


def cells(row: Row) -> tuple[str, ...]:
    """One line of a case's table."""
    remark = "; ".join(text for text in (verdict(row), without_paths(row.note)) if text)
    return (
        row.what,
        with_unit(row.value, row),
        number(row.median),
        number(row.compile_seconds),
        first_call(row),
        target(row),
        remark,
    )


def used_columns(rows: Sequence[Sequence[str]]) -> list[int]:
    """Indices of the columns of which some row says something."""
    return [k for k in range(len(rows[0])) if any(row[k] for row in rows)]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table, without the columns that are empty in every row."""
    rows = list(rows)
    used = used_columns(rows)
    marks = ["---" if k in (0, len(head) - 1) else "---:" for k in used]
    lines = ["| " + " | ".join(head[k] for k in used) + " |", "|" + "|".join(marks) + "|"]
    for row in rows:
        lines.append("| " + " | ".join(row[k].replace("|", "\\|") for k in used) + " |")
    return [*lines, ""]


def processor() -> str:
    """The processor's name, without that of the machine."""
    file = Path("/proc/cpuinfo")
    if file.exists():
        for line in file.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Python, the packages that take part, and the C compiler; those that are missing left out."""
    found = {"Python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    try:
        said = run([yardstick.compiler(), "-dumpfullversion"], capture_output=True, text=True)
        found["gcc"] = said.stdout.strip()
    except yardstick.Unavailable:
        pass
    return found


def machine() -> dict[str, str | int]:
    return {"processor": processor(), "cores": yardstick.cores(), "system": sys.platform}


def command(size: Size, only: Sequence[str], out: Path) -> str:
    """What to type to write the page again."""
    words = ["python -m benchmarks"]
    words += [] if size.name == "full" else [f"--{size.name}"]
    words += ["--only", *only] if only else []
    return " ".join([*words, "--out", "docs/results/" + out.name])


def write_page(outcomes: Sequence[Outcome], size: Size, only: Sequence[str], out: Path) -> None:
    """Write the page of Markdown."""
    known = ", ".join(f"{name} {number}" for name, number in versions().items())
    at = machine()
    lines = [
        "# How fast caliche is",
        "",
        "Every number on this page was measured by the command that wrote it:",
        "",
        f"    {command(size, only, out)}",
        "",
        f"on {at['cores']} cores of {at['processor']} ({at['system']}), with {known}.",
        "",
        "Times are minima of several runs, taken in turn with those they are compared with, in one",
        "process; compiling and the first call are apart. Ratios carry over to other machines,",
        "times do not. Numbers marked ~ are extrapolated, from what is said beside them; what was",
        "not measured is left blank, with the reason. The yardstick is a C kernel written by hand",
        f"for this problem (gcc {' '.join(yardstick.FLAGS)}). It solves the same discrete model.",
        "The benchmark problem, unless said otherwise: SoilHeat with 20 layers in 1 m,",
        f"{size.steps:,} half-hours in double precision, five free parameters, soil temperature",
        "observed at two depths with 0.3 K of noise, backward Euler, synthetic weather.",
        "",
    ]
    aimed = [row for outcome in outcomes for row in outcome.rows if row.target is not None]
    if aimed:
        lines += ["## Targets", ""]
        lines += table(
            SUMMARY_HEAD,
            [(r.what, with_unit(r.value, r), target(r), verdict(r)) for r in aimed],
        )
    for outcome in outcomes:
        lines += [f"## {outcome.case.title}", "", outcome.case.text, ""]
        lines += table(HEAD, [cells(row) for row in outcome.rows]) if outcome.rows else []
        error = f"Ended with an error: {without_paths(outcome.error)}"
        lines += [error, ""] if outcome.error else []
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")

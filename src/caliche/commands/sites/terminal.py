"""Progress and outcome of many sites on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caliche.report.numbers import plain
from caliche.terminal.tables import print_table
from caliche.wording import number_of

if TYPE_CHECKING:
    from caliche.commands.sites.run import Progress as SitesDone

FEW = 5  # failed sites that are named


def sites_words(name: str, news: SitesDone) -> str:
    """How far this process is, see `caliche.commands.sites.run.estimate_sites`."""
    text = f"{name}: {news.done} of {number_of(news.total, 'site')}"
    if not news.fresh:
        return text + (" done already; compiling" if news.done else "; compiling")
    rate = news.fresh / max(news.seconds, 1e-9)
    return f"{text}, {news.failed} failed, {rate:.3g} sites per second"


def print_sites(summary: Mapping[str, Any] | None, folder: Path) -> None:
    """Counts, then the parameters over the sites, then which sites failed and why."""
    print()
    if summary is None:
        print(f"This process has done its share; the others have not yet. Batches: {folder}/blocks")
        return
    failed = summary["sites"] - summary["converged"]
    print(f"{summary['title']}: {summary['verdict']['headline']}")
    if summary["converged"]:
        print()
        rows = []
        for name, p in summary["parameters"].items():
            low, middle, high = (plain(p[key]) for key in ("q05", "median", "q95"))
            sd = "-" if p["median_sd"] is None else f"{p['median_sd']:.2g}"
            rows.append([name, middle, f"{low} to {high}", sd, str(p["at_bound"]), p["unit"]])
        header = ["parameter", "median", "5 to 95 % of sites", "median sd", "at bound", "unit"]
        print_table(header, rows, drop=["at bound", "5 to 95 % of sites"])
    if failed:
        print(f"\n{failed} did not:")
        for entry in summary["failed"][:FEW]:
            print(f"  {entry['site']}: {entry['reason']}")
        if failed > FEW:
            print(f"  and {failed - FEW} more, see summary.json")
    print(f"\nResult: {folder / 'result.nc'}")

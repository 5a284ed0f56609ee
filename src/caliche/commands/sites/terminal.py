"""Progress and outcome of many sites on the terminal."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caliche.report.numbers import plain
from caliche.terminal.tables import print_table
from caliche.wording import number_of

if TYPE_CHECKING:
    from caliche.commands.sites.run import Progress as SitesDone

FEW = 5  # failed sites that are named


class SitesProgress:
    """Progress over many sites: one line that is kept up to date, or in a pipe one now and then.

    `update` is the callback of `caliche.commands.sites.run.estimate_sites`.
    """

    EVERY = 10.0  # seconds between the lines in a pipe

    def __init__(self, name: str) -> None:
        self._name, self._told, self._done = name, time.monotonic(), -1
        self._live = sys.stderr.isatty()

    def __enter__(self) -> SitesProgress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._live and self._done >= 0:
            self._show("", last=True)

    def update(self, progress: SitesDone) -> None:
        """Show how far it is."""
        new, last = progress.done > self._done, progress.done == progress.total
        due = self._done < 0 or last or time.monotonic() - self._told > self.EVERY
        if not new or not (self._live or due):
            return
        self._told, self._done = time.monotonic(), progress.done
        text = f"{self._name}: {progress.done} of {number_of(progress.total, 'site')}"
        if not progress.fresh:
            text += " done already; compiling" if progress.done else "; compiling"
        else:
            rate = progress.fresh / max(progress.seconds, 1e-9)
            text += f", {progress.failed} failed, {rate:.3g} sites per second"
        self._show(text, last=not self._live)

    def _show(self, text: str, last: bool) -> None:
        width = shutil.get_terminal_size().columns - 1
        line = f"\r{text[:width]:<{width}}" if self._live else text
        print(line, file=sys.stderr, end="\n" if last else "", flush=True)


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

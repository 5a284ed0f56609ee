"""`caliche report`: its options and help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder that a command wrote.")],
) -> None:
    """Write the page of a folder again, whichever command wrote it."""
    from caliche.commands.report.run import write_page

    typer.echo(f"Report: {write_page(run)}")

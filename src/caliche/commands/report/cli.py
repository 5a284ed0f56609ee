"""`caliche report`: its options and help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder that a command wrote.")],
) -> None:
    """Write the HTML page of a folder of any command again."""
    from caliche.commands.report.run import write_page

    typer.echo(f"Report: {write_page(run)}")

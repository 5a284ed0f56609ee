"""What a command is: its name, its panel in the help, its room, and the page of its folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caliche._lazy import load


@dataclass(frozen=True)
class Command:
    """A command of the command line. Nothing of its room is imported before it is asked for.

    Attributes
    ----------
    panel : the heading under which `caliche --help` lists it.
    name : as typed; with underscores, the name of the function in `cli.py` of its room.
    room : the folder in `caliche.commands`; empty if it has the command's name.
    table : the declaration of the file that it reads, if it is no experiment, as `module:name`.
    page : the function that writes the page of its folder, as `module:function`; empty if the
        command leaves no page.
    """

    panel: str
    name: str
    room: str = ""
    page: str = ""
    table: str = ""

    def function(self) -> Callable[..., Any]:
        """What is run, with its options and help; a `typer.Typer` where it has several commands."""
        function = self.name.replace("-", "_")
        return load(f"caliche.commands.{self.room or self.name}.cli:{function}")

    def write_page(self, folder: Path) -> Path:
        """Write the page of a folder of this command, and return its path."""
        return load(self.page)(folder)

"""`caliche init`: its options and help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from caliche.errors import InputError


def init(
    path: Annotated[Path, typer.Argument(help="The file to write, such as my-tower.toml.")],
) -> None:
    """Write an experiment file (TOML) for your tower, to fill in."""
    from importlib import resources

    if path.suffix != ".toml":
        raise InputError(
            "a file name that ends in .toml", str(path), f"{path.name.partition('.')[0]}.toml"
        )
    if path.exists():
        raise InputError("a file that does not exist yet", f"{path}, which does", "another name")
    if not path.parent.is_dir():
        raise InputError("a folder that exists", str(path.parent), "make it first")
    template = resources.files("caliche.commands.init") / "template.toml"
    path.write_text(template.read_text(encoding="utf-8"), encoding="utf-8")
    typer.echo(f"Wrote {path}. Fill it in, then: caliche check {path}")

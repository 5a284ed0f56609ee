"""`caliche schema`: its options and help."""

from __future__ import annotations

from typing import Annotated

import typer


def schema(
    kind: Annotated[
        str, typer.Argument(help="Of which file: experiment, joint, drive or callmip.")
    ] = "experiment",
) -> None:
    """JSON Schema of a configuration file, by which editors complete.

    With it an editor completes and checks the keys: write it to caliche.schema.json.
    """
    import json

    from caliche.commands.schema.run import file_schema

    typer.echo(json.dumps(file_schema(kind), indent=1, ensure_ascii=False))

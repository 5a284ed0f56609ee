"""`caliche experiments` and `caliche data`: their tables."""

from __future__ import annotations


def experiments() -> None:
    """List the bundled experiments."""
    from caliche.experiments.config.toml import bundled
    from caliche.terminal.tables import print_table

    print_table(["experiment", "what it is"], [list(item) for item in bundled().items()])


def data() -> None:
    """List the data in the folder that CALICHE_DATA names."""
    from caliche.data.locate import list_data
    from caliche.terminal.tables import print_table

    rows = [[d.name, d.title, ", ".join(d.files)] for d in list_data()]
    print_table(["folder", "title", "files"], rows)

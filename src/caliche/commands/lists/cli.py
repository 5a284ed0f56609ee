"""`caliche experiments` and `caliche data`: their tables."""

from __future__ import annotations

from caliche.terminal.json_file import JsonOption


def experiments(json_: JsonOption = None) -> None:
    """Bundled experiments, by name."""
    from caliche.experiments.config.toml import bundled
    from caliche.terminal.tables import print_table

    print_table(["experiment", "what it is"], [list(item) for item in bundled().items()])
    if json_ is not None:
        json_.write(dict(bundled()))


def data(json_: JsonOption = None) -> None:
    """Data in the folder that CALICHE_DATA names."""
    from caliche.data.locate import list_data
    from caliche.terminal.tables import print_table

    rows = [[d.name, d.title, ", ".join(d.files)] for d in list_data()]
    print_table(["folder", "title", "files"], rows)
    if json_ is not None:
        found = list_data()
        json_.write([{"folder": d.name, "title": d.title, "files": list(d.files)} for d in found])

"""How every page is made: from the files of a folder, through a template."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

# What to do about a damaged file in the folder of any command.
REMEDY = "restore that file, or give the command that wrote the folder again"


def render_page(template: str, **content: Any) -> str:
    """A template with its content; a name that it lacks is an error."""
    environment = Environment(
        loader=PackageLoader("caliche", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**content)

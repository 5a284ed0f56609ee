"""How every page is made: from the files of a folder, through a template."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from caliche.errors import InputError


@contextlib.contextmanager
def reading(folder: Path, expected: str) -> Iterator[None]:
    """While the files of a folder are read: what cannot be read is one sentence.

    Parameters
    ----------
    expected : the folder in words.

    Raises
    ------
    InputError : a file that is missing or cannot be read.
    """
    try:
        yield
    except (OSError, ValueError) as error:
        raise InputError(
            expected,
            f"{type(error).__name__} in {folder}: {error}",
            "give the command that began it again",
        ) from error


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

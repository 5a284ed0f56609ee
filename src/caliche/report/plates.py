"""A plate: a figure as SVG, with its caption and what a screen reader says of it."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup


@dataclass(frozen=True)
class Plate:
    """A figure with the sentence that tells how to read it."""

    title: str
    svg: Markup
    caption: str

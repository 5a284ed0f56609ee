"""How every figure looks, and how a figure becomes inline SVG."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

# Okabe and Ito's palette, told apart under every common form of colour blindness.
OBSERVED = "#1a1a1a"
MODELLED = "#0072B2"
FIRST_GUESS = "#D55E00"
TRUTH = "#009E73"
FAILED = "#D55E00"
BAND = "#56B4E9"
HOLDOUT = "#ececec"
MUTED = "#6b6b6b"

WIDTH = 9.6  # inches; the page shows it at 1000 px, so 9 pt text is 13 px high

_RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same layout on every machine
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#444444",
    "axes.linewidth": 0.7,
    "axes.unicode_minus": True,
    "axes.formatter.useoffset": False,
    "axes.formatter.use_mathtext": False,
    "text.parse_math": False,  # a dollar sign in the name of a site or parameter is a dollar sign
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.2,
    "svg.fonttype": "none",  # text stays text: it can be selected, searched and read aloud
    "svg.image_inline": True,
    "path.simplify": True,
}


@contextmanager
def report_style() -> Iterator[None]:
    """The report's look, for as long as the block lasts; the user's own settings come back."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_RC)
        yield


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """A figure of the page's width, `height` inches tall, that lays itself out."""
    return Figure(figsize=(width, height), layout="constrained")


def to_svg(figure: Figure, key: str, label: str) -> Markup:
    """The figure as an `<svg>` element to stand inside HTML.

    `key` makes the element's ids unique on the page and its bytes repeatable; `label` is read
    aloud in place of the picture.
    """
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": key}):
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    # A style element inside SVG applies to the whole page; style.css says the same for figures.
    text = re.sub(r"<style[^>]*>.*?</style>", "", text, flags=re.S)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    text = text.replace("xlink:href=", "href=")
    text = _namespace_ids(text, key)
    text = re.sub(r' d="[^"]*"', lambda match: _round(match[0]), text)
    text = re.sub(r">\s+<", ">\n<", text)
    box = re.search(r'viewBox="([^"]*)"', text)
    assert box is not None
    width = round(1000 * figure.get_figwidth() / WIDTH)
    opening = (
        f'<svg viewBox="{box[1]}" style="max-width:{width}px" role="img" '
        f'aria-label="{escape(label)}">'
    )
    return Markup(re.sub(r"^<svg[^>]*>", lambda _: opening, text))


def _namespace_ids(text: str, key: str) -> str:
    """Keep only the ids that something refers to, under this figure's name."""
    used = set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', text))
    names = {first or second for first, second in used}

    def rename(match: re.Match[str]) -> str:
        return f' id="{key}-{match[1]}"' if match[1] in names else ""

    text = re.sub(r'\sid="([^"]+)"', rename, text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{key}-\1)", text)
    return re.sub(r'href="#([^"]+)"', rf'href="#{key}-\1"', text)


def _round(path: str) -> str:
    """Coordinates to a hundredth of a point: a fifth of a pixel in print, half the bytes."""
    return re.sub(r"\s+", " ", re.sub(r"(\.\d\d)\d+", r"\1", path))

"""A scorecard as a coloured matrix: blue is better, orange is worse, hatched is not significant."""

from __future__ import annotations

import math

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from caliche.evaluation.scorecard.card import BETTER, SAME, WORSE, Cell, Scorecard
from caliche.report import style
from caliche.report.plates import Plate
from caliche.report.wording import capital
from caliche.variables import label
from caliche.wording import agree, number_of

# Change of RMSE at which colours are full.
_FULL = 0.3
_LIGHTEST = 0.12
# A ratio of standard deviations that moved away from 1 by more is said.
DAMPED = 0.05


def scorecard_plate(card: Scorecard, against: str) -> Plate:
    """The matrix with its caption."""
    with style.report_style():
        figure = scorecard_figure(card)
        title = f"Scorecard against {against}"
        svg = style.to_svg(figure, "scorecard", f"{title}. {sentences(card, against)[0]}")
    caption = (
        "Change of the RMSE, in per cent of that of the control; negative (blue) is better, orange "
        f"is worse, full colour from {100 * _FULL:.0f} % on. Hatched: not significant, with errors "
        "that last from day to day and the number of cells allowed for."
    )
    return Plate(capital(title), svg, caption)


def scorecard_figure(card: Scorecard) -> Figure:
    """The matrix of the changes, conditions of streams down and sites across."""
    rows, columns = len(card.rows), len(card.columns)
    figure = Figure(figsize=(min(style.WIDTH, 3.4 + 1.0 * columns), 0.7 + 0.26 * rows))
    axes = figure.add_subplot()
    for i, row in enumerate(card.rows):
        for j, column in enumerate(card.columns):
            cell = card.cell(row, column)
            if cell is not None:
                _draw(axes, i, j, cell)
    axes.set_xlim(0, columns)
    axes.set_ylim(rows, 0)
    axes.set_xticks([j + 0.5 for j in range(columns)], card.columns)
    axes.set_yticks([i + 0.5 for i in range(rows)], [row_label(row) for row in card.rows])
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    figure.tight_layout()
    return figure


def _draw(axes, i: int, j: int, cell: Cell) -> None:
    colour = style.MODELLED if cell.change < 0.0 else style.FIRST_GUESS
    size = min(abs(cell.change) / _FULL, 1.0) if math.isfinite(cell.change) else 0.0
    strength = _LIGHTEST + (0.75 - _LIGHTEST) * size
    plain = cell.verdict == SAME
    box = Rectangle(
        (j, i),
        1.0,
        1.0,
        facecolor=colour if cell.change else "white",
        alpha=strength * (0.5 if plain else 1.0),
        edgecolor="white",
        linewidth=1.0,
    )
    axes.add_patch(box)
    if plain:
        hatched = Rectangle(
            (j, i), 1.0, 1.0, fill=False, hatch="////", edgecolor="#b0b0b0", linewidth=0.0
        )
        axes.add_patch(hatched)
    axes.text(
        j + 0.5,
        i + 0.5,
        percent(cell.change),
        ha="center",
        va="center",
        color="white" if strength > 0.5 and not plain else "#1a1a1a",
        fontsize=8.5,
    )


def row_label(row: str) -> str:
    """A row for a reader: "latent heat flux, night"."""
    stream, _, condition = row.rpartition(", ")
    try:
        return f"{label(stream)}, {condition}"
    except (KeyError, ValueError):
        return row


def percent(change: float) -> str:
    """A change as per cent with its sign."""
    return "–" if not math.isfinite(change) else f"{100.0 * change:+.1f}".replace("-", "\u2212")


def sentences(card: Scorecard, against: str) -> list[str]:
    """What the scorecard says, in a few sentences."""
    same = len(card.cells) - card.better - card.worse
    found = [
        f"Of {number_of(len(card.cells), 'cell')}, {card.better} {agree(card.better, 'is', 'are')} "
        f"significantly better than {against}, {card.worse} "
        f"{agree(card.worse, 'is', 'are')} significantly worse, and {same} "
        f"{agree(same, 'is', 'are')} not told apart from chance."
    ]
    found.append(
        f"Each cell is tested at {100.0 * card.level:.2f} %: of all of them {card.independent:.0f} "
        "are independent, and together they have 95 %."
    )
    worse = sorted((c for c in card.cells if c.verdict == WORSE), key=lambda c: -c.change)
    if worse:
        first = worse[0]
        found.append(
            f"The largest loss is {row_label(first.row)} at {first.column}, "
            f"{percent(first.change)} %."
        )
    damped = [c for c in card.cells if c.verdict == BETTER and _damped(c)]
    if damped:
        found.append(
            f"In {len(damped)} of the cells that are better the model varies less than before and "
            "less than what was observed: a smaller RMSE there may be damping, not skill."
        )
    if card.left_out:
        found.append(f"{number_of(card.left_out, 'cell')} of too few days are left out.")
    return found


def _damped(cell: Cell) -> bool:
    """Whether a cell varies less than observed, and less than the control did."""
    return cell.sd_ratio < min(1.0, cell.sd_ratio_control) - DAMPED


def table_rows(card: Scorecard) -> tuple[list[str], list[list[str]]]:
    """Header and rows of all cells, one a line."""
    header = ["stream, condition", "site", "n", "RMSE", "control", "change %", "interval"]
    header += ["sd ratio", "control's", "verdict"]
    rows = [
        [
            c.row,
            c.column,
            str(c.n),
            f"{c.rmse:.3g}",
            f"{c.rmse_control:.3g}",
            percent(c.change),
            f"{percent(c.low)} to {percent(c.high)}",
            f"{c.sd_ratio:.2f}",
            f"{c.sd_ratio_control:.2f}",
            c.verdict,
        ]
        for c in card.cells
    ]
    return header, rows

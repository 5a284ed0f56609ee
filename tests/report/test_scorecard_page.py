"""The page of a scorecard: hatched where chance does it, told in sentences, nothing left out."""

from __future__ import annotations

import numpy as np
import pytest

from caliche.commands.score.page import write_scorecard_page
from caliche.evaluation.scorecard.card import BETTER, SAME, WORSE, Cell, Scorecard
from caliche.report.scorecard import scorecard_figure, sentences, table_rows


def cell(row: str, change: float, verdict: str, ratio: float = 1.0) -> Cell:
    reach = 0.05
    return Cell(
        row,
        "Pines",
        400,
        60,
        10.0 * (1.0 + change),
        10.0,
        change,
        change - reach,
        change + reach,
        ratio,
        1.0,
        verdict,
        2.0,
    )


CARD = Scorecard(
    ("latent_heat_flux, mean", "latent_heat_flux, night", "latent_heat_flux, dry"),
    ("Pines",),
    (
        cell("latent_heat_flux, mean", -0.25, BETTER, ratio=0.7),
        cell("latent_heat_flux, night", 0.1, WORSE),
        cell("latent_heat_flux, dry", -0.02, SAME),
    ),
    2.4,
    0.979,
    left_out=2,
)


def test_what_a_scorecard_says():
    first, second, third, fourth, last = sentences(CARD, "the sum of squares")
    assert first == (
        "Of 3 cells, 1 is significantly better than the sum of squares, 1 is significantly worse, "
        "and 1 is not told apart from chance."
    )
    assert second.startswith("Each cell is tested at 97.90 %")
    assert third == "The largest loss is latent heat flux, night at Pines, +10.0 %."
    assert fourth.startswith("In 1 of the cells that are better the model varies less")
    assert last == "2 cells of too few days are left out."


def test_chance_is_hatched():
    figure = scorecard_figure(CARD)
    hatched = [patch for patch in figure.axes[0].patches if patch.get_hatch()]
    assert len(hatched) == 1
    assert np.allclose(hatched[0].get_xy(), (0.0, 2.0))
    said = [text.get_text() for text in figure.axes[0].texts]
    assert said == ["\u221225.0", "+10.0", "\u22122.0"]


@pytest.mark.drawn
def test_the_page(tmp_path):
    page = write_scorecard_page(tmp_path / "card.html", CARD, "A run", "the sum of squares")
    text = page.read_text(encoding="utf-8")
    assert "Scorecard against the sum of squares" in text
    assert text.count("<tr>") == 4
    assert "latent heat flux, night" in text


def test_the_table_has_every_cell():
    header, rows = table_rows(CARD)
    assert len(header) == len(rows[0])
    assert [row[-1] for row in rows] == ["better", "worse", "not significant"]

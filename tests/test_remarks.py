"""The first line: what is serious in a few words, and one rule for starts that share an optimum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from caliche.remarks import (
    PHRASES,
    SAME_MISFIT,
    Remark,
    as_table,
    ended,
    error_size_remarks,
    from_table,
    headline,
    same_misfit,
    unlike,
)


@dataclass
class Start:
    optimum: int | None


def bound(*names: str) -> list[Remark]:
    return [Remark("bound", f"{name} is at its bound.", True, (name,)) for name in names]


def test_a_first_line_without_remarks():
    assert headline("converged", []) == "converged"
    assert headline("converged", [Remark("starts", "Some ended elsewhere.", False)]) == "converged"


def test_a_first_line_names_what_is_serious():
    worse = Remark("worse-than-mean", "Worse.", True, ("latent_heat_flux",))
    assert headline("converged", [worse, *bound("albedo", "emissivity")]) == (
        "converged, with 2 parameters at their bounds (albedo, emissivity) and 1 stream predicted "
        "worse than its mean (latent_heat_flux)"
    )


def test_a_first_line_counts_the_starts_that_agree():
    starts = [Start(0), Start(0), Start(1), Start(None)]
    assert headline("converged", bound("a"), starts) == (
        "converged, with 1 parameter at its bound (a); 2 of 4 starts reached this optimum"
    )
    assert headline("converged", [], starts[:1]) == "converged"


def test_a_first_line_of_a_run_that_did_not_converge():
    how = ended(False, "stopped at the limit")
    assert headline(how, bound("a"), [Start(0), Start(0)]) == (
        "DID NOT CONVERGE: stopped at the limit; also 1 parameter at its bound (a)"
    )


def test_of_many_names_a_few_are_said():
    text = headline("converged", bound("a", "b", "c", "d", "e"))
    assert text == "converged, with 5 parameters at their bounds (a, b, c, 2 more)"


def test_a_name_counts_once():
    assert headline("converged", [*bound("a"), *bound("a")]).startswith(
        "converged, with 1 parameter at its bound (a)"
    )


@pytest.mark.parametrize("kind", PHRASES)
def test_every_kind_has_words_for_one_and_several(kind):
    one, several = PHRASES[kind]
    assert headline("converged", [Remark(kind, "Text.")]) == f"converged, with {one}"
    remark = Remark(kind, "Text.", True, ("a", "b"))
    assert headline("converged", [remark]) == f"converged, with {several.format(n=2)} (a, b)"


def test_remarks_are_kept_and_read_again():
    remarks = [*bound("a"), Remark("starts", "Elsewhere.", False)]
    table = as_table("converged", remarks)
    assert table["headline"] == "converged, with 1 parameter at its bound (a)"
    assert from_table(table) == tuple(remarks)
    assert from_table(None) == ()


def test_nothing_is_said_twice():
    assert unlike([*bound("a"), *bound("b"), *bound("a")]) == tuple(bound("a", "b"))


def test_half_a_standard_deviation_is_the_same_optimum():
    """At an optimum J rises by half the square of the way in standard deviations."""
    assert SAME_MISFIT == 0.125
    found = same_misfit(np.array([100.0, 100.12, 100.13, 99.9, np.nan, np.inf]), 100.0)
    assert found.tolist() == [True, True, False, True, False, False]


@pytest.mark.parametrize(
    ("factor", "kind", "serious"),
    [
        (60.0, "errors-too-small", True),
        (2.5, "errors-too-small", False),
        (1.9, None, None),
        (1.0, None, None),
        (0.4, None, None),
        (0.2, "errors-too-large", False),
        (0.01, "errors-too-large", True),
    ],
)
def test_errors_of_another_size_than_declared(factor, kind, serious):
    found = error_size_remarks("wind_speed", "wind speed", factor, "residuals")
    assert [(r.kind, r.serious, r.about) for r in found] == (
        [] if kind is None else [(kind, serious, ("wind_speed",))]
    )
    assert all(f"{factor:g}" in r.sentence for r in found)

"""The reference pages are those of today's declarations."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from caliche.cards import methods
from caliche.cards.methods import MethodCard, register

SCRIPT = Path(__file__).parents[2] / "scripts" / "reference.py"


@pytest.fixture(scope="module")
def reference():
    spec = importlib.util.spec_from_file_location("reference", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["configuration.md", "methods.md"])
def test_the_page_is_made_from_the_declarations(reference, name):
    page = (reference.DOCS / name).read_text(encoding="utf-8")
    assert page == reference.PAGES[name](), "run `python scripts/reference.py --write`"


def test_a_method_of_ones_own_is_one_card(reference, monkeypatch):
    monkeypatch.setattr(methods, "MEMBER_METHODS", dict(methods.MEMBER_METHODS))
    monkeypatch.setattr(reference, "MEMBER_METHODS", methods.MEMBER_METHODS)

    def made(width: float = 2.0):
        """Made up.

        width : of a step.
        """

    register(MethodCard("walk", "Walk", "walking", made, "search", "Never."))
    page = reference.methods()
    assert "## walk\n\nWalking. Never.\n" in page
    assert "| `width` | `2` | Of a step |" in page
    assert '`"walk"`' in reference.configuration()

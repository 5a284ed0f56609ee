"""The [method] table: a method, its starts, seed and options."""

from __future__ import annotations

from typing import Any

from caliche.cards.methods import METHODS, MethodCard, card_of, method_names
from caliche.errors import InputError, nearest
from caliche.experiments.config.section import Section
from caliche.experiments.config.tables import MethodConfig


def parse_method(section: Section) -> MethodConfig:
    name = section.choice("name", method_names(), "lm")
    starts = section.positive("starts", int, 1)
    config = MethodConfig(
        name, starts, parse_seed(section), method_options(section.section("options", {}), name)
    )
    section.finish()
    return config


def method_options(section: Section, method: str) -> dict[str, Any]:
    """Options of a method, which are those that its maker takes, and of the same kind."""
    card = known_method(method)
    read = section.positive if method in METHODS else section.get  # the others check their own
    options = {key: read(key, type(default), default) for key, default in card.options.items()}
    section.finish()
    given = {key: options[key] for key in options if key in section.table}
    if method not in METHODS:
        card(**given)
    return given


def parse_seed(section: Section) -> int:
    seed = section.get("seed", int, 0)
    if seed < 0:
        raise InputError(f"a seed in {section.where} of 0 or more", f"{seed}", "seed = 0")
    return seed


def known_method(name: str) -> MethodCard:
    """The card of a method.

    Raises
    ------
    InputError : there is none of that name.
    """
    card, known = card_of(name), method_names()
    if card is None:
        raise InputError(
            f"a method that is one of {', '.join(known)}", repr(name), nearest(name, known)
        )
    return card

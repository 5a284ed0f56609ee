"""The [method] table: a method, its starts, seed and options."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from caliche.cards.methods import METHODS, MethodCard, card_of, method_names
from caliche.errors import InputError, nearest
from caliche.experiments.config.tables import MethodConfig
from caliche.keys.declare import key
from caliche.keys.read import inside, read

# Members, iterations and the like are at most so many.
MOST = 1_000_000


def option_tables(names: Iterable[str]) -> dict[str, type]:
    """The table of options of each method."""
    return {name: options_form(known_method(name)) for name in names}


@dataclass(frozen=True, kw_only=True)
class MethodTable:
    """The method of estimation."""

    name: str = key("name of the method, see docs/methods.md", "lm", choices=method_names)
    starts: int = key("number of first guesses to start from", 1, above=0, most=100_000)
    seed: int = key("random seed of first guesses and members", 0, least=0, most=2**32 - 1)
    options: Mapping[str, Any] = key(
        "options of the method, see docs/methods.md", {}, by=lambda: option_tables(method_names())
    )


def make_method(table: MethodTable, where: str) -> MethodConfig:
    """The method, its options checked."""
    options = method_options(table.options, table.name, inside(where, "options"))
    return MethodConfig(table.name, table.starts, table.seed, options)


def options_form(card: MethodCard) -> type:
    """The options of a method as a table: those that its maker takes, of the same types."""
    return _form(card.name, tuple(card.options.items()), card.name in METHODS)


@functools.cache
def _form(name: str, options: tuple[tuple[str, Any], ...], positive: bool) -> type:
    above = 0 if positive else None  # the others check their own
    fields = [
        (k, type(v), key("", v, above=above, most=MOST if type(v) is int else None))
        for k, v in options
    ]
    doc = {"__doc__": f"Options of {name}."}
    return dataclasses.make_dataclass(f"Options-{name}", fields, namespace=doc)


def method_options(table: Mapping[str, Any], method: str, where: str) -> dict[str, Any]:
    """Options of a method that are given in a table, checked.

    Raises
    ------
    InputError : an unknown method; an option that it does not have, or that cannot be.
    """
    card = known_method(method)
    options = read(options_form(card), table, where)
    given = {name: getattr(options, name) for name in card.options if name in table}
    if method not in METHODS:
        card(**given)
    return given


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

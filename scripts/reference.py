"""The reference pages, from the declarations that read files: all keys, and all methods.

python scripts/reference.py            # prints them
python scripts/reference.py --write    # puts them into docs/configuration.md and docs/methods.md
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

from caliche.cards.methods import MEMBER_METHODS, METHODS, MethodCard
from caliche.commands.command import load
from caliche.commands.schema.run import TABLES
from caliche.keys.declare import (
    REQUIRED,
    Declared,
    alternatives,
    elements,
    forms_of,
    is_list,
    is_mapping,
    keys_of,
    words_of,
)

DOCS = Path(__file__).parents[1] / "docs"
MADE = "<!-- made by scripts/reference.py from the declarations in the code -->"
# "name, other : words." in a docstring, at the start of a line or after two spaces.
NAMED = r"(?:^|\n|  )((?:\w+, )*\w+) : "
# What options are that every method of a kind has.
COMMON = {
    "max_iterations": "Iterations at most",
    "failures": "What becomes of members that fail: dropped, redrawn, or a stop",
}
DESCENT = {
    "tolerance": "Converged when the step still to go is below so many posterior sd",
    "learning_rate": "Learning rate at the start",
}
PARAMETERS = 5  # for which the cost of a method is said
FILES = {
    "experiment": "An experiment: `caliche estimate FILE` and most other commands",
    "drive": "A program as the model: `caliche drive FILE`",
    "joint": "Several sites together: `caliche joint FILE`",
    "callmip": "An entry to CalLMIP: `caliche callmip run FOLDER`",
}
KINDS = {
    float: "number",
    int: "whole number",
    str: "text",
    bool: "true or false",
    Path: "text",
    datetime: "date and time",
    Any: "any",
}
PLURALS = {float: "numbers", int: "whole numbers", str: "texts", datetime: "dates and times"}


def configuration() -> str:
    """The page of all keys."""
    lines = [
        "# Configuration",
        "",
        MADE,
        "",
        "Every key of every TOML file that caliche reads. A key without a default has to be given; "
        "`-` as a default means",
        "that nothing is assumed. Unknown keys are refused. `caliche schema > caliche.schema.json` "
        "writes the same for editors;",
        "`caliche init FILE` writes an experiment to fill in; `--set table.key=value` overrides a "
        "key on the command line.",
    ]
    for kind, place in TABLES.items():
        lines += ["", f"## {FILES.get(kind, kind)}"]
        shown: dict[str, set[str]] = {}
        for path, form in tables(load(place)):
            before = shown.setdefault(path, set())
            rows = [row(said) for said in keys_of(form).values()]
            more = [one for one in rows if one not in before]
            if not more:
                continue
            lines += ["", f"### {path}{', otherwise' if before else ''}", "", sentence(form), ""]
            if len(more) < len(rows):
                lines += ["The keys above, and:", ""] if before < set(rows) else []
            lines += ["| key | type | default | what it is |", "|---|---|---|---|", *more]
            before.update(rows)
    return "\n".join(lines) + "\n"


def tables(form: type, path: tuple[str, ...] = ()) -> Iterator[tuple[str, type]]:
    """A table and those in it: where each stands, and what declares it."""
    yield f"`[{'.'.join(path)}]`" if path else "At the top", form
    for said in keys_of(form).values():
        inner = [(option, (*path, said.name)) for option in forms_of(said.hint, said.key)]
        if is_mapping(said.hint):
            names = alternatives(get_args(said.hint)[1])
            inner = [(option, (*path, said.name, "NAME")) for option in names]
        elif is_list(said.hint):
            inner = [(elements(said.hint)[0], (*path, said.name))]
        inner = [(option, at) for option, at in inner if dataclasses.is_dataclass(option)]
        for option, at in inner:
            yield from tables(option, at)  # type: ignore[arg-type]


def sentence(form: type) -> str:
    """What a table is: the first paragraph of its docstring."""
    return " ".join((inspect.getdoc(form) or "").partition("\n\n")[0].split())


def row(said: Declared) -> str:
    """The row of a key."""
    name = "any other name" if said.key.rest else f"`{said.name}`"
    words = said.key.words[:1].upper() + said.key.words[1:]
    cells = [name, kind_of(said), default_of(said), words]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def kind_of(said: Declared) -> str:
    """The type of a key in words, with its unit, range and choices."""
    kinds = " or ".join(dict.fromkeys(one_kind(o, said) for o in forms_of(said.hint, said.key)))
    unit, range_ = said.key.unit, said.key.range
    if unit and not range_.endswith(f" {unit}"):
        kinds += f" ({unit})"
    return f"{kinds}, {range_}" if range_ else kinds


def one_kind(hint: Any, said: Declared) -> str:
    """A type in words."""
    if dataclasses.is_dataclass(hint):
        return "table"
    if is_mapping(hint):
        options = alternatives(get_args(hint)[1])
        if options == (Any,):
            return "table"
        inner = " or ".join(dict.fromkeys(one_kind(option, said) for option in options))
        return inner if said.key.rest else f"{inner} by name"
    if is_list(hint):
        inner, count = elements(hint)
        if dataclasses.is_dataclass(inner):
            return "list of tables"
        words = " and ".join(PLURALS[option] for option in alternatives(inner))
        return f"{count} {words}" if count else f"list of {words}"
    allowed = words_of(hint) or (said.key.allowed if hint is str else ())
    if allowed:
        return ", ".join(f'`"{word}"`' for word in allowed)
    return KINDS[hint]


def default_of(said: Declared) -> str:
    """The default of a key as it is written in TOML, empty where it has to be given."""
    if said.default is REQUIRED:
        return ""
    if said.default in (None, {}, ()):
        return "-"
    return f"`{in_toml(said.default)}`"


def in_toml(value: Any) -> str:
    """A value as it is written in TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return f"[{', '.join(map(in_toml, value))}]"
    return f"{value:g}"


def methods() -> str:
    """The page of all methods."""
    lines = [
        "# Methods",
        "",
        MADE,
        "",
        "What `caliche estimate --method NAME` and `[method] name` know. Options stand in "
        "`[method.options]`, or",
        "`--set method.options.NAME=VALUE`. Model runs are rough, for "
        f"{PARAMETERS} parameters and one start; a tangent counts as a",
        "run. How they compare on towers and twins: [results/methods.md](results/methods.md); "
        "without gradients: [ensemble.md](ensemble.md).",
        "",
        "| name | method | by | model runs |",
        "|---|---|---|---|",
    ]
    cards = [*METHODS.values(), *MEMBER_METHODS.values()]
    kinds = {"descent": "gradients", "ensemble": "an ensemble", "search": "a search"}
    for card in cards:
        runs = card.runs(PARAMETERS, {})
        lines.append(f"| `{card.name}` | {card.label} | {kinds[card.kind]} | {runs} |")
    for card in cards:
        lines += ["", *method(card)]
    return "\n".join(lines) + "\n"


def method(card: MethodCard) -> list[str]:
    """The section of a method."""
    words = card.words[:1].upper() + card.words[1:]
    lines = [f"## {card.name}", "", f"{words}. {card.when}"]
    told = option_words(card)
    lines += ["", "| option | default | what it is |", "|---|---|---|"]
    for name, value in card.options.items():
        lines.append(f"| `{name}` | `{in_toml(value)}` | {told.get(name, '')} |")
    return lines


def option_words(card: MethodCard) -> dict[str, str]:
    """What the docstrings of a method, and of what it is made from, say of its options."""
    made = card._made_by()
    found = {**COMMON, **(DESCENT if card.kind == "descent" else {})}
    for origin in reversed(made.__mro__[:-1] if inspect.isclass(made) else (made,)):
        for paragraph in inspect.cleandoc(origin.__doc__ or "").split("\n\n"):
            _, *parts = re.split(NAMED, paragraph)
            for names, words in zip(parts[::2], parts[1::2], strict=True):
                said = " ".join(words.split()).rstrip(".")
                found |= dict.fromkeys(names.split(", "), said[:1].upper() + said[1:])
    return found


PAGES = {"configuration.md": configuration, "methods.md": methods}


if __name__ == "__main__":
    for name, page in PAGES.items():
        if "--write" in sys.argv[1:]:
            (DOCS / name).write_text(page(), encoding="utf-8")
        else:
            print(page())

"""A table of TOML read into its dataclass: every key accounted for, every error with its place."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any, TypeVar, get_args

from caliche.errors import InputError, nearest
from caliche.keys.declare import (
    REQUIRED,
    Declared,
    alternatives,
    elements,
    is_list,
    is_mapping,
    keys_of,
    tables_of,
    words_of,
)

Table = TypeVar("Table")
# Kinds of TOML: in the singular, in the plural, and an example.
_KINDS: dict[Any, tuple[str, str, str]] = {
    float: ("a number", "numbers", "NUMBER"),
    int: ("a whole number", "whole numbers", "WHOLE NUMBER"),
    str: ("text", "texts", '"TEXT"'),
    bool: ("true or false", "true or false", "true"),
    datetime: ("a date and time", "dates and times", "2024-06-01T00:00:00"),
    list: ("a list", "lists", "[NUMBER, NUMBER]"),
    dict: ("a table", "tables", "{}"),
}
_COUNTS = {2: "two", 3: "three"}
# No number of a configuration is beyond these, whatever its unit: arithmetic ends not much further.
LARGEST, SMALLEST, MOST_WHOLE = 1e30, 1e-30, 10**9
YEARS = (1800, 2200)


def read(form: type[Table], table: Mapping[str, Any], where: str) -> Table:
    """A table as the dataclass that declares its keys.

    Parameters
    ----------
    form : a dataclass whose fields are made by `caliche.keys.declare.key`. If it has a method
        `check(where)`, that is asked when all keys are read.
    where : the place of the table for error messages, such as "tower.toml, [window]".

    Raises
    ------
    InputError : a key that is unknown, missing, of a wrong type or out of its range.
    """
    return _read(form, table, where, form)


def _read(form: Any, table: Mapping[str, Any], where: str, whole: Any) -> Any:
    """See `read`; `whole` declares all of the file, where a misplaced key may belong."""
    known = keys_of(form)
    rest = next((said for said in known.values() if said.key.rest), None)
    others = [name for name in table if name not in known or known[name] is rest]
    if rest is not None:
        table = {
            **{k: v for k, v in table.items() if k not in others},
            rest.name: {name: table[name] for name in others},
        }
    else:
        for name in others:
            raise InputError(f"a known key in {where}", repr(name), _meant(name, known, whole))
    values = {said.field: _read_key(said, table, where, whole) for said in known.values()}
    made = form(**values)
    check = getattr(made, "check", None)
    if check is not None:
        check(where)
    return made


def inside(where: str, name: str) -> str:
    """The place of the table under a key; a key with dots stands in quotes, as in TOML."""
    name = f'"{name}"' if "." in name else name
    return f"{where.removesuffix(']')}{'.' if '[' in where else ', ['}{name}]"


def _meant(name: str, known: Mapping[str, Declared], whole: Any) -> str:
    """What to do about an unknown key: the table that has it, or the known keys closest to it."""
    homes = dict.fromkeys(path for path, form in tables_of(whole) if name in keys_of(form))
    if not homes:
        return nearest(name, known)
    close = nearest(name, known, 0.8)
    move = "move it to " + " or ".join(f"[{h}]" if h else "the top of the file" for h in homes)
    return f"{move}; {close}" if close.endswith("?") else move


def _read_key(said: Declared, table: Mapping[str, Any], where: str, whole: Any) -> Any:
    place = _Place(said, said.name, where, table, whole)
    if said.name in table:
        return place.value(said.hint, table[said.name])
    if said.default is REQUIRED:
        line = place.line(place.kind(alternatives(said.hint)[0]))
        raise InputError(f"{said.name} in {where}", "nothing", f"add {line}")
    if said.default == {} and any(map(dataclasses.is_dataclass, alternatives(said.hint))):
        return place.value(said.hint, {})
    return said.default


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where a value stands: what is declared of it, its name, its table, that table's place, and
    what declares the whole file."""

    said: Declared
    name: str
    where: str
    table: Mapping[str, Any]
    whole: Any

    def kind(self, hint: Any) -> Any:
        """The kind of TOML that a type is written as."""
        if dataclasses.is_dataclass(hint) or is_mapping(hint):
            return dict
        if is_list(hint):
            return list
        if words_of(hint) or hint is Path:
            return str
        return hint

    def line(self, kind: Any) -> str:
        """What to write in TOML."""
        if kind is dict:
            return f"the table [{inside(self.where, self.name).partition('[')[2]}"
        return f"{self.name} = {self.said.key.example or _KINDS[kind][2]}"

    def value(self, hint: Any, value: Any) -> Any:
        """A value of TOML as the type that is declared."""
        options = alternatives(hint)
        chooser, forms = self.said.key.chooser, self.said.key.forms
        if forms is not None and isinstance(value, Mapping):
            where, known = inside(self.where, self.name), forms()
            name = value.get("name", next(iter(known)))
            if name not in known:
                raise InputError(
                    f"name in {where} to be one of {', '.join(known)}",
                    repr(name),
                    nearest(str(name), known),
                )
            return _read(known[name], value, where, self.whole)
        if (
            chooser is not None
            and isinstance(value, Mapping)
            and dataclasses.is_dataclass(options[0])
        ):
            form = chooser(value, self.table)
            return _read(form, value, inside(self.where, self.name), self.whole)
        fits = [o for o in options if _fits(value, self.kind(o))]
        option = (fits or options)[0]
        kind = self.kind(option)
        if option is Any:
            return value
        if not fits:
            noun = self.said.key.noun if len(options) > 1 else ""
            named = f"{noun or _KINDS[kind][0]} for {self.name} in {self.where}"
            raise InputError(named, repr(value), f"write {self.line(kind)}")
        if dataclasses.is_dataclass(option):
            return _read(option, value, inside(self.where, self.name), self.whole)
        if is_mapping(option):
            return self.mapping(get_args(option)[1], value)
        if is_list(option):
            return self.list(option, value)  # type: ignore[arg-type]
        return self.scalar(option, kind, value)

    def mapping(self, hint: Any, value: Mapping[str, Any]) -> dict[str, Any]:
        """A table whose keys are names of any kind."""
        where, found = inside(self.where, self.name), {}
        for name, inner in value.items():
            if self.said.key.names is not None:
                self.said.key.names(name)
            found[name] = _Place(self.said, name, where, value, self.whole).value(hint, inner)
        return found

    def list(self, hint: Any, values: list[Any]) -> tuple[Any, ...]:
        """A list, all of whose elements are of the declared type."""
        inner, count = elements(hint)
        said, options = self.said.key, alternatives(inner)
        if dataclasses.is_dataclass(inner):
            return self.tables(inner, values)
        kinds = [self.kind(option) for option in options]
        noun = said.noun or _KINDS[kinds[0]][1]
        sound = [
            any(_fits(v, kind) for kind in kinds)
            and (not isinstance(v, float) or math.isfinite(v) or (said.gaps and math.isnan(v)))
            for v in values
        ]
        if count is not None and (len(values) != count or not all(sound)):
            wanted = f"{_COUNTS.get(count, str(count))} {noun}"
            example = said.example or "[NUMBER, NUMBER]"
            raise InputError(
                f"{wanted} for {self.name} in {self.where}",
                repr(values),
                f"write {self.name} = {example}",
            )
        if not all(sound):
            finite = "finite " if kinds[0] is float and not said.noun else ""
            example = said.example or f"[{_KINDS[kinds[0]][2]}]"
            if kinds[0] is float and not said.example:
                example = _KINDS[list][2]
            raise InputError(
                f"{finite}{noun} for {self.name} in {self.where}",
                repr(values),
                f"write {self.name} = {example}",
            )
        return tuple(v if v != v else self.value(inner, v) for v in values)  # NaN is itself

    def tables(self, form: Any, values: list[Any]) -> tuple[Any, ...]:
        """An array of tables."""
        found = []
        for number, table in enumerate(values, 1):
            where = f"{self.where}, {self.name} number {number}"
            if not isinstance(table, Mapping):
                example = self.said.key.example
                raise InputError(
                    f"a table for {where}", repr(table), f"write [[{self.name}]] with {example}"
                )
            found.append(_read(form, table, where, self.whole))
        return tuple(found)

    def moment(self, value: date) -> datetime:
        """A date and time, of a year that data can have."""
        if not YEARS[0] <= value.year <= YEARS[1]:
            raise InputError(
                f"a date from {YEARS[0]} to {YEARS[1]} for {self.name} in {self.where}",
                value.isoformat(),
                f"write {self.line(datetime)}",
            )
        whole = isinstance(value, datetime)
        return value if whole else datetime(value.year, value.month, value.day)

    def number(self, option: Any, value: float) -> float:
        """A number that is finite and that computations can hold."""
        said, correct = f"{self.name} in {self.where}", "leave it out or correct it"
        if option is float and not abs(value) <= LARGEST:
            if isinstance(value, float) and not math.isfinite(value):
                raise InputError(f"a finite number for {said}", str(value), correct)
            raise InputError(f"a number of at most {LARGEST:g} for {said}", _short(value), correct)
        if option is float and 0.0 < abs(value) < SMALLEST:
            raise InputError(f"0 or a number above {SMALLEST:g} for {said}", f"{value:g}", correct)
        most = MOST_WHOLE if self.said.key.most is None else self.said.key.most
        if option is int and not abs(value) <= most:
            raise InputError(
                f"a whole number of at most {most:g} for {said}", _short(value), correct
            )
        return float(value) if option is float else value

    def scalar(self, option: Any, kind: Any, value: Any) -> Any:
        """A number, text, truth or time."""
        said = self.said.key
        if option is datetime:
            return self.moment(value)
        if option in (int, float):
            value = self.number(option, value)
        if option in (int, float) and said.checked and not said.holds(value):
            raise InputError(
                f"{_KINDS[kind][0]} {said.range} for {self.name} in {self.where}",
                f"{value:g}",
                f"write {self.line(kind)}",
            )
        allowed = (said.allowed or words_of(option)) if kind is str else ()
        if allowed and said.checked and value not in allowed:
            raise InputError(
                f"{self.name} in {self.where} to be one of {', '.join(allowed)}",
                repr(value),
                nearest(value, allowed),
            )
        return Path(value) if option is Path else value


def _short(value: float) -> str:
    """A number as it is said: a whole one of many digits by how many it has."""
    text = str(value)
    return text if len(text) < 30 else f"one of {len(text)} digits"


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value of TOML is of a kind; true and false are no numbers."""
    if kind is Any:
        return True
    if isinstance(value, bool):
        return kind is bool
    if kind is float:
        return isinstance(value, int | float)
    if kind is datetime:
        return isinstance(value, date)
    if kind is dict:
        return isinstance(value, Mapping)
    return isinstance(value, kind)

"""Reading one table of a TOML file: every key accounted for, every error with its place."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from caliche.errors import InputError, nearest

_MISSING = object()
_NAMES = {
    float: "a number",
    int: "a whole number",
    str: "text",
    bool: "true or false",
    list: "a list",
    dict: "a table",
    datetime: "a date and time",
}
_EXAMPLES = {
    float: "NUMBER",
    int: "WHOLE NUMBER",
    str: '"TEXT"',
    bool: "true",
    list: "[NUMBER, NUMBER]",
    datetime: "2024-06-01T00:00:00",
}


class Section:
    """One table of a configuration, read key by key; `finish` refuses what nobody read.

    Parameters
    ----------
    table : the table.
    where : its place for error messages, such as "tower.toml, [window]".
    """

    def __init__(self, table: Mapping[str, Any], where: str) -> None:
        self.table, self.where = table, where
        self._known: set[str] = set()

    def get(self, key: str, kind: type, default: Any = _MISSING) -> Any:
        """Value of a key, checked to be of a kind; an InputError if missing without a default."""
        self._known.add(key)
        if key not in self.table:
            if default is _MISSING:
                raise InputError(
                    f"{key} in {self.where}", "nothing", f"add {self._line(key, kind)}"
                )
            return default
        value = self.table[key]
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if kind is datetime and isinstance(value, date) and not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise InputError(
                f"{_NAMES[kind]} for {key} in {self.where}",
                repr(value),
                f"write {self._line(key, kind)}",
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(
                f"a finite number for {key} in {self.where}",
                f"{value}",
                "leave it out or correct it",
            )
        return value

    def positive(self, key: str, kind: type, default: Any = _MISSING) -> Any:
        """A number above zero, or the default."""
        value = self.get(key, kind, default)
        if value is not None and not value > 0:
            raise InputError(
                f"{_NAMES[kind]} above 0 for {key} in {self.where}",
                f"{value:g}",
                f"write {self._line(key, kind)}",
            )
        return value

    def choice(self, key: str, allowed: tuple[str, ...], default: str) -> Any:
        """Text that is one of `allowed`."""
        value = self.get(key, str, default)
        if value not in allowed:
            raise InputError(
                f"{key} in {self.where} to be one of {', '.join(allowed)}",
                repr(value),
                nearest(value, allowed),
            )
        return value

    def numbers(self, key: str, default: tuple[float, ...] = ()) -> tuple[float, ...]:
        """A list of numbers."""
        values = self.get(key, list, list(default))
        kinds = int | float
        if not all(
            isinstance(v, kinds) and not isinstance(v, bool) and math.isfinite(v) for v in values
        ):
            raise InputError(
                f"finite numbers for {key} in {self.where}",
                repr(values),
                f"write {self._line(key, list)}",
            )
        return tuple(float(v) for v in values)

    def whole_numbers(self, key: str, default: list[int] | None) -> list[int] | None:
        """A list of whole numbers, or the default."""
        values = self.get(key, list, default)
        if not all(isinstance(v, int) and not isinstance(v, bool) for v in values or []):
            raise InputError(
                f"whole numbers for {key} in {self.where}", repr(values), f"write {key} = [0, 1]"
            )
        return values

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts, empty if the key is missing."""
        values = self.get(key, list, [])
        if not all(isinstance(v, str) for v in values):
            raise InputError(
                f"texts for {key} in {self.where}", repr(values), f'write {key} = ["TEXT"]'
            )
        return tuple(values)

    def marks(self, key: str) -> tuple[float | str, ...]:
        """A list of numbers and texts, empty if the key is missing."""
        texts = tuple(v for v in self.get(key, list, []) if isinstance(v, str))
        numbers = [v for v in self.get(key, list, []) if not isinstance(v, str)]
        return texts + Section({**self.table, key: numbers}, self.where).numbers(key)

    def section(self, key: str, default: Mapping[str, Any] | None = None) -> Section:
        """The table under a key."""
        table = self.get(key, dict, _MISSING if default is None else default)
        return Section(table, self._place(key))

    def sections(self, key: str) -> dict[str, Section]:
        """The tables under a table, by name; none if the key is missing."""
        outer = self.section(key, {})
        return {name: outer.section(name) for name in outer.table}

    def finish(self) -> None:
        """Refuse keys that mean nothing here: an option is never ignored silently."""
        for key in self.table:
            if key not in self._known:
                raise InputError(
                    f"a known key in {self.where}", repr(key), nearest(key, self._known)
                )

    def _line(self, key: str, kind: type) -> str:
        """What to write in TOML for a key of a kind."""
        if kind is dict:
            return f"the table [{self._place(key).partition('[')[2]}"
        return f"{key} = {_EXAMPLES[kind]}"

    def _place(self, key: str) -> str:
        """The place of the table under a key; a key with dots stands in quotes, as in TOML."""
        key = f'"{key}"' if "." in key else key
        return f"{self.where.removesuffix(']')}{'.' if '[' in self.where else ', ['}{key}]"

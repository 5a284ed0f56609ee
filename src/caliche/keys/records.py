"""What a command found, as JSON: one dataclass declares it, is written, and is what a reader gets.

A file of a finished run is input like any other: it may be cut short, edited, or written by another
version. What cannot be read is one sentence that names the file and the place in it. Keys that are
not declared are left alone, since a later version may have written them; a key with a default may
be missing or null.

A number that is not finite is null in JSON, and NaN where a field is a `float`.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NewType, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

from caliche.errors import InputError
from caliche.keys.declare import alternatives, elements, is_list, is_mapping, words_of
from caliche.wording import number_of

Record = TypeVar("Record")
OMITTED = {"omit": True}  # metadata of a field that is not written where it is its default
Known = NewType("Known", float)  # a number that must be finite
LONGEST = 60  # characters of a wrong value that are shown
_LARGEST = 2**63  # of a whole number
# Kinds of JSON, in words.
_NOUNS: Mapping[Any, str] = {
    float: "a number",
    int: "a whole number",
    str: "text",
    bool: "true or false",
    list: "a list",
    dict: "a table",
}


class Mismatch(ValueError):
    """Parts of a record that contradict each other; raised by its `check()`.

    expected : what the parts should be, without the name of the file.  got : what they are.
    """

    def __init__(self, expected: str, got: str) -> None:
        self.expected, self.got = expected, got
        super().__init__(f"{expected}: {got}")


def to_json(value: Any) -> Any:
    """A record as tables, lists, texts and numbers; what is not finite becomes None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.metadata.get("name", field.name): to_json(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if not (field.metadata.get("omit") and getattr(value, field.name) == field.default)
        }
    if isinstance(value, Mapping):
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def json_text(made: Any) -> str:
    """A record, or a table, as the text of a file."""
    return json.dumps(to_json(made), indent=1, allow_nan=False) + "\n"


def as_kept(made: Record) -> Record:
    """The record as it is read again from what is written of it."""
    return from_json(type(made), to_json(made))


def from_json(form: type[Record], table: Any) -> Record:
    """A table of JSON as the dataclass that declares it.

    Raises
    ------
    Mismatch : a value that is missing, of a wrong kind, or contradicts another.
    """
    return _value(form, table, "")


def read_table(path: Path, remedy: str, gaps: bool = False) -> dict[str, Any]:
    """The table in a JSON file.

    Parameters
    ----------
    remedy : what to do about a file that is damaged; begins with a verb.
    gaps : whether NaN and Infinity, which are not JSON, may stand for numbers.

    Raises
    ------
    InputError : a file that is missing or cannot be read, or holds something else.
    """
    found = read_text(path, remedy)
    try:
        value = json.loads(
            found, parse_constant=float if gaps else _refuse, parse_float=float if gaps else _finite
        )
    except (ValueError, RecursionError) as error:
        told = _told(error) if found.strip() else "an empty file"
        raise InputError(f"a {path.name} that can be read", f"{told}, in {path}", remedy) from None
    if not isinstance(value, dict):
        raise InputError(f"a table in {path.name}", f"{shown(value)}, in {path}", remedy)
    return value


def read_text(path: Path, remedy: str) -> str:
    """The text of a file.

    Raises
    ------
    InputError : a file that is missing, cannot be read, or is not text.
    """
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        raise InputError(f"the file {path}", "no such file", remedy) from None
    except OSError as error:
        raise InputError(f"a file {path} that can be read", _told(error), remedy) from None
    except UnicodeDecodeError:
        raise InputError("text that can be read", f"other bytes, in {path}", remedy) from None


def read_record(form: type[Record], path: Path, remedy: str, gaps: bool = False) -> Record:
    """The record in a JSON file; see `read_table`."""
    return checked(form, read_table(path, remedy, gaps), path, remedy)


def read_checked(form: type[Any], path: Path, remedy: str, gaps: bool = False) -> dict[str, Any]:
    """The table in a JSON file with the keys that `form` declares, and their defaults."""
    return to_json(read_record(form, path, remedy, gaps))


def checked(form: type[Record], table: Any, path: Path, remedy: str) -> Record:
    """A table that was read from a file as the dataclass that declares it.

    Raises
    ------
    InputError : see `from_json`.
    """
    try:
        return from_json(form, table)
    except Mismatch as wrong:
        raise InputError(
            f"{wrong.expected} in {path.name}", f"{wrong.got}, in {path}", remedy
        ) from None


def shown(value: Any) -> str:
    """A wrong value, shortened."""
    if isinstance(value, int) and abs(value) >= _LARGEST:
        return "a number that is too large"
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word}, which is no number")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse(text)


def _told(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return "tables inside tables without end"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return str(error).partition(";")[0]


@functools.cache
def _fields(form: Any) -> tuple[tuple[str, str, Any, Callable[[], Any] | None], ...]:
    """Every field: its name, that of its key, its type and its default, None where it has none."""
    hints, found = get_type_hints(form), []
    for field in dataclasses.fields(form):
        name = field.metadata.get("name", field.name)
        make: Callable[[], Any] | None = None
        if field.default is not dataclasses.MISSING:
            make = functools.partial(_same, field.default)
        elif field.default_factory is not dataclasses.MISSING:
            make = field.default_factory
        found.append((field.name, name, hints[field.name], make))
    return tuple(found)


def _same(value: Any) -> Any:
    return value


def _record(form: Any, table: Any, at: str) -> Any:
    values = {}
    for field, name, hint, default in _fields(form):
        value, inside = table.get(name), f"{at}.{name}" if at else name
        if value is None and default is not None and not (name in table and _none(hint)):
            values[field] = default()
        elif name not in table:
            raise Mismatch(repr(inside), "nothing")
        else:
            values[field] = _value(hint, value, inside)
    made = form(**values)
    check = getattr(made, "check", None)
    if check is not None:
        try:
            check()
        except Mismatch as wrong:
            inside = f" ({at})" if at else ""
            raise Mismatch(f"{wrong.expected}{inside}", wrong.got) from None
    return made


def _none(hint: Any) -> bool:
    """Whether a value of this type can be None."""
    union = get_origin(hint) in (Union, types.UnionType)
    return hint is Any or (union and type(None) in get_args(hint))


def _value(hint: Any, value: Any, at: str) -> Any:
    """A value of JSON as a declared type."""
    if hint is Any or (value is None and _none(hint)):
        return value
    options = alternatives(hint)
    if value is None and float in options:
        return math.nan
    fitting = [option for option in options if _fits(option, value)]
    if not fitting:
        nouns = " or ".join(dict.fromkeys(_NOUNS[_kind(option)] for option in options))
        raise Mismatch(f"{nouns}{f' for {at!r}' if at else ''}", _got(value))
    return _made(fitting[0], value, at)


def _made(option: Any, value: Any, at: str) -> Any:
    if dataclasses.is_dataclass(option):
        return _record(option, value, at)
    if is_mapping(option):
        key, inner = get_args(option)
        if wrong := [name for name in value if words_of(key) and name not in words_of(key)]:
            raise Mismatch(f"keys of {at!r} of {', '.join(words_of(key))}", repr(wrong[0]))
        return {name: _value(inner, item, f"{at}.{name}") for name, item in value.items()}
    if is_list(option):
        inner, count = elements(option)
        if count is not None and len(value) != count:
            raise Mismatch(f"{number_of(count, 'value')} for {at!r}", f"{len(value)}")
        return tuple(_value(inner, item, f"{at}, entry {k}") for k, item in enumerate(value))
    allowed = words_of(option)
    if allowed and value not in allowed:
        raise Mismatch(f"{at!r} to be one of {', '.join(map(str, allowed))}", shown(value))
    return float(value) if option in (float, Known) else value


def _got(value: Any) -> str:
    return "null" if value is None else shown(value)


def _kind(option: Any) -> Any:
    """The kind of JSON that a type is written as."""
    if option is Known:
        return float
    if dataclasses.is_dataclass(option) or is_mapping(option):
        return dict
    if is_list(option):
        return list
    return str if words_of(option) else option


def _fits(option: Any, value: Any) -> bool:
    """Whether a value of JSON is of the kind that a type is written as."""
    kind = _kind(option)
    if kind is Any:
        return True
    if isinstance(value, bool):
        return kind is bool
    if kind is list:
        return isinstance(value, list | tuple)
    if kind in (int, float) and isinstance(value, int):
        return abs(value) < _LARGEST
    return isinstance(value, kind)

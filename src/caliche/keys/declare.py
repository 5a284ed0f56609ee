"""What is declared of a key beside its name and type: words, unit, range, default."""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

REQUIRED: Any = dataclasses.MISSING
# Chooses the type of a table from the table itself and the one around it.
Chooser = Callable[[Mapping[str, Any], Mapping[str, Any]], type]


@dataclass(frozen=True)
class Key:
    """One key of a table.

    Attributes
    ----------
    words : what it is, in a phrase.
    unit : of its number; empty if it has none.
    above, least, below, most : ends of its range, without and with the end itself.
    choices : texts that it can be, or a function that gives them; empty if it can be any.
    name : in TOML; empty if it is that of the field.
    example : a value as it is written in TOML.
    noun : what a list holds or several types have in common, as in "names of streams".
    checked : whether the reader refuses what is not in the range or among the choices; if not, the
        type that is made from the table does.
    gaps : whether NaN stands for a missing value in a list.
    by : a function that gives the table that it is for each `name` in the table around it.
    names : raises InputError at a name that a table of names cannot have.
    rest : whether it holds all keys of its table that are not declared.
    chooser : which of several types of table it is.
    forms : gives the types of table that it can be, by the `name` in the table; without one it is
        the first.
    """

    words: str
    unit: str = ""
    above: float | None = None
    least: float | None = None
    below: float | None = None
    most: float | None = None
    choices: Iterable[str] | Callable[[], Iterable[str]] = ()
    name: str = ""
    example: str = ""
    noun: str = ""
    checked: bool = True
    gaps: bool = False
    by: Callable[[], Mapping[str, type]] | None = None
    names: Callable[[str], Any] | None = None
    rest: bool = False
    chooser: Chooser | None = None
    forms: Callable[[], Mapping[str, type]] | None = None

    @property
    def allowed(self) -> tuple[str, ...]:
        """Texts that it can be; none if it can be any."""
        return tuple(self.choices() if callable(self.choices) else self.choices)

    @property
    def range(self) -> str:
        """Its range in words, empty if every number will do."""
        low = self.least if self.above is None else self.above
        high = self.most if self.below is None else self.below
        if low is None and high is None:
            return ""
        if high is None and self.above is None and self.unit and low:
            return f"of {low:g} {self.unit} or more"
        if high is None:
            said = f"above {low:g}" if self.above is not None else f"of {low:g} or more"
        elif low is None:
            said = f"below {high:g}" if self.below is not None else f"up to {high:g}"
        elif self.above is None and self.below is None:
            said = f"between {low:g} and {high:g}"
        else:
            begin = f"above {low:g} and" if self.above is not None else f"from {low:g}"
            said = f"{begin} {'to below' if self.below is not None else 'up to'} {high:g}"
        return f"{said} {self.unit}" if self.unit and (low or high) else said

    def holds(self, value: float) -> bool:
        """Whether a number is in its range."""
        return (
            (self.above is None or value > self.above)
            and (self.least is None or value >= self.least)
            and (self.below is None or value < self.below)
            and (self.most is None or value <= self.most)
        )


def key(words: str, default: Any = REQUIRED, **said: Any) -> Any:
    """A field of a dataclass that is a key of a table; `said` is as in `Key`.

    A table that may be left out and has a default of {} is read as an empty one.
    """
    metadata = {"key": Key(words, **said)}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Declared:
    """A key as it stands in a table: its name in TOML, field, type, and what is said of it.

    `default` is `REQUIRED` where there is none.
    """

    name: str
    field: str
    hint: Any
    key: Key
    default: Any


@functools.cache
def keys_of(form: type) -> Mapping[str, Declared]:
    """The keys of a table by name, in the order of their declaration."""
    hints = get_type_hints(form)
    found = {}
    for field in dataclasses.fields(form):
        said = field.metadata.get("key")
        if said is None:
            continue
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        name = said.name or field.name
        found[name] = Declared(name, field.name, hints[field.name], said, default)
    return found


def alternatives(hint: Any) -> tuple[Any, ...]:
    """The types of a union but None; the type itself if it is none."""
    if get_origin(hint) in (Union, types.UnionType):
        return tuple(option for option in get_args(hint) if option is not type(None))
    return (hint,)


def forms_of(hint: Any, said: Key) -> tuple[Any, ...]:
    """The types that a value can be: those of its union, or the tables that it can be."""
    return tuple(said.forms().values()) if said.forms else alternatives(hint)


def tables_of(form: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every table that a form can have and its path, without those whose names are free."""
    yield path, form
    for name, said in keys_of(form).items():
        for inner in forms_of(said.hint, said.key):
            if dataclasses.is_dataclass(inner):
                yield from tables_of(inner, f"{path}.{name}" if path else name)


def is_list(hint: Any) -> bool:
    """Whether a type is written as a list."""
    origin = get_origin(hint)
    return (
        origin is not None
        and isinstance(origin, type)
        and origin is not dict
        and (issubclass(origin, tuple | list) or origin.__name__ == "Sequence")
    )


def is_mapping(hint: Any) -> bool:
    """Whether a type is a table of names that are not declared."""
    origin = get_origin(hint)
    return isinstance(origin, type) and issubclass(origin, Mapping)


def elements(hint: Any) -> tuple[Any, int | None]:
    """The type of a list's elements, and their number where it is declared."""
    inside = get_args(hint)
    if get_origin(hint) is tuple and inside[-1] is not Ellipsis:
        return inside[0], len(inside)
    return inside[0], None


def words_of(hint: Any) -> tuple[str, ...]:
    """The texts of a Literal; none for another type."""
    return get_args(hint) if get_origin(hint) is Literal else ()

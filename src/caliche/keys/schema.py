"""A JSON Schema (draft 2020-12) from the declarations of a table."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

from caliche.keys.declare import (
    REQUIRED,
    Declared,
    Key,
    alternatives,
    elements,
    forms_of,
    is_list,
    is_mapping,
    keys_of,
    words_of,
)

DRAFT = "https://json-schema.org/draft/2020-12/schema"
_TYPES = {float: "number", int: "integer", str: "string", bool: "boolean", Path: "string"}


def schema_of(form: type, title: str) -> dict[str, Any]:
    """The JSON Schema of a file whose outermost table is `form`.

    Times of TOML are text, as editors see them. Where a file may begin from another (`extends`),
    keys without a default are required only if it does not, and NAME = false takes a table out.
    """
    extends = "extends" in keys_of(form)
    definitions: dict[str, Any] = {}
    schema = {"$schema": DRAFT, "title": title, **_table(form, definitions, extends)}
    needed = _required(form)
    if extends:
        schema["if"] = {"not": {"required": ["extends"]}}
        schema["then"] = needed
    else:
        schema["allOf"] = [needed]
    return {**schema, "$defs": dict(sorted(definitions.items()))}


def _table(form: type, definitions: dict[str, Any], extends: bool) -> dict[str, Any]:
    """A table: its keys, and no other."""
    properties, rules, rest = {}, [], False
    for said in keys_of(form).values():
        value = _described(said, definitions, extends)
        if said.key.rest:
            rest = value["additionalProperties"]
            continue
        properties[said.name] = value
        for name, inner in said.key.by().items() if said.key.by else ():
            options = _reference(inner, definitions, extends)
            named = {"properties": {"name": {"const": name}}, "required": ["name"]}
            rules.append({"if": named, "then": {"properties": {said.name: options}}})
    schema = {
        "type": "object",
        "description": inspect.getdoc(form) or "",
        "properties": properties,
        "additionalProperties": rest,
    }
    return {**schema, "allOf": rules} if rules else schema


def _reference(form: type, definitions: dict[str, Any], extends: bool) -> dict[str, Any]:
    """A reference to the definition of a table."""
    name = form.__name__.removesuffix("Table").removesuffix("Config")
    if name not in definitions:
        definitions[name] = {}
        definitions[name] = _table(form, definitions, extends)
    return {"$ref": f"#/$defs/{name}"}


def _described(said: Declared, definitions: dict[str, Any], extends: bool) -> dict[str, Any]:
    """What a key can be, with its words, unit and default."""
    unit = f" ({said.key.unit})" if said.key.unit else ""
    schema = {**_value(said.hint, said.key, definitions, extends)}
    if said.key.words:
        schema["description"] = f"{said.key.words}{unit}"
    if said.default is not REQUIRED and said.default not in (None, {}):
        default = said.default
        schema["default"] = list(default) if isinstance(default, tuple) else default
    return schema


def _value(hint: Any, said: Key, definitions: dict[str, Any], extends: bool) -> dict[str, Any]:
    """What a value of a type can be."""
    options = [_one(option, said, definitions, extends) for option in forms_of(hint, said)]
    if extends and any(dataclasses.is_dataclass(option) for option in forms_of(hint, said)):
        options.append({"const": False})
    return options[0] if len(options) == 1 else {"anyOf": options}


def _one(hint: Any, said: Key, definitions: dict[str, Any], extends: bool) -> dict[str, Any]:
    """What a value of a type that is no union can be."""
    if hint is Any:
        return {}
    if dataclasses.is_dataclass(hint):
        return _reference(hint, definitions, extends)  # type: ignore[arg-type]
    if is_mapping(hint):
        inner = _value(get_args(hint)[1], said, definitions, extends)
        return {"type": "object", "additionalProperties": inner}
    if is_list(hint):
        inner, count = elements(hint)
        schema = {"type": "array", "items": _value(inner, said, definitions, False)}
        return schema if count is None else {**schema, "minItems": count, "maxItems": count}
    if words_of(hint):
        return {"enum": list(words_of(hint))}
    if hint is datetime:
        return {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}"}
    if hint is str and said.allowed:
        return {"enum": list(said.allowed)}
    if hint in (int, float):
        ends = {
            "exclusiveMinimum": said.above,
            "minimum": said.least,
            "exclusiveMaximum": said.below,
            "maximum": said.most,
        }
        return {"type": _TYPES[hint], **{k: end for k, end in ends.items() if end is not None}}
    return {"type": _TYPES[hint]}


def _required(form: Any) -> dict[str, Any]:
    """What has to be there, alone; empty if nothing has."""
    hint, *others = alternatives(form)
    if others:
        needed = [_required(option) for option in (hint, *others)]
        return {"anyOf": needed} if all(needed) else {}
    if is_mapping(hint):
        return _inside("additionalProperties", _required(get_args(hint)[1]))
    if is_list(hint):
        return _inside("items", _required(elements(hint)[0]))
    if not dataclasses.is_dataclass(hint):
        return {}
    keys = keys_of(hint).values()  # type: ignore[arg-type]
    names = [said.name for said in keys if said.default is REQUIRED]
    within = {said.name: _required(said.hint) for said in keys if not said.key.rest}
    within = {name: needed for name, needed in within.items() if needed}
    return {**_inside("required", names), **_inside("properties", within)}


def _inside(word: str, content: list[str] | Mapping[str, Any]) -> dict[str, Any]:
    return {word: content} if content else {}

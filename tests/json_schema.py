"""As much of JSON Schema (draft 2020-12) as `caliche schema` uses."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

KINDS = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "number": (int, float),
    "integer": int,
}
WORDS = {"$schema", "$defs", "title", "description", "default"}  # which ask for nothing
ENDS = {
    "minimum": lambda value, end: value >= end,
    "maximum": lambda value, end: value <= end,
    "exclusiveMinimum": lambda value, end: value > end,
    "exclusiveMaximum": lambda value, end: value < end,
}


def plain(value: Any) -> Any:
    """TOML as an editor gives it to a schema: times are text."""
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value.isoformat() if isinstance(value, date) else value


def faults(value: Any, schema: dict[str, Any], root: dict[str, Any], at: str = "") -> list[str]:
    """Where a value is not as the schema says; nothing if it is."""

    def inside(inner: dict[str, Any], what: Any = value, where: str = at) -> list[str]:
        return faults(what, inner, root, where)

    found = []
    for word, said in schema.items():
        if word == "$ref":
            found += inside(root["$defs"][said.removeprefix("#/$defs/")])
        elif word == "type":
            wrong = isinstance(value, bool) and said != "boolean"
            found += [f"{at}: not {said}"] if wrong or not isinstance(value, KINDS[said]) else []
        elif word in ("enum", "const"):
            allowed = said if word == "enum" else [said]
            same = any(value == one and type(value) is type(one) for one in allowed)
            found += [] if same else [f"{at}: not in {allowed}"]
        elif word == "anyOf":
            found += [] if any(not inside(one) for one in said) else [f"{at}: none of those"]
        elif word == "allOf":
            found += [fault for one in said for fault in inside(one)]
        elif word == "not":
            found += [] if inside(said) else [f"{at}: what it must not be"]
        elif word == "if":
            found += inside(schema["then"]) if not inside(said) else []
        elif word == "required" and isinstance(value, dict):
            found += [f"{at}: no {name}" for name in said if name not in value]
        elif word == "properties" and isinstance(value, dict):
            for name in said.keys() & value.keys():
                found += inside(said[name], value[name], f"{at}.{name}")
        elif word == "additionalProperties" and isinstance(value, dict):
            for name in value.keys() - schema.get("properties", {}).keys():
                if said is False:
                    found.append(f"{at}: unknown {name}")
                else:
                    found += inside(said, value[name], f"{at}.{name}")
        elif word == "items" and isinstance(value, list):
            for number, one in enumerate(value):
                found += inside(said, one, f"{at}[{number}]")
        elif word in ("minItems", "maxItems") and isinstance(value, list):
            few = len(value) < said if word == "minItems" else len(value) > said
            found += [f"{at}: {len(value)} of them"] if few else []
        elif word == "pattern" and isinstance(value, str):
            found += [] if re.search(said, value) else [f"{at}: not like {said}"]
        elif word in ENDS and isinstance(value, int | float):
            found += [] if ENDS[word](value, said) else [f"{at}: {word} {said}"]
        else:
            known = {*WORDS, *ENDS, "then", "required", "properties", "additionalProperties"}
            assert word in known | {"items", "minItems", "maxItems", "pattern"}, word
    return found

"""The TOML of an experiment: found, extended, overridden, not yet understood."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from caliche.errors import InputError, nearest

# Experiments that extend each other, one after the other.
LONGEST_CHAIN = 20


def bundled() -> dict[str, str]:
    """Bundled experiments: name -> title."""
    folder = resources.files("caliche.experiments") / "bundled"
    names = sorted(
        p.name.removesuffix(".toml") for p in folder.iterdir() if p.name.endswith(".toml")
    )
    return {name: load_raw(name)[0]["title"] for name in names}


def parse_override(text: str) -> dict[str, Any]:
    """The table that `key=value` stands for, in TOML's own syntax for both sides."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise InputError("an override of the form key=value", repr(text), "write section.key=value")
    for candidate in (value, f'"{value.strip()}"'):
        try:
            return tomllib.loads(f"{key.strip()} = {candidate}")
        except (ValueError, RecursionError):
            continue
    raise InputError(
        "an override in TOML syntax",
        repr(text),
        'quote names with dots: observations."a_0.1m".sigma=1',
    )


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the entries of `over`, table by table; `false` takes a table out."""
    result = dict(base)
    for key, value in over.items():
        inner = result.get(key)
        if value is False and isinstance(inner, Mapping):
            del result[key]
            continue
        both = isinstance(inner, Mapping) and isinstance(value, Mapping)
        result[key] = merge(inner, value) if both else value  # type: ignore[arg-type]
    return result


def load_raw(experiment: str, seen: tuple[str, ...] = ()) -> tuple[dict[str, Any], Path, str]:
    """Merged TOML, its folder and name; follows `extends`.

    Raises
    ------
    InputError : no such experiment, TOML that does not parse, experiments that extend each other.
    """
    if experiment in seen:
        raise InputError(
            "experiments that do not extend each other in a ring",
            " -> ".join((*seen, experiment)),
            "take extends out of one of them",
        )
    if len(seen) > LONGEST_CHAIN:
        raise InputError(
            f"at most {LONGEST_CHAIN} experiments that extend each other",
            " -> ".join((*seen[:2], "...", experiment)),
            "put some of them together",
        )
    path = Path(experiment)
    bundle = resources.files("caliche.experiments") / "bundled"
    if path.suffix == ".toml":
        if not path.is_file():
            raise InputError("an experiment file", f"no file {experiment}", "check the path")
        text, folder, name = _text(path), path.resolve().parent, path.stem
    else:
        names = [p.name.removesuffix(".toml") for p in bundle.iterdir() if p.name.endswith(".toml")]
        if experiment not in names:
            raise InputError(
                "a bundled experiment or the path of a .toml file",
                repr(experiment),
                nearest(experiment, names),
            )
        text = (bundle / f"{experiment}.toml").read_text(encoding="utf-8")
        folder, name = Path.cwd(), experiment
    raw = parsed(text, path.name)
    return extended(raw, folder, path.name, (*seen, experiment)), folder, name


def parsed(text: str, name: str) -> dict[str, Any]:
    """TOML as a table.

    Raises
    ------
    InputError : it does not parse; tables in tables or lists in lists without end.
    """
    try:
        return tomllib.loads(text)
    except RecursionError:
        error = "too many tables or lists inside each other"
    except ValueError as wrong:  # one of TOML, or of a number with thousands of digits
        error = str(wrong).partition("; use sys.")[0]
    raise InputError(f"valid TOML in {name}", error, "correct that line")


def extended(
    raw: Mapping[str, Any], folder: Path, name: str, seen: tuple[str, ...] = ()
) -> dict[str, Any]:
    """A table merged into what it extends; paths are relative to `folder`, `seen` extend it.

    Raises
    ------
    InputError : extends something that is no experiment, or itself.
    """
    raw = dict(raw)
    parent = raw.pop("extends", None)
    if parent is None:
        return raw
    if not isinstance(parent, str):
        raise InputError(
            f"the name of an experiment for extends in {name}",
            repr(parent),
            'write extends = "west-phoenix", or the path of a .toml file',
        )
    inside = folder / parent if parent.endswith(".toml") else parent
    base = load_raw(str(inside), seen)[0]
    base.pop("name", None)  # a child is not its parent
    return merge(base, raw)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"a text file in UTF-8 at {path}", f"{error}", "save the experiment as UTF-8"
        ) from None

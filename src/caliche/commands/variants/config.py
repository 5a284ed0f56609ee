"""A variant of an experiment: some other choices in its configuration, everything else the same."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import tomli_w

from caliche.errors import InputError
from caliche.experiments.config.parse import parse
from caliche.experiments.config.tables import ExperimentConfig
from caliche.experiments.config.toml import merge, parse_override
from caliche.experiments.models import build_model

Kind = Literal["numerics", "physics", "prescribed", "data", "own"]
_LAYER = re.compile(r"^(?P<stem>.*[a-z])_(?P<layer>\d+)$")
# What becomes part of a file's name.
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._+-]*$")


@dataclass(frozen=True)
class Variant:
    """A variant of an experiment.

    Attributes
    ----------
    name : short and unique, fit for a file name.
    family : the choice that it is another answer to, such as `closure`; of one's own, `own`.
    kind : whether that choice is one of numerics, of physics, a prescribed value, or of the data.
    what : the variant as a noun phrase, for "with ...".
    changes : tables of the TOML that are merged into the experiment's.
    impossible : why there can be no such variant; empty if there can.
    finer : whether it makes the numerical error smaller.
    taken : how many estimates of the base it prescribes; they cost as much as parameters do.
    """

    name: str
    family: str
    kind: Kind
    what: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    impossible: str = ""
    finer: bool = False
    taken: int = 0


def variant_config(base: ExperimentConfig, changes: Mapping[str, Any]) -> ExperimentConfig:
    """The configuration of an experiment with some of it changed.

    Parameters follow the model: those that the changed model no longer has are left out; those of
    a new layer are as they were for the layer (or the whole soil) that it was part of; any other
    new one is free, with the bounds and the first guess of its declaration. What the changes say
    of a parameter themselves comes before all of that.

    Raises
    ------
    InputError : a configuration that cannot be.
    """
    raw = merge(base.raw, changes)
    raw.pop("variants", None)
    model = dict(raw.get("model", {}))
    if model.get("bottom") != "measured-temperature" and "bottom_stream" not in changes.get(
        "model", {}
    ):
        model.pop("bottom_stream", None)
    if model.get("turbulence") != "monin-obukhov" and "measurement_height" not in changes.get(
        "model", {}
    ):
        model.pop("measurement_height", None)
    raw["model"] = model
    after = _declared(parse(raw, base.folder, base.name, base.data))
    said = changes.get("parameters", {})
    raw["parameters"] = _parameters(base, _declared(base), after, said)
    return parse(raw, base.folder, base.name, base.data)


def _declared(config: ExperimentConfig) -> list[str]:
    """Names of the parameters of the configured model."""
    return [d.name for d in build_model(config, None).declarations]


def _parameters(
    base: ExperimentConfig, before: Sequence[str], after: Sequence[str], said: Mapping[str, Any]
) -> dict[str, Any]:
    """The table of parameters of a changed model, see `variant_config`."""
    given = base.raw.get("parameters", {})
    kept = {name: table for name, table in given.items() if name in after or name not in before}
    for name in after:
        if name not in before:
            origins = relatives(name, before)
            if not origins:
                kept[name] = {}
            elif origins[-1] in given:
                kept[name] = given[origins[-1]]
    return merge(kept, said)


def relatives(name: str, names: Sequence[str]) -> list[str]:
    """The names of the same property of other layers, or of a soil with other layers.

    `thermal_conductivity` is related to `thermal_conductivity_1`, `thermal_conductivity_2` ... and
    each of these to it and to each other; a name is not related to itself.
    """
    stem = _stem(name)
    return [other for other in names if other != name and _stem(other) == stem]


def _stem(name: str) -> str:
    match = _LAYER.match(name)
    return match["stem"] if match else name


def own_variants(config: ExperimentConfig, texts: Sequence[str]) -> list[Variant]:
    """The variants of the configuration's tables [variants.NAME], and of "name: key=value; ...".

    Raises
    ------
    InputError : a variant that cannot be read, or two of one name.
    """
    found = []
    for name, table in config.variants.items():
        found.append(_own(config, name, table.changes, table.title))
    for text in texts:
        name, colon, rest = text.partition(":")
        if not colon or "=" in name:
            raise InputError(
                'a variant of the form "name: key=value; key=value"',
                repr(text),
                '--variant "deep: model.depth=2.0; model.nodes=101"',
            )
        changes: dict[str, Any] = {}
        for part in filter(None, (p.strip() for p in rest.split(";"))):
            changes = merge(changes, parse_override(part))
        found.append(_own(config, name.strip(), changes, ""))
    return found


def _own(config: ExperimentConfig, name: str, changes: Mapping[str, Any], title: str) -> Variant:
    if not _NAME.match(name) or name == "base":
        raise InputError(
            "a name of letters, digits and . _ + - for a variant, other than base",
            repr(name),
            "give it a short name",
        )
    if not changes:
        raise InputError(
            f"something that the variant {name} changes", "nothing", f"{name}: model.depth=2.0"
        )
    try:
        variant_config(config, changes)
    except InputError as error:
        raise InputError(
            f"{error.expected}, in the variant {name}", error.got, error.suggestion
        ) from None
    return Variant(name, "own", "own", title or ", ".join(as_text(changes)) or "nothing", changes)


def as_text(changes: Mapping[str, Any], above: str = "") -> list[str]:
    """Changes as `key=value`, in TOML's syntax."""
    lines = []
    for key, value in changes.items():
        plain = re.fullmatch(r"[A-Za-z0-9_-]+", key) is not None
        path = f"{above}{key}" if plain else f'{above}"{key}"'
        if isinstance(value, Mapping) and value:
            lines += as_text(value, f"{path}.")
        else:
            text = tomli_w.dumps({"x": value}).partition("=")[2]
            lines.append(f"{path}={' '.join(text.split())}")
    return lines

"""`caliche parameters`: what the models declare, and what an experiment makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from caliche.errors import InputError, nearest
from caliche.terminal.json_file import JsonAnswer, JsonOption
from caliche.terminal.options import set_option
from caliche.wording import number_of

if TYPE_CHECKING:
    from caliche.experiments import Experiment
    from caliche.models.base import ParameterDeclaration
    from caliche.parameters import FreeParameter


def parameters(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL|EXPERIMENT]",
            help="Only those of soil-heat, of it with one closure (combined, bowen-ratio, "
            "bulk-transfer or monin-obukhov), or of lad; or what an experiment (a bundled name or "
            "a TOML file) makes of them. [default: all models]",
        ),
    ] = None,
    json_: JsonOption = None,
    set_: Annotated[list[str] | None, set_option("the experiment")] = None,
) -> None:
    """Parameters: units, defaults, bounds, priors, sources.

    Of an experiment: which are free, fixed or tied, and their priors in words. Reads no data.
    """
    from caliche.cards.models import MODELS
    from caliche.experiments.config.toml import bundled
    from caliche.experiments.declared_parameters import of_soil_heat
    from caliche.models.soil_heat.closures import CLOSURES
    from caliche.terminal.tables import print_table

    if what is not None and (what.endswith(".toml") or what in bundled()):
        from caliche.experiments import load_experiment

        header, rows = _of_experiment(load_experiment(what, set_ or []))
        print_table(header, rows, drop=["source", "what it is"])
        _as_json(json_, header, rows)
        return
    known = [*MODELS, *CLOSURES]
    if what is not None and what not in known:
        raise InputError(
            f"a model, one of {', '.join(known)}; or an experiment",
            repr(what),
            nearest(what, [*known, *bundled()]),
        )
    if what in CLOSURES:
        rows = [_declared("soil-heat", d) for d in of_soil_heat([what])]
    else:
        cards = MODELS.values() if what is None else [MODELS[what]]
        rows = [_declared(card.name, d) for card in cards for d in card.declared()]
    header = ["parameter", "model", "unit", "default", "bounds", "prior", "what it is", "source"]
    print_table(header, rows, drop=["prior"] if what is None else ["prior", "model"])
    _as_json(json_, header, rows)


def _as_json(json_: JsonAnswer | None, header: list[str], rows: list[list[str]]) -> None:
    """The cells of the table, by the names of their columns."""
    if json_ is not None:
        json_.write([dict(zip(header, row, strict=True)) for row in rows])


def _declared(model: str, d: ParameterDeclaration) -> list[str]:
    """A row; where an experiment frees a parameter and says nothing else, its prior is flat."""
    bounds = f"{d.lower:g} to {d.upper:g}"
    return [d.name, model, d.unit, f"{d.default:g}", bounds, "flat", d.long_name, d.source]


def _of_experiment(experiment: Experiment) -> tuple[list[str], list[list[str]]]:
    """Header and rows: what an experiment makes of its parameters."""
    space, declared = experiment.space, {d.name: d for d in experiment.space.declarations}
    ties = {tie.name: tie.describe() for tie in space.ties}
    free = {p.name: p for p in space.free}
    values = space.tied(
        {
            **{p.name: p.initial for p in space.free},
            **{name: float(value.mean()) for name, value in space.fixed.items()},
        }
    )
    rows = []
    for name in sorted(declared, key=lambda name: (name not in free, name not in ties)):
        d, state = declared[name], "free" if name in free else "fixed"
        if name in space.variations:
            state = f"free, {number_of(space.variations[name].size, 'knot')} in time"
        source = d.source if values[name] == d.default else f"set here; bounds: {d.source}"
        prior = space.describe_prior(name) if name in free else ""
        middle = _middle(free[name]) if name in free else ""
        rows.append(
            [
                name,
                d.unit,
                ties.get(name, state),
                f"{values[name]:g}",
                prior,
                middle,
                d.long_name,
                source,
            ]
        )
    header = ["parameter", "unit", "is", "value", "prior", "95 % of prior", "what it is", "source"]
    return header, rows


def _middle(p: FreeParameter) -> str:
    """Between which values 95 % of an informative prior lie."""
    import jax.numpy as jnp

    from caliche.constants import NORMAL_QUANTILE

    if not p.prior.informative:
        return ""
    ends = (float(p.prior.to_physical(jnp.asarray(s * NORMAL_QUANTILE))) for s in (-1.0, 1.0))
    return " to ".join(f"{end:.3g}" for end in ends)

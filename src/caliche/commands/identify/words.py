"""What `caliche identify` found, in sentences and table rows. Pure functions of its summary."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from caliche.report.numbers import (
    number,
    plain,
    pretty_unit,
    rounded,
    share,
    value_and_sd,
    with_unit,
)
from caliche.report.wording import capital
from caliche.variables import variable
from caliche.wording import listing, number_of

HEADER = ["parameter", "value ± sd", "unit", "sd / value", "prior sd", "shrinkage", "verdict"]
MOST_NAMED = 3
BETTER = 0.5  # a derived quantity is worth a word if its sd is this much smaller than its parts'


def headline(summary: Mapping[str, Any]) -> str:
    """What was looked at, and where."""
    streams = [
        f"{s['n']:,} of {name} (sigma {with_unit(plain(s['sigma']), variable(name).unit)})"
        for name, s in summary["streams"].items()
    ]
    return (
        f"{summary['title']}: {number_of(summary['n_observations'], 'observation')}, "
        f"{listing(streams)}; "
        f"derivatives at {summary['at']}."
    )


def rows(summary: Mapping[str, Any]) -> list[list[str]]:
    """A row of the table per parameter; columns as in `HEADER`."""
    found = []
    for name, p in summary["parameters"].items():
        sd = number(p["sd"])
        value = value_and_sd(p["value"], sd) if math.isfinite(sd) else f"{plain(p['value'])} ± ∞"
        prior, shrinkage = number(p["sd_prior"]), number(p["shrinkage"])
        found.append(
            [
                name,
                value,
                pretty_unit(p["unit"]),
                relative(p),
                plain(prior, 2) if math.isfinite(prior) else "flat",
                f"{100.0 * shrinkage:.0f} %" if math.isfinite(shrinkage) else "",
                p["verdict"],
            ]
        )
    return found


def relative(parameter: Mapping[str, Any], sd: float | None = None) -> str:
    """A standard deviation as a share of the value where that means something, else with unit."""
    sd = number(parameter["sd"] if sd is None else sd)
    if not math.isfinite(sd):
        return "∞"
    if not parameter["ratio_scale"]:
        return with_unit(rounded(sd, 2), parameter["unit"])
    return share(sd / abs(parameter["value"]))


def sentences(summary: Mapping[str, Any]) -> list[str]:
    """Everything the table does not say, most important first."""
    return [
        _verdicts(summary),
        *(gap_sentence(gap, summary) for gap in summary["unobservable"]),
        *_valley(summary),
        *_correlations(summary),
        *_better_known(summary),
        *_suggestions(summary),
        _numbers(summary),
        "All of it holds near these values and for errors as declared. Errors that persist in time "
        "can widen the bars: by up to 4.4 times where successive ones correlate by 0.9.",
    ]


def _verdicts(summary: Mapping[str, Any]) -> str:
    parameters = summary["parameters"]
    by: dict[str, list[str]] = {}
    for name, p in parameters.items():
        by.setdefault(p["verdict"], []).append(name)
    if list(by) == ["identified"]:
        return "Every parameter is identified."
    known, total = len(by.get("identified", [])), len(parameters)
    verb = "is" if 1 in (known, total) else "are"
    parts = [f"{known} of {number_of(total, 'parameter')} {verb} identified"]
    parts += [
        f"{verdict}: {listing(names)}" for verdict, names in by.items() if verdict != "identified"
    ]
    return "; ".join(parts) + "."


def gap_sentence(gap: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    """What of some parameters is constrained, and what would tell them apart."""
    names = gap["parameters"]
    if gap["constrained"] == "":
        verb = "has" if len(names) == 1 else "have"
        text = f"{listing(_few(names))} {verb} no effect on what is observed"
    elif gap["constrained"]:
        same = f" ({gap['derived'][0]})" if gap["derived"] else ""
        text = f"Only {gap['constrained']}{same} is constrained"
    elif gap["derived"]:
        only = listing(gap["derived"])
        text = f"Of {listing(_few(names))} only {only} {_is(gap['derived'])} constrained"
    else:
        changes = [
            f"{name} {_change(name, part, summary)}"
            for name, part in gap["direction"].items()
            if part != 0.0
        ]
        text = f"{listing(_few(changes))} together change nothing that is observed"
    remedies = []
    if gap["fix"]:
        remedies.append(_fix(gap["fix"], gap["constrained"] == ""))
    if gap["observe"]:
        streams = [_sensor(s) for s in gap["observe"][:MOST_NAMED]]
        remedies.append(f"add {_either(streams)}")
    return capital_if_word(f"{text}; {' or '.join(remedies)}.")


def capital_if_word(text: str) -> str:
    """A sentence begins with a capital, unless with the name of a parameter."""
    return text if "_" in text.partition(" ")[0] else capital(text)


def _is(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _few(names: list[str], few: int = 6) -> list[str]:
    return names if len(names) <= few else [*names[:few], f"{len(names) - few} more"]


def _either(items: list[str]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    return " or ".join(part for part in (", ".join(items[:-1]), items[-1]) if part)


def _fix(sets: list[list[str]], all_of_them: bool) -> str:
    if all_of_them:
        return "fix it" if len(sets[0]) == 1 else "fix them"
    if len(sets[0]) > 1:
        return f"fix {len(sets[0])} of them, such as {listing(sets[0])}"
    return "fix one" if len(sets) == 2 else f"fix {_either(_few([names[0] for names in sets]))}"


def _sensor(sensor: Mapping[str, Any]) -> str:
    return sensor["stream"] + (" (observed already)" if sensor["observed_not_fitted"] else "")


def _change(name: str, part: float, summary: Mapping[str, Any]) -> str:
    """A change along a direction, as a share of the parameter's step."""
    p = summary["parameters"][name]
    if p["ratio_scale"]:
        return f"{100.0 * part:+.0f} %".replace("-", "−")
    return with_unit(f"{part * p['step']:+.2g}".replace("-", "−"), p["unit"])


def _valley(summary: Mapping[str, Any]) -> Iterator[str]:
    if not summary["valley"]:
        return
    parts = []
    for name, change in summary["valley"].items():
        sign = "+" if change > 0.0 else "−"
        parts.append(f"{name} {sign}{relative(summary['parameters'][name], abs(change))}")
    verb = "these move together" if len(parts) > 1 else "this can move"
    yield (
        f"Within one standard deviation {verb}: {', '.join(_few(parts))} (collinearity "
        f"{plain(summary['collinearity'], 2)})."
    )


def _correlations(summary: Mapping[str, Any]) -> Iterator[str]:
    pairs = summary["strong_correlations"]
    if pairs:
        each = [
            f"{' and '.join(pair['parameters'])} ({pair['correlation']:+.3f})".replace("(-", "(−")
            for pair in sorted(pairs, key=lambda pair: -abs(pair["correlation"]))
        ]
        yield f"Strongly correlated: {'; '.join(_few(each, MOST_NAMED))}."


def _better_known(summary: Mapping[str, Any]) -> Iterator[str]:
    parameters, found = summary["parameters"], []
    for name, d in summary["derived"].items():
        parts = [
            number(parameters[n]["relative_sd"]) if parameters[n]["sd"] is not None else math.inf
            for n in d["of"]
        ]
        sd, value = number(d["sd"]), number(d["value"])
        if parts and math.isfinite(sd) and sd / abs(value) < BETTER * min(parts):
            found.append(f"{name} ({share(sd / abs(value))})")
    if found:
        yield f"Combinations that are known better than the parameters in them: {listing(found)}."


def _suggestions(summary: Mapping[str, Any]) -> Iterator[str]:
    for name, sensors in summary["suggestions"].items():
        p = summary["parameters"][name]
        if not sensors:
            continue
        each = []
        for s in sensors:
            notes = [f"sigma {with_unit(plain(s['sigma']), variable(s['stream']).unit)}"]
            notes += ["observed but not fitted"] if s["observed_not_fitted"] else []
            each.append(f"{relative(p, s['sd'])} with {s['stream']} ({', '.join(notes)})")
        now = f"now {relative(p)}" if p["sd"] is not None else "not seen now"
        yield f"{name}, {now}, would come to {_either(each)}."
    without = [name for name, sensors in summary["suggestions"].items() if not sensors]
    if without:
        yield f"No other single sensor would halve the error of {listing(without)}."


def _numbers(summary: Mapping[str, Any]) -> str:
    total = number_of(len(summary["parameters"]), "parameter")
    dfs = plain(summary["degrees_of_freedom_for_signal"], 3)
    condition = number(summary["condition_number"])
    text = (
        f"Effective number of parameters seen by the data: {dfs} of {total} (degrees of freedom "
        "for signal; one that is seen can still be too uncertain to be called identified)"
    )
    if math.isfinite(condition):
        return (
            f"{text}; condition number {plain(condition, 3)}, for changes by 100 % or 1 K; "
            f"collinearity {plain(summary['collinearity'], 2)}."
        )
    return f"{text}; the Jacobian has rank {summary['rank']}."


def point_rows(summary: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the verdicts at further points."""
    points, parameters = summary["points"], summary["parameters"]
    table = []
    for name, counts in points["verdicts"].items():
        spread = points["sd"][name]
        table.append(
            [
                name,
                *(str(counts[v]) for v in counts),
                plain(spread["smallest"], 2),
                plain(spread["median"], 2),
                plain(spread["largest"], 2),
                pretty_unit(parameters[name]["unit"]),
            ]
        )
    header = ["parameter", "identified", "weakly", "not", "least sd", "median", "largest", "unit"]
    return header, table

"""The variants that an experiment is put through by default, derived from its configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from caliche.commands.variants.config import Kind, Variant
from caliche.experiments.config.tables import ExperimentConfig
from caliche.models.soil_heat.closures import CLOSURES
from caliche.physics.column_schemes import IMPLICIT_FRACTION
from caliche.variables import stream_name, variable

ALBEDO_STEP = 0.02
# Soils, canopies and asphalt mostly lie between 0.9 and 0.98 (Oke 1987, Boundary Layer Climates,
# tables 1.1 and 2.1).
EMISSIVITIES = (0.92, 0.98)

Values = Mapping[str, float]
Maker = Callable[[ExperimentConfig, Values], Iterator[Variant]]


def default_variants(config: ExperimentConfig, values: Values) -> list[Variant]:
    """The default variants of an experiment.

    Parameters
    ----------
    values : every parameter of the base by name, where it is free at its estimate.
    """
    names = FAMILIES if config.model.structural else ANY_MODEL
    return [v for name in names for v in FAMILIES[name](config, values)]


def _albedo(config: ExperimentConfig, values: Values) -> Iterator[Variant]:
    free = not _is_fixed(config, "albedo")
    for sign, word in ((-1.0, "minus"), (1.0, "plus")):
        value = round(values["albedo"] + sign * ALBEDO_STEP, 6)
        origin = f", its estimate {word} {ALBEDO_STEP:g}" if free else ""
        yield Variant(
            f"albedo-{word}",
            "albedo",
            "prescribed",
            f"the albedo fixed at {value:.3g}{origin}",
            {"parameters": {"albedo": {"value": value, "fixed": True}}},
            taken=int(free),
        )
    if not free:
        changes = {"parameters": {"albedo": {"fixed": False}}}
        yield Variant("albedo-free", "albedo", "prescribed", "the albedo estimated too", changes)


def _emissivity(config: ExperimentConfig, values: Values) -> Iterator[Variant]:
    for value in EMISSIVITIES:
        if abs(value - values["emissivity"]) < 1e-9:
            continue
        what = f"an emissivity of {value:g}"
        changes: dict[str, Any] = {"parameters": {"emissivity": {"value": value, "fixed": True}}}
        if config.derive_surface_temperature is not None:
            what += ", also for the observed surface temperature"
            changes["derive"] = {"surface_temperature": {"emissivity": value}}
        yield Variant(f"emissivity-{value:g}", "emissivity", "prescribed", what, changes)


def _closure(config: ExperimentConfig, _: Values) -> Iterator[Variant]:
    for name, closure in CLOSURES.items():
        if name != config.soil_heat.turbulence:
            model = {"turbulence": name}
            if closure.per_wetness is None and config.soil_heat.moisture == "bucket":
                model["moisture"] = "parameter"
            changes = {"model": model}
            yield Variant(f"closure-{name}", "closure", "physics", f"the closure {name}", changes)


def _longwave(config: ExperimentConfig, _: Values) -> Iterator[Variant]:
    told = {
        "kirchhoff": "longwave radiation after Kirchhoff",
        "unweighted": "all incoming longwave radiation absorbed",
    }
    for name, what in told.items():
        if name != config.soil_heat.longwave:
            yield Variant(
                f"longwave-{name}", "longwave", "physics", what, {"model": {"longwave": name}}
            )


def _dz(config: ExperimentConfig, _: Values) -> Iterator[Variant]:
    nodes = np.asarray(config.soil_heat.node_depths)
    fine = np.sort(np.concatenate([nodes, 0.5 * (nodes[1:] + nodes[:-1])]))
    yield _grid("dz-half", "dz", "numerics", "a grid twice as fine", fine, finer=True)
    ends = np.isin(np.arange(len(nodes)), [0, len(nodes) - 1])
    layer = np.isclose(nodes[:, None], np.asarray(config.soil_heat.layer_bottoms)).any(axis=1)
    coarse = nodes[(np.arange(len(nodes)) % 2 == 0) | ends | layer]
    yield _grid("dz-double", "dz", "numerics", "a grid half as fine", coarse)


def _dt(config: ExperimentConfig, _: Values) -> Iterator[Variant]:
    step = config.window.time_step
    for name, factor in (("dt-half", 0.5), ("dt-double", 2.0)):
        new = step * factor
        changes: dict[str, Any] = {"window": {"time_step": new}}
        averages = {
            stream: new if o.average is not None else step
            for stream, o in config.observations.items()
            if (o.average is not None and o.average < new)
            # A twin's flux is a mean over the step of the model that made it.
            or (config.synthetic and new < step and not variable(stream).is_state)
        }
        if averages:
            changes["observations"] = {s: {"average": a} for s, a in averages.items()}
        what = f"a time step of {new:g} s"
        yield Variant(name, "dt", "numerics", what, changes, finer=new < step)


def _scheme(config: ExperimentConfig, _: Values) -> Iterator[Variant]:
    for name in IMPLICIT_FRACTION:
        if name != config.soil_heat.scheme:
            changes, what = {"model": {"scheme": name}}, f"the scheme {name}"
            # Of second order and free of oscillations, against the two that are not both.
            finer = name == "sdirk2"
            yield Variant(f"scheme-{name}", "scheme", "numerics", what, changes, finer=finer)


def _depth(config: ExperimentConfig, _: Values) -> Iterator[Variant]:
    nodes = np.asarray(config.soil_heat.node_depths)
    depth, spacing = nodes[-1], np.diff(nodes)[-2:]
    # The grid goes on as it ended, uniform or growing, to twice its depth.
    growth = max(1.0, spacing[1] / spacing[0])
    number = int(np.ceil(depth / spacing[1]))
    below = np.cumsum(spacing[1] * growth ** np.arange(1, number + 1))
    below = below[: int(np.searchsorted(below, depth - 1e-9)) + 1]
    deeper = np.r_[nodes, depth + below * depth / below[-1]]
    shallower = nodes[: max(3, int(np.abs(nodes - 0.5 * depth).argmin()) + 1)]
    for name, grid in (("depth-double", deeper), ("depth-half", shallower)):
        yield _grid(name, "depth", "physics", f"a column of {grid[-1]:.3g} m", grid)


def _bottom(config: ExperimentConfig, values: Values) -> Iterator[Variant]:
    if config.soil_heat.bottom != "fixed-temperature":
        changes: dict[str, Any] = {"model": {"bottom": "fixed-temperature"}}
        changes["parameters"] = {"bottom_temperature": {"value": _deep(config, values)}}
        what = "a fixed bottom temperature, estimated"
        yield Variant("bottom-fixed-temperature", "bottom", "physics", what, changes)
    if config.soil_heat.bottom != "zero-flux":
        changes = {"model": {"bottom": "zero-flux"}}
        what = "no heat flux at the bottom"
        if config.soil_heat.initial == "bottom-temperature":  # which there is no more
            what += " (and a uniform start, estimated)"
            changes["model"]["initial"] = "uniform"
            changes["parameters"] = {"initial_temperature": {"value": _deep(config, values)}}
        yield Variant("bottom-zero-flux", "bottom", "physics", what, changes)


def _layers(config: ExperimentConfig, _: Values) -> Iterator[Variant]:
    if config.soil_heat.layer_bottoms:
        changes = {"model": {"layer_bottoms": []}}
        yield Variant("layers-one", "layers", "physics", "one soil layer", changes)
        return
    nodes = np.asarray(config.soil_heat.node_depths)[1:-1]
    # Half-way between the two uppermost sensors, or between the surface and the only one.
    sensors = _soil_depths(config, fitted=True)
    seen = sensors[:2] if len(sensors) > 1 else [0.0, *sensors, 0.1][:2]
    split = float(nodes[np.abs(nodes - float(np.mean(seen))).argmin()])
    what = f"two soil layers, split at {split:.3g} m"
    changes = {"model": {"layer_bottoms": [split]}}
    yield Variant("layers-two", "layers", "physics", what, changes)


def _initial(config: ExperimentConfig, values: Values) -> Iterator[Variant]:
    model, deep = config.soil_heat, _deep(config, values)
    observed, fitted = _soil_depths(config, fitted=False), _soil_depths(config, fitted=True)
    offers: dict[str, tuple[str, dict[str, Any], dict[str, float]]] = {
        "uniform": ("a uniform start, estimated", {}, {"initial_temperature": deep}),
    }
    if model.bottom != "zero-flux":
        offers["bottom-temperature"] = ("a start at the temperature of the bottom", {}, {})
    if observed:
        told = _listed(observed)
        offers["observed"] = (f"an observed start ({told})", {"initial_depths": observed}, {})
    if fitted:
        guesses = {stream_name("initial_temperature", depth): deep for depth in fitted}
        told = _listed(fitted)
        depths = {"initial_depths": fitted}
        offers["estimated"] = (f"an estimated initial profile ({told})", depths, guesses)
    for name, (what, more, guesses) in offers.items():
        if name != model.initial:
            changes: dict[str, Any] = {"model": {"initial": name, **more}}
            changes["parameters"] = {p: {"value": value} for p, value in guesses.items()}
            yield Variant(f"initial-{name}", "initial", "physics", what, changes)


def _window(config: ExperimentConfig, _: Values) -> Iterator[Variant]:
    w, second = config.window, np.timedelta64(1, "s")
    steps = int((w.fit_until - w.start) / second / w.time_step)
    held = int((w.end - w.fit_until) / second / w.time_step)

    def moment(steps_after_start: int) -> datetime:
        seconds = round(steps_after_start * w.time_step)
        text = str((w.start + seconds * second).astype("datetime64[s]"))
        return datetime.fromisoformat(text).replace(tzinfo=UTC)

    half, later = steps // 2, min(steps // 4, held // 2)
    parts = {
        "window-first-half": ("the first half of the window", 0, half),
        "window-second-half": ("the second half of the window", half, steps),
    }
    if later:
        what = f"a window {later * w.time_step / 3600:g} h later"
        parts["window-later"] = (what, later, steps + later)
    else:
        what = "the middle half of the window"
        parts["window-middle"] = (what, steps // 4, steps - steps // 4)
    for name, (what, first, last) in parts.items():
        if config.synthetic is not None:
            changes = {"synthetic": {"fit_hours": last * w.time_step / 3600}}
        else:
            changes = {"window": {"start": moment(first), "fit_until": moment(last)}}
        impossible = "a twin begins with its first hour" if config.synthetic and first else ""
        yield Variant(name, "window", "data", what, changes, impossible)


def _is_fixed(config: ExperimentConfig, name: str) -> bool:
    return name not in config.parameters or not config.parameters[name].free


def _grid(
    name: str, family: str, kind: Kind, what: str, nodes: np.ndarray, finer: bool = False
) -> Variant:
    depths = [round(float(z), 12) for z in nodes]
    return Variant(name, family, kind, what, {"model": {"node_depths": depths}}, finer=finer)


def _soil_depths(config: ExperimentConfig, fitted: bool) -> list[float]:
    """Depths (m) of the soil temperatures that are fitted, or observed at all."""
    chosen = [variable(n) for n, o in config.observations.items() if o.fit or not fitted]
    depths = {v.depth for v in chosen if v.name == "soil_temperature" and v.depth is not None}
    return sorted(z for z in depths if z <= config.soil_heat.node_depths[-1])


def _deep(config: ExperimentConfig, values: Values) -> float:
    """A first guess (K) of a temperature in the soil."""
    known = [v for name, v in values.items() if "temperature" in name]
    return values.get("bottom_temperature", known[-1] if known else 290.0)


def _listed(depths: list[float]) -> str:
    return ", ".join(f"{z:g}" for z in depths) + " m"


FAMILIES: dict[str, Maker] = {
    "albedo": _albedo,
    "emissivity": _emissivity,
    "closure": _closure,
    "longwave": _longwave,
    "dz": _dz,
    "dt": _dt,
    "scheme": _scheme,
    "depth": _depth,
    "bottom": _bottom,
    "layers": _layers,
    "initial": _initial,
    "window": _window,
}
# Families that ask nothing of the model; the others are made for soil-heat.
ANY_MODEL = ("dt", "window")

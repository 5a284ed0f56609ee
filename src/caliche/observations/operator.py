"""What is seen of a model: which diagnostics, at which depth, averaged how.

The operator belongs to a site, not to a model: models offer diagnostics, sites have sensors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.errors import InputError
from caliche.models.base import Diagnostics, Model, ParameterDeclaration, Profile
from caliche.observations.nuisances import Nuisance, at_depth, lagged, reach
from caliche.variables import VARIABLES, variable
from caliche.wording import number_of

# Streams of one profile that are computed entry by entry. More than a dozen sums of products with
# constants in one loop take LLVM beyond all memory (41 nodes); the whole profile is one product.
_FEW = 5


@dataclass(frozen=True)
class Stream:
    """One observed quantity: its name (with depth), and over how many steps it is averaged.

    `steps` = 0 compares the model at the instant of the stamp (states) or over its last step
    (fluxes); n > 0 compares the mean over the n steps that end at the stamp.
    """

    name: str
    steps: int = 0


@dataclass(frozen=True)
class _Source:
    """Where a stream comes from: entries of one diagnostic, and a depth among theirs.

    A fixed depth is a mixture of at most two entries with weights known when compiling.
    """

    name: str
    entries: tuple[int, ...] = (0,)
    weights: tuple[float, ...] = (1.0,)
    depths: tuple[float, ...] = ()  # of the entries, where the depth is a parameter


class ObservationOperator(eqx.Module):
    """Predictions (time + 1, stream) of what the sensors of a site would read.

    `select` picks inside the time loop, so that only what is observed is kept; `finish` then takes
    the means in time and applies the nuisances.
    """

    streams: tuple[Stream, ...] = eqx.field(static=True)
    _sources: tuple[_Source, ...] = eqx.field(static=True)
    nuisances: tuple[Nuisance, ...] = eqx.field(static=True, default=())
    time_step: float = eqx.field(static=True, default=1.0)

    @property
    def declarations(self) -> tuple[ParameterDeclaration, ...]:
        """The nuisances as parameters."""
        return tuple(nuisance.declaration for nuisance in self.nuisances)

    def select(self, diagnostics: Diagnostics) -> tuple[Float[Array, ""], ...]:
        """The numbers that `finish` needs of one step's diagnostics."""
        asked = Counter(source.name for source in self._sources for _ in source.entries)
        values = []
        for source in self._sources:
            value = diagnostics[source.name]
            if not isinstance(value, Profile):
                values.append(value)
                continue
            entries = value if asked[source.name] <= _FEW else value.stack()
            picked = [entries[index] for index in source.entries]
            if source.depths:
                values.extend(picked)
            elif len(picked) == 1:
                values.append(picked[0])
            else:
                values.append(source.weights[0] * picked[0] + source.weights[1] * picked[1])
        return tuple(values)

    @property
    def width(self) -> int:
        """How many numbers `select` gives."""
        return sum(len(source.depths) or 1 for source in self._sources)

    @property
    def pointwise(self) -> bool:
        """Whether every prediction is one number of `select`, at the same time."""
        return not self.nuisances and not any(stream.steps for stream in self.streams)

    def visible(self, n_time: int) -> np.ndarray:
        """Which entries (n_time, stream) can be predicted at all.

        A flux has no value at time zero, a mean none before it is complete, and a clock that may
        be wrong needs the model before and after.
        """
        seen = np.zeros((n_time, len(self.streams)), bool)
        for k, stream in enumerate(self.streams):
            before, after = reach(self.nuisances, stream.name, self.time_step)
            seen[_blind(stream) + before : n_time - after, k] = True
        return seen

    def unused(self, mask: np.ndarray, share: float = 0.0) -> tuple[str, ...]:
        """A sentence on each stream with observations that cannot be predicted.

        Parameters
        ----------
        mask : (time + 1, stream) what was observed.
        share : of a stream's observations that has to be lost before it is told.
        """
        visible, found = self.visible(len(mask)), []
        for k, stream in enumerate(self.streams):
            total, lost = int(mask[:, k].sum()), int((mask[:, k] & ~visible[:, k]).sum())
            if lost <= share * total or not lost:
                continue
            why = "a flux has no value at time zero"
            if stream.steps > 1:
                why = f"it is a mean over {number_of(stream.steps, 'step')}"
            if any(reach(self.nuisances, stream.name, self.time_step)):
                why = "a clock that may be wrong needs the model before and after"
            found.append(
                f"{lost} of {number_of(total, 'observation')} of {stream.name} cannot be predicted "
                f"({why}) and {'is' if lost == 1 else 'are'} not used."
            )
        return tuple(found)

    def finish(
        self,
        initial: Sequence[Float[Array, ""]],
        series: Sequence[Float[Array, " time"]],
        params: Mapping[str, Array],
    ) -> Float[Array, "time+1 stream"]:
        """Predictions at times 0 ... N, from what `select` gave at time 0 and over the steps.

        NaN where a mean would need what was before time 0. `params` holds the nuisances.
        """
        columns, at = [], 0
        for stream, source in zip(self.streams, self._sources, strict=True):
            count = len(source.depths) or 1
            # What cannot be predicted is NaN at the end only: 0 NaN is NaN in adjoints.
            is_state = variable(stream.name).is_state
            parts = [
                jnp.append(initial[k] if is_state else 0.0, series[k])
                for k in range(at, at + count)
            ]
            at += count
            mine = [n for n in self.nuisances if stream.name in n.streams]
            columns.append(self._finish_stream(stream, source, parts, mine, params))
        return jnp.stack(columns, axis=1)

    def _finish_stream(
        self,
        stream: Stream,
        source: _Source,
        parts: list[Float[Array, " time"]],
        nuisances: list[Nuisance],
        params: Mapping[str, Array],
    ) -> Float[Array, " time"]:
        value = {n.kind: params[n.name] for n in nuisances}
        column = parts[0]
        if source.depths:
            depth = (variable(stream.name).depth or 0.0) + value["depth-offset"]
            column = at_depth(depth, np.array(source.depths), parts)
        if stream.steps:
            over_step = column[1:]
            if variable(stream.name).is_state:
                over_step = 0.5 * (column[1:] + column[:-1])
            column = _running_mean(over_step, stream.steps)
        if "clock-offset" in value:
            column = lagged(
                column, value["clock-offset"] * (3600.0 / self.time_step), _blind(stream)
            )
        if "flux-fraction" in value:
            column = column * value["flux-fraction"]
        if "bias" in value:
            column = column + value["bias"]
        return jnp.where(jnp.arange(len(column)) < _blind(stream), jnp.nan, column)


def _blind(stream: Stream) -> int:
    """How many entries at the start cannot be predicted."""
    return max(stream.steps, 0 if variable(stream.name).is_state else 1)


def _running_mean(values: Float[Array, " time"], steps: int) -> Float[Array, " time+1"]:
    """Mean of the last `steps` values, zero for the first `steps` entries of time 0 ... N.

    Sums over 1, 2, 4 ... values make up the window: no copy a step of it, and no digits lost as in
    differences of cumulative sums.
    """
    windows = len(values) - steps + 1
    total, sums, width, start = jnp.zeros(windows), values, 1, 0
    while True:
        if steps & width:
            total = total + sums[start : start + windows]
            start += width
        if 2 * width > steps:
            return jnp.concatenate([jnp.zeros(steps), total / steps])
        sums = sums[:-width] + sums[width:]
        width *= 2


def make_operator(
    model: Model,
    streams: Sequence[Stream],
    nuisances: Sequence[Nuisance] = (),
    time_step: float = 1.0,
) -> ObservationOperator:
    """The operator that observes `streams` of `model`.

    Parameters
    ----------
    nuisances : of the observations; those of streams that are not observed here have no effect.
    time_step : s; needed for clock offsets.

    Raises
    ------
    InputError : an unknown stream, a depth outside the model's grid, or a quantity the model does
        not compute; two nuisances of one kind for one stream.
    """
    names = [stream.name for stream in streams]
    kept = tuple(n for n in nuisances if any(stream in names for stream in n.streams))
    moved: dict[str, Nuisance] = {}
    for stream in names:
        kinds = [n.kind for n in kept if stream in n.streams]
        if len(set(kinds)) < len(kinds):
            raise InputError(
                f"one nuisance of each kind for {stream}", ", ".join(kinds), "leave one out"
            )
        for nuisance in kept:
            if nuisance.kind == "depth-offset" and stream in nuisance.streams:
                moved[stream] = nuisance
    sources = []
    for stream in streams:
        if stream.name in model.diagnostics and stream.name not in VARIABLES:
            raise InputError(
                "an output of the model under a name of caliche.variables, from which its unit and "
                "whether it is a state or a flux are taken",
                repr(stream.name),
                "name it surface_temperature if it holds at the time of a stamp, or "
                "sensible_heat_flux if over the step before: names of one's own are not possible",
            )
        entry = variable(stream.name)
        if entry.name not in model.diagnostics:
            raise InputError(
                f"a stream that the model computes ({', '.join(model.diagnostics)})",
                stream.name,
                "leave it out, or choose a closure that gives it",
            )
        if entry.depth is None:
            sources.append(_Source(entry.name))
        else:
            depths = model.depths[entry.name]
            index, weight = _locate(stream.name, entry.depth, depths)
            if stream.name in moved:
                sources.append(_around(entry.name, entry.depth, depths, moved[stream.name]))
            elif weight == 0.0:
                sources.append(_Source(entry.name, (index,)))
            else:
                mixture = (1.0 - weight, weight)
                sources.append(_Source(entry.name, (index, index + 1), mixture))
    return ObservationOperator(tuple(streams), tuple(sources), kept, time_step)


def _around(name: str, depth: float, depths: np.ndarray, nuisance: Nuisance) -> _Source:
    """Every entry that a sensor may lie between, and one more on either side."""
    d = nuisance.declaration
    if depth + d.lower < depths[0] - 1e-12 or depth + d.upper > depths[-1] + 1e-12:
        raise InputError(
            f"a depth offset {nuisance.name} that stays within the grid of the model "
            f"({depths[0]:g} to {depths[-1]:g} m)",
            f"{d.lower:g} to {d.upper:g} m from {depth:g} m",
            "set its lower and upper bound, or deepen the grid",
        )
    first = int(np.searchsorted(depths, depth + d.lower, side="right")) - 2
    last = int(np.searchsorted(depths, depth + d.upper, side="left")) + 2
    entries = range(max(first, 0), min(last, len(depths)))
    return _Source(name, tuple(entries), (), tuple(float(depths[i]) for i in entries))


def _locate(stream: str, depth: float, depths: np.ndarray) -> tuple[int, float]:
    """Index above a depth and weight of the entry below it."""
    if not depths[0] <= depth <= depths[-1]:
        raise InputError(
            f"a depth within the grid of the model ({depths[0]:g} to {depths[-1]:g} m)",
            f"{stream}",
            "deepen the grid or leave the stream out",
        )
    index = min(int(np.searchsorted(depths, depth, side="right")) - 1, len(depths) - 2)
    weight = float((depth - depths[index]) / (depths[index + 1] - depths[index]))
    if weight > 1.0 - 1e-12:
        return index + 1, 0.0
    return index, 0.0 if weight < 1e-12 else weight

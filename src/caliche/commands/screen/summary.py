"""What summary.json of a screening says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from caliche.keys.records import OMITTED, Known, Mismatch

Kind = Literal["course", "cycle", "mean", "rmse"]
Triple = tuple[Known, Known, Known]  # an index and the ends of its interval


@dataclass(frozen=True)
class Effect:
    """What a parameter does to an output; NaN or None where the output does not change.

    Sobol' indices S1 and ST, or mu, mu_star and sigma of elementary effects.
    """

    share: float
    sd: float
    S1: Triple | None = field(default=None, metadata=OMITTED)
    ST: Triple | None = field(default=None, metadata=OMITTED)
    mu: Triple | None = field(default=None, metadata=OMITTED)
    mu_star: Triple | None = field(default=None, metadata=OMITTED)
    sigma: Triple | None = field(default=None, metadata=OMITTED)


@dataclass(frozen=True, kw_only=True)
class OutputEntry:
    """One output: by parameter, and of all together."""

    varies: bool
    sd: Known
    additive: Triple | None = None
    parameters: Mapping[str, Effect]


@dataclass(frozen=True)
class StreamEntry:
    """One stream and its outputs."""

    unit: str
    long_name: str
    fitted: bool
    sigma: float | None
    observations: int
    outputs: Mapping[Kind, OutputEntry]


@dataclass(frozen=True)
class ParameterEntry:
    """A parameter that was varied."""

    unit: str
    long_name: str
    prior: str
    initial: Known


@dataclass(frozen=True, kw_only=True)
class ScreeningSummary:
    """The content of summary.json."""

    experiment: str
    title: str
    description: str = ""
    method: Literal["morris", "sobol"]
    runs: int
    failed: int
    dropped: int
    where_failed: str = ""
    samples: int
    seed: int
    keep: Known
    over: str
    command: str | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    samples_left: int = 0
    groups: Mapping[str, tuple[str, ...]]
    parameters: Mapping[str, ParameterEntry]
    bin: str
    streams: Mapping[str, StreamEntry]
    kept: tuple[str, ...]
    fixed: tuple[str, ...]
    sentences: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    created: str = ""

    def check(self) -> None:
        """Refuse an output without a parameter, and a stream without its mean."""
        for stream, entry in self.streams.items():
            if "mean" not in entry.outputs:
                raise Mismatch(f"the mean among the outputs of {stream}", "none")
            for kind, output in entry.outputs.items():
                if set(output.parameters) != set(self.groups):
                    raise Mismatch(f"every parameter in {kind} of {stream}", "others")

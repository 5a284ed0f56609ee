"""What summary.json of a screening says, as far as its page reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from caliche.keys.records import Known, Mismatch

Triple = tuple[Known, Known, Known]  # an index and the ends of its interval


@dataclass(frozen=True)
class Effect:
    """What a parameter does to an output; None where the output does not change."""

    share: float | None
    sd: float | None
    S1: Triple | None = None
    ST: Triple | None = None
    mu: Triple | None = None
    mu_star: Triple | None = None
    sigma: Triple | None = None


@dataclass(frozen=True)
class OutputEntry:
    """One output: by parameter, and of all together."""

    varies: bool
    sd: Known
    parameters: Mapping[str, Effect]
    additive: Triple | None = None


@dataclass(frozen=True)
class StreamEntry:
    """One stream and its outputs."""

    unit: str
    long_name: str
    fitted: bool
    sigma: float | None
    observations: int
    outputs: Mapping[Literal["course", "cycle", "mean", "rmse"], OutputEntry]


@dataclass(frozen=True)
class ParameterEntry:
    """A parameter that was varied."""

    unit: str
    long_name: str
    prior: str
    initial: Known


@dataclass(frozen=True)
class ScreeningSummary:
    """The content of summary.json."""

    experiment: str
    title: str
    method: Literal["morris", "sobol"]
    runs: int
    failed: int
    dropped: int
    samples: int
    seed: int
    keep: Known
    over: str
    bin: str
    groups: Mapping[str, tuple[str, ...]]
    parameters: Mapping[str, ParameterEntry]
    streams: Mapping[str, StreamEntry]
    kept: tuple[str, ...]
    fixed: tuple[str, ...]
    sentences: tuple[str, ...]
    warnings: tuple[str, ...]
    description: str = ""
    where_failed: str = ""
    samples_left: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    created: str = ""
    command: str | None = None

    def check(self) -> None:
        """Refuse an output without a parameter, and a stream without its mean."""
        for stream, entry in self.streams.items():
            if "mean" not in entry.outputs:
                raise Mismatch(f"the mean among the outputs of {stream}", "none")
            for kind, output in entry.outputs.items():
                if set(output.parameters) != set(self.groups):
                    raise Mismatch(f"every parameter in {kind} of {stream}", "others")

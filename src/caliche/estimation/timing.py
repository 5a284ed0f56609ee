"""How much of the wall-clock time went into compiling."""

from __future__ import annotations

import time

import jax.monitoring

_COMPILING = "/jax/core/compile/"
_intervals: list[tuple[float, float]] = []
_listening = False


def _record(event: str, duration_secs: float, **_: str | int) -> None:
    if event.startswith(_COMPILING):
        now = time.perf_counter()
        _intervals.append((now - duration_secs, now))


def _compiling_since(began: float) -> float:
    """Seconds since `began` spent tracing, lowering or compiling.

    JAX reports stages that nest (a traced function calls another); the union counts them once.
    """
    total, reached = 0.0, began
    for start, end in sorted(_intervals):
        if end > reached:
            total += end - max(start, reached)
            reached = end
    return total


def _listen() -> None:
    global _listening
    if not _listening:
        jax.monitoring.register_event_duration_secs_listener(_record)
        _listening = True


def stages_compiled() -> int:
    """How often something was traced, lowered or compiled since this module began to listen."""
    _listen()
    return len(_intervals)


class Stopwatch:
    """Wall-clock time since it was made, split into compiling and running."""

    def __init__(self) -> None:
        _listen()
        self._began = time.perf_counter()

    def seconds(self) -> dict[str, float]:
        """`compile`: tracing, lowering and compiling; `run`: all the rest."""
        elapsed = time.perf_counter() - self._began
        compiling = _compiling_since(self._began)
        return {"compile": compiling, "run": max(0.0, elapsed - compiling)}

"""How long, and how much memory.

Absolute times differ between machines and hours; ratios within one process carry over. So rivals
are timed in turn, again and again, and the minimum of each counts: what disturbs a run on a busy
machine only ever makes it longer.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax

CHECKOUT = Path(__file__).resolve().parents[1]
MEBIBYTE = 2**20

Job = Callable[[], Any]


@dataclass(frozen=True)
class Timing:
    """Seconds of several runs, and how many cores they kept busy on average."""

    samples: tuple[float, ...]
    cores: float = field(default=float("nan"))

    @property
    def minimum(self) -> float:
        return min(self.samples)

    @property
    def median(self) -> float:
        return statistics.median(self.samples)


def fresh_cache(folder: str) -> dict[str, str | None]:
    """The environment of a child whose compiled programs are kept in a folder and nowhere else."""
    return {"XDG_CACHE_HOME": folder, "XLA_FLAGS": None, "JAX_COMPILATION_CACHE_DIR": None}


def interleave(
    jobs: Mapping[str, Job], seconds: float, least_rounds: int = 3, most_rounds: int = 60
) -> dict[str, Timing]:
    """Time every job once per round, round after round, until about `seconds` have passed.

    A job has to wait for its own result: JAX returns before it has computed. Each job runs once
    beforehand, untimed.
    """
    for job in jobs.values():
        job()
    samples: dict[str, list[float]] = {name: [] for name in jobs}
    busy = dict.fromkeys(jobs, 0.0)
    began = time.perf_counter()
    rounds = 0
    while rounds < least_rounds or (rounds < most_rounds and time.perf_counter() - began < seconds):
        rounds += 1
        for name, job in jobs.items():
            processor, wall = time.process_time(), time.perf_counter()
            job()
            samples[name].append(time.perf_counter() - wall)
            busy[name] += time.process_time() - processor
    return {
        name: Timing(tuple(values), busy[name] / sum(values)) for name, values in samples.items()
    }


def time_once(job: Job) -> Timing:
    """Time a job that is too long to repeat."""
    began = time.perf_counter()
    job()
    return Timing((time.perf_counter() - began,))


@dataclass(frozen=True)
class Compiled:
    """A compiled program with its arguments.

    call : the program.  run : the program with the arguments it was compiled for.
    compile_seconds : tracing, lowering and compiling.
    first_call_seconds : of the first run after that.
    temporary_bytes : what XLA says the program allocates beside arguments and results.
    """

    call: Callable
    run: Job
    compile_seconds: float
    first_call_seconds: float
    temporary_bytes: int


def compile_apart(function: Callable, *arguments: Any) -> Compiled:
    """Compile a function for these arguments, and run it for the first time."""

    def anew(*given: Any) -> Any:  # not one that JAX has compiled already
        return function(*given)

    began = time.perf_counter()
    program = jax.jit(anew).lower(*arguments).compile()
    compiled = time.perf_counter()

    def run() -> Any:
        return jax.block_until_ready(program(*arguments))

    run()
    first = time.perf_counter() - compiled
    memory = program.memory_analysis()
    temporary = 0 if memory is None else memory.temp_size_in_bytes
    return Compiled(program, run, compiled - began, first, temporary)


# -- child processes ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Child:
    """What a child process printed last (one JSON value), and the wall-clock time it took (s)."""

    value: Any
    seconds: float


class ChildFailed(RuntimeError):
    """A child process ended with an error; the message is the last line it wrote."""


def run_child(
    command: Sequence[str], environment: Mapping[str, str | None] | None = None, cwd: Any = None
) -> tuple[str, float]:
    """Run a command; gives what it printed and its wall-clock time in seconds.

    `environment` changes variables of this process's environment; None takes one away.
    """
    surroundings = dict(os.environ)
    for name, value in (environment or {}).items():
        surroundings.pop(name, None)
        if value is not None:
            surroundings[name] = value
    began = time.perf_counter()
    done = subprocess.run(command, env=surroundings, cwd=cwd, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise ChildFailed(f"exit code {done.returncode}: {words[-1]}")
    return done.stdout, seconds


def run_job(
    name: str, environment: Mapping[str, str | None] | None = None, **arguments: Any
) -> Child:
    """Run a function of `benchmarks.jobs` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.jobs", name, json.dumps(arguments)]
    # The option that the package sets in this process must not be inherited.
    kept = {"XLA_FLAGS": None, "JAX_COMPILATION_CACHE_DIR": None, **(environment or {})}
    printed, seconds = run_child(command, kept, cwd=CHECKOUT)
    return Child(json.loads(printed.strip().splitlines()[-1]), seconds)


def peak_memory() -> float:
    """The largest resident memory this process has had so far (MiB).

    getrusage would do, but on Linux a process inherits there the peak of the one that started it.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024.0
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MEBIBYTE

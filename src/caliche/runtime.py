"""The settings of JAX that calibration wants, in one place, before the first computation."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from caliche.errors import InputError

# XLA compiles the body of a loop on the CPU as one function only if its data are smaller than
# this; otherwise every operation of every time step is dispatched by itself, several times slower.
# The largest number that fits: the observations of a block of long records pass 100 MB.
# It is not documented; tests/test_runtime.py and the benchmark `option` notice when it has gone.
_ONE_PIECE = "xla_cpu_small_while_loop_byte_threshold"
_LOOPS_IN_ONE_PIECE = f"--xla_backend_extra_options={_ONE_PIECE}={2**31 - 1}"
# Vectors as wide as the processor has them.
_WIDE_VECTORS = "--xla_cpu_prefer_vector_width=512"

# What the environment may have said already about the number of devices that the CPU makes.
_HOST_DEVICES = "xla_force_host_platform_device_count"

# Matrices of calibration are small: on a busy machine threads of OpenBLAS wait for each other, and
# a factorisation takes many times as long. It reads this when NumPy or SciPy load it.
_BLAS_THREADS = "OPENBLAS_NUM_THREADS"
# What the environment said before `configure` changed it.
_before: dict[str, str | None] = {}

# Programs that compile faster than this (s) are not worth a file. One operation alone takes some
# 0.02 s to compile and 0.002 s to read, and a run begins with twenty of them.
_WORTH_KEEPING = 0.003


# Who is told of what JAX compiles; `configure` makes the connection.
_told: list[Callable[[str, float], None]] = []
_COMPILED = "/jax/core/compile/backend_compile_duration"


def tell_compiled(listener: Callable[[str, float], None]) -> None:
    """From the next `configure` on, `listener(name, seconds)` is called for each program that is
    compiled, or read from the cache. There is one listener; it takes the place of the last."""
    _told[:] = [listener]


def configure(cache: bool = True, devices: int | Literal["all"] | None = None) -> None:
    """Set JAX up for calibration; the command line does this by itself.

    Double precision is switched on, time loops are compiled in one piece on the CPU, OpenBLAS gets
    one thread if NumPy or SciPy have not loaded it yet, and compiled programs are kept in the
    user's cache folder, so that the next process starts faster. What the environment says already
    (`XLA_FLAGS`, `OPENBLAS_NUM_THREADS`, `JAX_COMPILATION_CACHE_DIR`) is left as it is. Results do
    not depend on any of it beyond round-off, except on the double precision.

    Parameters
    ----------
    cache : whether to keep compiled programs on disk.
    devices : how many devices to make of this machine's processor, for many sites at once; "all"
        for one of each core that this process may use. None leaves it one. Graphics processors are
        found by JAX and not concerned.

    Raises
    ------
    InputError : a number of devices below 1.

    Warns
    -----
    RuntimeWarning : JAX has computed something already, so that loops will run more slowly, or on
        fewer devices than asked for.
    """
    if isinstance(devices, int) and devices < 1:
        raise InputError("at least one device", str(devices), "leave it out to use every core")
    flags = os.environ.get("XLA_FLAGS", "")
    if _ONE_PIECE not in flags:
        if _backend_is_running():
            warnings.warn(
                "Expected caliche.configure() before the first computation with JAX. Got it after. "
                "Try: call it right after the imports; until then time loops run several times "
                "more slowly.",
                RuntimeWarning,
                stacklevel=2,
            )
        else:
            _change("XLA_FLAGS", f"{flags} {_LOOPS_IN_ONE_PIECE} {_WIDE_VECTORS}".strip())
    if _BLAS_THREADS not in os.environ:
        _change(_BLAS_THREADS, "1")

    import jax

    jax.config.update("jax_enable_x64", True)
    if devices is not None:
        _make_devices(devices)
    if _told and not _connected:
        jax.monitoring.register_event_duration_secs_listener(_compiled)
        _connected.append(True)
    folder = cache_folder()
    if cache and folder is not None and not getattr(jax.config, "jax_compilation_cache_dir", None):
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", _WORTH_KEEPING)


def outside() -> dict[str, str]:
    """The environment as it was before `configure`, for programs that are not caliche's."""
    found = {name: value for name, value in os.environ.items() if name not in _before}
    return found | {name: value for name, value in _before.items() if value is not None}


def _change(name: str, value: str) -> None:
    _before.setdefault(name, os.environ.get(name))
    os.environ[name] = value


_connected: list[bool] = []


def _compiled(event: str, duration_secs: float, **kwargs: Any) -> None:
    """Of the durations that JAX tells, those of programs."""
    if event == _COMPILED:
        for listener in _told:
            listener(str(kwargs.get("fun_name", "a program")), duration_secs)


def _make_devices(devices: int | Literal["all"]) -> None:
    """Devices from the cores of this machine, unless the environment or JAX has made them."""
    import jax

    if _backend_is_running():
        if devices != "all" and jax.local_device_count() < devices:
            warnings.warn(
                f"Expected caliche.configure(devices={devices}) before the first computation with "
                f"JAX. Got it after, with {jax.local_device_count()} there. Try: call it right "
                "after the imports.",
                RuntimeWarning,
                stacklevel=3,
            )
    elif _HOST_DEVICES not in os.environ.get("XLA_FLAGS", ""):
        jax.config.update("jax_num_cpu_devices", usable_cores() if devices == "all" else devices)


def usable_cores() -> int:
    """Number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cache_folder() -> Path | None:
    """The folder for compiled programs, made if need be; None where it cannot be written."""
    if sys.platform == "win32":
        above = os.environ.get("LOCALAPPDATA", "~")
    elif sys.platform == "darwin":
        above = "~/Library/Caches"
    else:
        above = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    try:
        folder = Path(above).expanduser() / "caliche"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # no such home, or not ours to write
        return None
    return folder if os.access(folder, os.W_OK) else None


def _backend_is_running() -> bool:
    """Whether JAX has read its flags already; it offers no public way to ask."""
    if "jax" not in sys.modules:
        return False
    try:
        from jax._src import xla_bridge

        return bool(xla_bridge.backends_are_initialized())
    except (ImportError, AttributeError):
        return False

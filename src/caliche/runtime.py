"""The settings of JAX that calibration wants, in one place, before the first computation."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

# XLA compiles the body of a loop on the CPU as one function only if its data are smaller than
# this; otherwise every operation of every time step is dispatched by itself, several times slower.
_ONE_PIECE = "xla_cpu_small_while_loop_byte_threshold"
_LOOPS_IN_ONE_PIECE = f"--xla_backend_extra_options={_ONE_PIECE}=100000000"
# Programs that compile faster than this (s) are not worth a file.
_WORTH_KEEPING = 0.1


def configure(cache: bool = True) -> None:
    """Set JAX up for calibration; the command line does this by itself.

    Double precision is switched on, time loops are compiled in one piece on the CPU, and compiled
    programs are kept in the user's cache folder, so that the next process starts faster. What the
    environment says already (`XLA_FLAGS`, `JAX_COMPILATION_CACHE_DIR`) is left as it is. Results do
    not depend on any of it beyond round-off, except on the double precision.

    Parameters
    ----------
    cache : whether to keep compiled programs on disk.

    Warns
    -----
    RuntimeWarning : JAX has computed something already, so that loops will run more slowly.
    """
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
            os.environ["XLA_FLAGS"] = f"{flags} {_LOOPS_IN_ONE_PIECE}".strip()

    import jax

    jax.config.update("jax_enable_x64", True)
    folder = cache_folder()
    if cache and folder is not None and not getattr(jax.config, "jax_compilation_cache_dir", None):
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", _WORTH_KEEPING)


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

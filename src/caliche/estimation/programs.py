"""Compiled programs of a process that fits one problem after another, before they are too many."""

from __future__ import annotations

import gc
from pathlib import Path

import jax

from caliche.estimation.timing import stages_compiled

_MAPS, _MOST_MAPS = Path("/proc/self/maps"), Path("/proc/sys/vm/max_map_count")
# A program of one calibration holds some thousand maps, and one calibration has few programs.
_SHARE = 0.5
_looked_at = 0


def make_room(share: float = _SHARE) -> bool:
    """Forget every compiled program of this process if they hold too many maps of memory.

    Each program holds many, of which Linux gives a process 65530 (vm.max_map_count) if nothing else
    is said; when they are used up, the compiler ends the process without a sentence. Programs that
    are needed again are read from the folder of compiled programs, or compiled once more; results
    do not depend on it. `estimate` begins with this, so that any number of problems can be fitted
    one after another. Where the system does not tell its maps nothing is done.

    Parameters
    ----------
    share : of the maps that a process may have.

    Returns
    -------
    whether programs were forgotten.
    """
    global _looked_at
    compiled = stages_compiled()
    if compiled == _looked_at:  # nothing new; counting ten thousand maps takes 0.01 s
        return False
    _looked_at = compiled
    if not (_MAPS.exists() and _MOST_MAPS.exists()):
        return False
    if _MAPS.read_bytes().count(b"\n") <= share * int(_MOST_MAPS.read_text()):
        return False
    jax.clear_caches()
    gc.collect()
    return True

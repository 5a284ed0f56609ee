"""Exit codes of every command, and when the process began."""

from __future__ import annotations

import time

STARTED = time.perf_counter()
OK, BAD_INPUT, NOT_CONVERGED, INTERRUPTED, TERMINATED = 0, 2, 3, 130, 143

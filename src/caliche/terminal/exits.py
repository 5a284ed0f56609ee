"""Exit codes of every command, when the process began, and what stopped it."""

from __future__ import annotations

import signal
import time

STARTED = time.perf_counter()
OK, BAD_INPUT, NOT_CONVERGED, INTERRUPTED, TERMINATED = 0, 2, 3, 130, 143
# Signals that stopped this command, beside Ctrl-C.
_SIGNALS: list[int] = []


def listen() -> None:
    """From now on SIGTERM is an interrupt. For a process of its own, in its main thread."""
    signal.signal(signal.SIGTERM, _terminate)


def _terminate(number: int, _frame: object) -> None:
    _SIGNALS.append(number)
    raise KeyboardInterrupt


def exit_code() -> int:
    """Of a command that was stopped: 130 after Ctrl-C, 143 after SIGTERM."""
    return TERMINATED if _SIGNALS else INTERRUPTED


def stopped() -> str:
    """The first word of what such a command says."""
    return "terminated" if _SIGNALS else "interrupted"

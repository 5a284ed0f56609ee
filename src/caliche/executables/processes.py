"""Every process that a run starts ends with it: children, and those in sessions of their own."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

# A variable of the environment, which processes hand on to those that they start.
_VARIABLE = "CALICHE_MEMBER"
_PROCESSES = Path("/proc")
_ATTEMPTS = 20


def marked(environment: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """An environment with a mark of its own, and the mark."""
    mark = secrets.token_hex(16)
    return {**environment, _VARIABLE: mark}, mark


def end_all(process: subprocess.Popen, mark: str) -> None:
    """End a run and whatever it started, wait for it, and leave nothing running.

    What went into a session of its own is found by its mark, where the system shows the environment
    of processes (Linux).
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for _ in range(_ATTEMPTS):  # one that is being started may escape the first
        found = _with_mark(f"{_VARIABLE}={mark}".encode())
        if not found:
            return
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _with_mark(mark: bytes) -> list[int]:
    """Processes, this one not among them, with these words in their environment."""
    found = []
    if not _PROCESSES.is_dir():
        return found
    for name in os.listdir(_PROCESSES):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            if mark in (_PROCESSES / name / "environ").read_bytes():
                found.append(int(name))
    return found

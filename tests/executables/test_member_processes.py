"""No process of a run is left when it ends, whatever it started and however."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from caliche.executables.processes import end_all, marked

# One child in the group of its parent, one in a session of its own, and one that nobody waits for.
STARTS = """
import subprocess, sys, time
sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
first = subprocess.Popen(sleep)
second = subprocess.Popen(sleep, start_new_session=True)
print(first.pid, second.pid, flush=True)
if sys.argv[1] == "hangs":
    time.sleep(600)
"""


def runs(pid: int) -> bool:
    """Whether a process runs: one that has ended and that nobody waited for does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")
@pytest.mark.parametrize("how", ["ends", "hangs"])
def test_children_end_with_their_run(how):
    environment, mark = marked(os.environ)
    process = subprocess.Popen(
        [sys.executable, "-c", STARTS, how],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    children = [int(pid) for pid in process.stdout.readline().split()]
    if how == "ends":
        assert process.wait(60) == 0
        assert all(map(runs, children))
    end_all(process, mark)
    process.stdout.close()
    until = time.monotonic() + 20.0
    while any(map(runs, children)) and time.monotonic() < until:
        time.sleep(0.02)
    assert not any(map(runs, children))
    assert process.returncode is not None

"""An executable history-matched: failing members by policy, going on where it was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from caliche.commands.history_match.run import MatchRun, match_program
from caliche.errors import InputError
from caliche.executables.config import read_drive
from caliche.history_matching.study import Options

SMALL = {"waves": 2, "runs": 10, "members": 100, "points": 2**10, "method": "emulator"}


def matched(path: Path, folder: Path, **options) -> MatchRun:
    return match_program(read_drive(path), folder, Options(**{**SMALL, **options}))


def share_of_the_model() -> float:
    """What the model itself leaves of a and b in [-2, 2]: two values, sigma and a tenth of sd."""
    a, b = np.meshgrid(*(np.linspace(-2.0, 2.0, 801),) * 2)
    spread = np.hypot(0.2, 0.1 * np.std([0.525, 2.525]))
    first = np.abs(a + 0.1 * a**2 - 0.525) / spread
    third = np.abs(a + 2.0 * b + 0.1 * a**2 - 2.525) / spread
    return float(np.mean(np.maximum(first, third) <= 3.023))


def test_waves_of_an_executable_leave_what_the_model_leaves(study, tmp_path):
    path = study("bad", timeout=2.0)
    found = matched(path, tmp_path / "out", audit=8)
    assert found.summary["failures"] == {
        "exit code 7: the soil is gone": 1,
        "took longer than 2 s": 1,
        "left outputs that are not finite": 1,
    }
    assert found.found.waves[0].failed == 3
    assert found.found.fraction == pytest.approx(share_of_the_model(), rel=0.15)
    # Where a run failed, nothing is ruled out for it: the truth (0.5, 1) is in.
    assert found.found.after[0, 0] < 0.5 < found.found.after[0, 1]
    assert any("3 of" in text and "failed" in text for text in found.summary["warnings"])
    raw = tomllib.loads((found.folder / "reduced.toml").read_text("utf-8"))
    narrowed = raw["parameters"]["a"]
    assert -2.0 < narrowed["lower"] < 0.5 < narrowed["upper"] < 2.0
    again = read_drive(found.folder / "reduced.toml")
    assert Path(again.command[-2]).resolve() == (tmp_path / "model.py").resolve()
    np.testing.assert_array_equal(again.observed, [0.525, np.nan, 2.525])


def test_failing_runs_are_redrawn_or_refused_if_asked(study, tmp_path):
    path = study("bad", timeout=2.0)
    one = {"waves": 1, "points": 2**8, "members": 50}
    found = matched(path, tmp_path / "redrawn", failures="redraw", **one)
    assert (found.found.waves[0].runs, found.found.waves[0].failed) == (13, 3)
    with pytest.raises(InputError, match=r"no run to fail.* Got 3 of 10 runs .*: "):
        matched(path, tmp_path / "stopped", failures="stop", **one)


def arrays(folder: Path) -> dict[str, np.ndarray]:
    with xr.open_dataset(folder / "result.nc", engine="h5netcdf") as data:
        return {str(name): data[name].values for name in data.variables}


def same(one: MatchRun, other: MatchRun) -> None:
    for name, values in arrays(one.folder).items():
        np.testing.assert_array_equal(arrays(other.folder)[name], values, err_msg=name)
    assert one.found.by_factor == other.found.by_factor
    assert one.found.audit == other.found.audit


def finished(folder: Path) -> set[str]:
    """Batch and number of the members that are finished, as the executable logs them."""
    members = (folder / "members").glob("batch_*/*/status.json")
    return {f"{int(p.parts[-3][6:])} {int(p.parent.name[7:])}" for p in members}


def test_a_search_that_was_stopped_anywhere_goes_on_and_runs_nothing_twice(study, tmp_path):
    path, log = study(), tmp_path / "log.txt"
    options = Options(**SMALL, audit=8)
    whole = match_program(read_drive(path), tmp_path / "whole", options)
    every = set(log.read_text().split("\n"))
    log.unlink()
    for stop_at in (4, 14):  # in the wave, then in the audit

        def stop(done: int, stop_at: int = stop_at) -> None:
            if done >= stop_at:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            match_program(read_drive(path), tmp_path / "out", options, counted=stop)
        assert not (tmp_path / "out" / "summary.json").exists()
    known = finished(tmp_path / "out")
    assert len(known) >= 14
    before = log.read_text().split("\n")
    again = match_program(read_drive(path), tmp_path / "out", options)
    after = log.read_text().split("\n")
    assert not known & set(after[len(before) - 1 :])
    assert set(after) == every
    same(whole, again)


@pytest.mark.ci
def test_a_search_that_was_killed_ends_as_one_that_was_not(study, tmp_path):
    path, log = study(), tmp_path / "log.txt"
    whole = matched(path, tmp_path / "whole")
    log.unlink()
    program = (
        "from pathlib import Path; import caliche; caliche.configure()\n"
        "from caliche.executables.config import read_drive\n"
        "from caliche.commands.history_match.run import match_program\n"
        "from caliche.history_matching.study import Options\n"
        f"match_program(read_drive(Path({str(path)!r})), Path({str(tmp_path / 'out')!r}), "
        f"Options(**{SMALL!r}))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], start_new_session=True)
    deadline = time.monotonic() + 240.0
    while not (log.is_file() and "0 3\n" in log.read_text()):
        assert process.poll() is None, "it ended by itself"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "out" / "summary.json").exists()
    same(whole, matched(path, tmp_path / "out"))


def test_another_file_in_the_same_folder_is_refused(study, tmp_path):
    path = study()
    folder = tmp_path / "out"
    small = {"waves": 1, "runs": 6, "points": 64, "members": 50}
    matched(path, folder, **small)
    path.write_text(path.read_text().replace("sigma = 0.2", "sigma = 0.3"))
    with pytest.raises(InputError, match="the same configuration"):
        matched(path, folder, **small)

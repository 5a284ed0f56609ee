"""What a command that was stopped says, and what `--fresh` refuses."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from caliche.errors import InputError
from caliche.runs.folder import state_file
from caliche.terminal import stop
from caliche.terminal.exits import INTERRUPTED, TERMINATED
from caliche.terminal.stop import folder_of, refuse_state, stoppable

FOLDER = Path("runs/a")


@pytest.mark.parametrize(
    ("out", "command", "goes_on"),
    [
        (FOLDER, "", "the same command goes on from there"),
        (None, "", "the same command with --out runs/a goes on from there"),
        (None, "`caliche posterior a`", "`caliche posterior a` goes on from there"),
    ],
)
def test_one_sentence_and_one_exit_code(capsys, out, command, goes_on):
    with (
        pytest.raises(SystemExit) as ended,
        stoppable("fits are kept in runs/a", FOLDER, out, lambda: True, command),
    ):
        raise KeyboardInterrupt
    assert ended.value.code == INTERRUPTED
    told = capsys.readouterr().err
    assert told == f"caliche: interrupted; fits are kept in runs/a, and {goes_on}\n"


def test_what_systems_send_before_they_end_a_process_is_an_interrupt():
    """SIGTERM: the same sentence, and the exit code that its sender expects."""
    lines = (
        "import time",
        "from pathlib import Path",
        "from caliche.terminal import exits, stop",
        "exits.listen()",
        "with stop.stoppable('fits are kept', Path('a'), Path('a'), lambda: True):",
        "    print('begun', flush=True)",
        "    time.sleep(60)",
    )
    process = subprocess.Popen(
        [sys.executable, "-c", "\n".join(lines)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == TERMINATED
    assert said == "caliche: terminated; fits are kept, and the same command goes on from there\n"


def test_without_anything_kept_the_interrupt_goes_on():
    with pytest.raises(KeyboardInterrupt), stoppable("fits", FOLDER, None, lambda: False):
        raise KeyboardInterrupt


def test_what_is_finished_is_not_denied(monkeypatch):
    monkeypatch.setattr(stop, "FINISHED", [])
    assert stop.interrupted() == "caliche: interrupted; nothing was written"
    with stoppable("fits", FOLDER, None, lambda: True):
        pass
    assert stop.interrupted() == "caliche: interrupted; what was found is in runs/a"


def test_fresh_refuses_whatever_was_begun(tmp_path):
    out = tmp_path / "run"
    assert folder_of(out, "a", fresh=True) == out
    state_file(out).write_bytes(b"")
    assert folder_of(out, "a", fresh=False) == out
    with pytest.raises(InputError, match="leave out --fresh"):
        folder_of(out, "a", fresh=True)
    state_file(out).unlink()
    out.mkdir()
    (out / "run.json").write_text("{}")
    assert folder_of(out, "a", fresh=False) == out
    with pytest.raises(InputError, match="does not exist yet"):
        folder_of(out, "a", fresh=True)
    refuse_state(tmp_path / "nothing.npz")


def test_a_folder_without_a_name_is_new_and_named_after_the_experiment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert folder_of(None, "tower-sites", fresh=False).name.startswith("tower-sites-")

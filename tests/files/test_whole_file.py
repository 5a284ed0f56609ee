"""A file that is there is whole, whatever happens to those who write it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Barrier, Thread

import pytest

from caliche.files.whole_file import (
    clear,
    clear_folders,
    folder_aside,
    remove,
    write_text,
    write_text_once,
    written_aside,
)

HALF = """
import os, signal
from pathlib import Path
from caliche.files.whole_file import written_aside

with written_aside(Path("result [1].txt")) as scratch, open(scratch, "w") as file:
    file.write("half of the new")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_killed_half_way_the_old_file_stays(tmp_path):
    file = write_text(tmp_path / "result [1].txt", "the old")  # brackets mean something in patterns
    other = write_text(tmp_path / "result 1.txt", "another")
    done = subprocess.run([sys.executable, "-c", HALF], cwd=tmp_path, check=False)
    assert done.returncode == -signal.SIGKILL
    assert file.read_text() == "the old"
    (left,) = set(names(tmp_path)) - {file.name, other.name}
    assert left.startswith(".")
    assert left.endswith(".aside")
    remove(other)
    assert names(tmp_path) == [left, file.name]  # what is on its way elsewhere is not touched
    remove(file)
    assert names(tmp_path) == []
    remove(file)


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    file = write_text(tmp_path / "result.txt", "the old")

    def fail() -> None:
        with written_aside(file) as scratch:
            scratch.write_text("half of the new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with pytest.raises(UnicodeEncodeError):
        write_text(file, "half of the new \ud800")
    with pytest.raises(FileNotFoundError):
        write_text(tmp_path / "no folder" / "result.txt", "new")
    assert names(tmp_path) == ["result.txt"]
    assert file.read_text() == "the old"


def test_text_is_written_the_same_everywhere(tmp_path):
    file = write_text(tmp_path / "result.txt", "ground heat, W m⁻²\n")
    assert file.read_bytes() == "ground heat, W m⁻²\n".encode()


def test_writers_at_once_do_not_meet(tmp_path, monkeypatch):
    """Not even with one process id, as on two machines that share the folder."""
    monkeypatch.setattr(os, "getpid", lambda: 7)
    file, both = tmp_path / "result.txt", Barrier(2, timeout=20.0)
    seen = []

    def write(text: str) -> None:
        with written_aside(file) as scratch:
            scratch.write_text(text)
            both.wait()  # both are on their way
            seen.append(scratch.read_text())

    threads = [Thread(target=write, args=(text * 1000,)) for text in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == ["a" * 1000, "b" * 1000]
    assert file.read_text() in seen
    assert names(tmp_path) == ["result.txt"]


def test_of_those_who_write_once_the_first_stays(tmp_path):
    file = tmp_path / "run.json"
    write_text_once(file, "the first")
    write_text_once(file, "the second")
    assert file.read_text() == "the first"
    assert names(tmp_path) == ["run.json"]


def test_clearing_a_folder_leaves_its_files(tmp_path):
    for name in ("000001.nc", ".hidden", "mine.aside", ".000002.nc-0011223344556677.aside"):
        (tmp_path / name).write_text("")
    clear(tmp_path)
    assert names(tmp_path) == [".hidden", "000001.nc", "mine.aside"]


@pytest.mark.skipif(os.name != "posix", reason="locks")
def test_what_somebody_writes_now_is_not_cleared(tmp_path):
    """Of two processes in one folder, the one that ends first leaves the other's file alone."""
    with written_aside(tmp_path / "b.txt") as scratch:
        scratch.write_text("b")
        clear(tmp_path)
    assert names(tmp_path) == ["b.txt"]
    (tmp_path / ".c.txt-1.aside").write_text("of a process that is no more")
    clear(tmp_path)
    assert names(tmp_path) == ["b.txt"]


@pytest.mark.skipif(os.name != "posix", reason="locks")
def test_a_folder_is_whole_and_what_is_left_of_dead_writers_goes(tmp_path):
    run, left = tmp_path / "run", tmp_path / ".run-1.aside"
    (left / "run").mkdir(parents=True)
    (left / "lock").touch()
    with folder_aside(run) as inside:
        (inside / "a.txt").write_text("a")
        clear_folders(run)
        assert names(inside) == ["a.txt"]
        assert not left.exists()
        inside.replace(run)
    assert names(tmp_path) == ["run"]
    assert names(run) == ["a.txt"]
    with pytest.raises(ZeroDivisionError), folder_aside(tmp_path / "other"):
        raise ZeroDivisionError
    assert names(tmp_path) == ["run"]

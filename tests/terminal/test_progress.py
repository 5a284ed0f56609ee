"""Progress in a pipe, on a terminal, and when nobody wants it."""

from __future__ import annotations

import io
import sys

import pytest

from caliche.terminal import progress as module
from caliche.terminal import verbosity
from caliche.terminal.progress import Progress, iterations


@pytest.fixture(autouse=True)
def as_usual():
    verbosity.reset()
    yield
    verbosity.reset()


def test_a_pipe_gets_the_first_lines_the_last_and_one_now_and_then(capsys, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    with Progress("Working", "Working (compiling first)") as progress:
        for step in range(1, 31):
            clock[0] = float(step)
            progress.update(f"step {step}", step, 30, now=step == 30)
    told = capsys.readouterr().err.splitlines()
    steps = ["step 1", "step 2", "step 3", "step 14", "step 25", "step 30"]
    assert told == ["Working (compiling first)", *steps]


def test_quiet_says_nothing_in_a_pipe_and_on_a_terminal(capsys, monkeypatch):
    verbosity.NOW.quiet = True
    for terminal in (False, True):
        monkeypatch.setattr(sys.stderr, "isatty", lambda terminal=terminal: terminal, raising=False)
        with Progress("Working", "begun") as progress:
            progress.say("a line")
            progress.update("step 1", now=True)
    assert capsys.readouterr().err == ""


def test_a_terminal_sees_one_line_as_it_is_written(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with Progress("Working [red]", "begun") as progress:
        progress.update("variant [1/2] of [bold]", 1, 2)
        progress.say("done: [2/2]")
    text = screen.getvalue()
    assert "variant [1/2] of [bold]" in text
    assert "Working [red]" in text
    assert "done: [2/2]" in text
    assert "begun" not in text


def test_a_dumb_terminal_is_a_pipe(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "dumb")
    with Progress("Working", "begun") as progress:
        progress.update("step 1")
    assert capsys.readouterr().err.splitlines()[-2:] == ["begun", "step 1"]


def test_iterations_in_words(capsys):
    with Progress("Calibrating") as progress:
        iterations(progress)(1, 12.5, 3)
    assert capsys.readouterr().err == "iteration 1  misfit 12.5  starts still running 3\n"

"""`--verbose`: programs are named when they took long, and counted."""

from __future__ import annotations

from caliche.terminal.verbosity import Verbosity


def test_programs_are_named_counted_and_timed(capsys):
    told = Verbosity()
    told.compiled("jit(f)", 3.0)
    assert capsys.readouterr().err == ""  # nobody asked
    told.verbose = True
    told.compiled("jit(f)", 1.5)
    told.compiled("jit(small)", 0.01)
    told.tell_times()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "compiled jit(f) in 1.50 s"
    assert len(lines) == 2
    assert lines[1].endswith(" of which 1.5 s compiling 2 programs")

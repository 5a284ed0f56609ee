"""The installed command; `python -m caliche` is the same."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from typing import NoReturn

from caliche.cli import main
from caliche.terminal import stop


def command() -> NoReturn:
    """`main` as a process of its own, which ends at once.

    Python would take apart object by object what a command has imported and traced: a sixth of the
    time of a short one, for memory that the system frees anyway.
    """
    code = 1  # of what is not foreseen, and ends with a traceback

    def leave() -> None:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):  # whoever read it may be gone
                stream.flush()
        os._exit(code)

    atexit.register(leave)  # the first to come is the last to be called
    try:
        stop.listen()
        main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
        raise


if __name__ == "__main__":
    command()

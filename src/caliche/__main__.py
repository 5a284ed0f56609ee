"""The installed command; `python -m caliche` is the same."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from typing import NoReturn

from caliche.terminal.exits import exit_code, listen, stopped


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
        listen()
        from caliche.cli import main  # here, since somebody may interrupt what it imports, too

        main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
        raise
    except KeyboardInterrupt:
        code = exit_code()
        print(f"caliche: {stopped()}; nothing was written", file=sys.stderr)
        sys.exit(code)


if __name__ == "__main__":
    command()

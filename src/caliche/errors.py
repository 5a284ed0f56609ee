"""The one shape of an error a user can cause: what was expected, what came, what to try."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input, told in one clear sentence.

    Parameters
    ----------
    expected : what the program needs, without a closing full stop.
    got : what it found.
    suggestion : what the user can do about it; begins with a verb.
    """

    def __init__(self, expected: str, got: str, suggestion: str) -> None:
        self.expected, self.got, self.suggestion = expected, got, suggestion
        end = "" if suggestion.endswith((".", "?")) else "."
        super().__init__(f"Expected {expected}. Got {got}. Try: {suggestion}{end}")


def nearest(word: str, known: Iterable[str], likeness: float = 0.5) -> str:
    """A suggestion naming the known words closest to `word`, or all of them if none is close.

    Parameters
    ----------
    likeness : how alike two words have to be, from 0 to 1 (the same).
    """
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=2, cutoff=likeness)
    if close:
        return "did you mean " + " or ".join(repr(name) for name in close) + "?"
    return "one of " + ", ".join(known)

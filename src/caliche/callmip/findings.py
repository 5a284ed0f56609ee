"""What a check of an output file found: its name, one sentence, and whether it fails the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from caliche.callmip.opened import Opened


@dataclass(frozen=True)
class Finding:
    """One sentence about a file, or about the folder where `file` is empty.

    fails : whether the file would be refused, or the comparison misled; else it is worth knowing.
    """

    check: str
    file: str
    sentence: str
    fails: bool = True


@dataclass(frozen=True)
class Check:
    """One check of a file.

    name : as it is listed.  about : what is checked, as a clause.
    find : what is wrong, one sentence each; nothing where all is well.
    needs : checks without which this one cannot tell, and is left out.
    """

    name: str
    about: str
    find: Callable[[Opened], Iterator[str]]
    needs: tuple[str, ...] = ()
    fails: bool = True


def run_checks(checks: tuple[Check, ...], opened: Opened) -> list[Finding]:
    """What checks find in one file, in their order; what needs a failed check is left out."""
    found: list[Finding] = []
    failed: set[str] = set()
    for check in checks:
        if failed & set(check.needs):
            failed.add(check.name)
            continue
        sentences = list(check.find(opened))
        if sentences and check.fails:
            failed.add(check.name)
        found += [Finding(check.name, opened.path.name, s, check.fails) for s in sentences]
    return found

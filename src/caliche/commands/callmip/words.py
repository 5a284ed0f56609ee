"""What the commands of CalLMIP found, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from caliche.callmip.check import OF_FILES, OF_FOLDERS, Looked
from caliche.wording import number_of


def check_lines(found: Looked) -> Iterator[str]:
    """The verdict, what failed, and what else is worth knowing."""
    checks = number_of(len(OF_FILES) + len(OF_FOLDERS), "check")
    files = number_of(len(found.files), "file")
    if found.passed:
        yield f"Passed: {files}, {checks}, nothing that fails."
    else:
        names = dict.fromkeys(f.check for f in found.failed)
        yield f"Failed: {', '.join(names)} ({files}, {checks})."
    for finding in found.findings:
        where = f"{finding.file}: " if finding.file else ""
        kind = "fails" if finding.fails else "note"
        yield f"{kind}  {finding.check}: {where}{finding.sentence}."

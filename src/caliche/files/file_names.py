"""Names that users give and that become names of files or folders: they lead nowhere else."""

from __future__ import annotations

from caliche.errors import InputError

# Of what a name becomes a part of; systems allow 255 bytes for all of it.
LONGEST = 100
_SEPARATORS = "/\\:"


def check_file_name(name: str, what: str) -> str:
    """A name that can be that of a file.

    Parameters
    ----------
    what : what is named so, with its place, for the sentence of the error.

    Raises
    ------
    InputError : a name that is empty, too long, begins with a dot or a hyphen, or has separators of
        paths or letters that cannot be printed in it.
    """
    sound = name.isprintable() and not any(letter in _SEPARATORS for letter in name)
    if not (sound and name.strip() and name[0] not in ".-" and len(name.encode()) <= LONGEST):
        raise InputError(
            f"a name without / \\ and :, of at most {LONGEST} bytes, for {what}",
            repr(name if len(name) <= LONGEST else f"{name[:LONGEST]}..."),
            "give it a short name of letters, digits, - and _",
        )
    return name

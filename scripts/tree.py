"""The tree of the package in ARCHITECTURE.md: one line a module, the first of its docstring.

python scripts/tree.py            # prints it
python scripts/tree.py --write    # puts it into ARCHITECTURE.md
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
PACKAGE = CHECKOUT / "src" / "caliche"
PAGE = CHECKOUT / "ARCHITECTURE.md"
BEGIN, END = "<!-- tree: scripts/tree.py -->\n", "<!-- end of the tree -->\n"
COLUMN = 28  # where the words begin


def first_line(source: Path) -> str:
    """What a module says of itself."""
    said = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""
    return said.partition("\n")[0]


def tree(folder: Path = PACKAGE, depth: int = 0) -> list[str]:
    """The lines of a package: what it is, its modules, then its packages."""
    lines = [entry(f"{folder.name}/", first_line(folder / "__init__.py"), depth)]
    for source in sorted(folder.glob("*.py")):
        if source.name not in ("__init__.py", "_version.py"):
            lines.append(entry(source.name, first_line(source), depth + 1))
    for inner in sorted(folder.iterdir()):
        if (inner / "__init__.py").is_file():
            lines += tree(inner, depth + 1)
    return lines


def entry(name: str, words: str, depth: int) -> str:
    """One line of the tree."""
    return f"{'  ' * depth + name:<{COLUMN}} {words}".rstrip()


def section() -> str:
    """The tree as it stands in ARCHITECTURE.md, with its marks."""
    return f"{BEGIN}```\n" + "\n".join(tree()) + f"\n```\n{END}"


def with_tree(page: str) -> str:
    """The page with the tree of today in place of the one it has."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + section() + after


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        PAGE.write_text(with_tree(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print("\n".join(tree()))

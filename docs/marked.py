"""Generated text between the markers of a page.

Each script here writes its own, or with ``--check`` exits 1 if the page holds something else.
"""

import re
import sys
from pathlib import Path


def insert(page: str, name: str, command: str, content: str) -> str:
    """The page with ``content`` between its markers ``begin NAME: COMMAND`` and ``end NAME``."""
    begin, end = f"<!-- begin {name}: {command} -->\n", f"<!-- end {name} -->"
    return re.sub(
        f"({re.escape(begin)}).*?({re.escape(end)})", lambda m: f"{m[1]}{content}\n{m[2]}", page, flags=re.DOTALL
    )


def update(path: Path, name: str, command: str, content: str) -> int:
    """Writes the page, or checks it if the script was asked to; returns the exit status."""
    page = path.read_text()
    new = insert(page, name, command, content)
    if "--check" in sys.argv[1:]:
        return int(page != new)
    path.write_text(new)
    return 0

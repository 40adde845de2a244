"""Writes the kept training results between the markers of docs/training.md: ``python docs/training.py``.

With ``--check``, exits 1 if what the page holds is not what ``docs/results`` gives.
"""

import re
import sys
from pathlib import Path

from sterna.train.results import read, table

DOCS = Path(__file__).parent
PAGE = DOCS / "training.md"
BEGIN, END = "<!-- begin results: python docs/training.py -->\n", "<!-- end results -->"


def insert(page: str, content: str) -> str:
    """The page with the table between its markers."""
    return re.sub(f"({re.escape(BEGIN)}).*?({re.escape(END)})", lambda m: f"{m[1]}{content}\n{m[2]}", page,
                  flags=re.DOTALL)  # fmt: skip


def main() -> int:
    page = PAGE.read_text()
    new = insert(page, table(read(DOCS / "results")))
    if "--check" in sys.argv[1:]:
        return int(page != new)
    PAGE.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())

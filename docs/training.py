"""Writes the kept training results between the markers of docs/training.md: ``python docs/training.py``.

With ``--check``, exits 1 if what the page holds is not what ``docs/results`` gives.
"""

import re
import sys
from pathlib import Path

from sterna.train.results import gaps_closed, read, table

DOCS = Path(__file__).parent
PAGE = DOCS / "training.md"
BEGIN, END = "<!-- begin results: python docs/training.py -->\n", "<!-- end results -->"


def insert(page: str, content: str) -> str:
    """The page with the table between its markers."""
    return re.sub(f"({re.escape(BEGIN)}).*?({re.escape(END)})", lambda m: f"{m[1]}{content}\n{m[2]}", page,
                  flags=re.DOTALL)  # fmt: skip


def main() -> int:
    page = PAGE.read_text()
    results = read(DOCS / "results")
    closed = ", ".join(f"`{name}` {share:+.0%}" for name, share in gaps_closed(results).items())
    gap = f"\n\nOf what ternary weights lose against fp32, powers of three regain: {closed}." if closed else ""
    new = insert(page, table(results) + gap)
    if "--check" in sys.argv[1:]:
        return int(page != new)
    PAGE.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())

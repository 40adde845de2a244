"""Writes the kept training results between the markers of docs/training.md: ``python docs/training.py``.

With ``--check``, exits 1 if what the page holds is not what ``docs/results`` gives.
"""

import sys
from pathlib import Path

from marked import update

from sterna.train.results import gaps_closed, read, table

DOCS = Path(__file__).parent
PAGE = DOCS / "training.md"


def content() -> str:
    """The table, and what powers of three regain."""
    results = read(DOCS / "results")
    closed = ", ".join(
        f"`{name}` {share:+.0%} of {abs(results[name].fp32_median - results[name].median):.4f}"
        for name, share in gaps_closed(results).items()
    )
    gap = f"\n\nOf what ternary weights lose against fp32, powers of three regain: {closed}." if closed else ""
    return table(results) + gap


if __name__ == "__main__":
    sys.exit(update(PAGE, "results", "python docs/training.py", content()))

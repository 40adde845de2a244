"""Writes the table of simulated boards between the markers of docs/boards.md: ``python docs/pins.py``.

The numbers are those of docs/results/pins-*.json, which ``sterna bench pins … --keep docs/results`` writes. With
``--check``, exits 1 if what the page holds is not that.
"""

import json
import sys
from pathlib import Path

from marked import update

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parent / "boards.md"


def table() -> str:
    """A board and level a row, as Markdown."""
    rows = [
        "| board, level | clock, link | network | images | every output golden's | cycles an image "
        "| cycles from power-up | build |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for path in sorted(RESULTS.glob("pins-*.json")):
        row = json.loads(path.read_text())
        rows.append(
            f"| {row['board']}, {row['level']} | {row['frequency'] / 1e6:g} MHz, {row['baud'] / 1e6:g} Mbaud "
            f"| {row['model']} | {row['images']} | {row['equal_golden']} | "
            f"{row['cycles_per_image']:.1f} | {row['cycles']} | `{row['build']}` |"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(update(PAGE, "pins", "python docs/pins.py", table()))

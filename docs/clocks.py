"""Writes the kept clocks of placed designs between the markers of docs/area.md: ``python docs/clocks.py``.

With ``--check``, exits 1 if what the page holds is not what ``docs/results`` gives.
"""

import json
import sys
from pathlib import Path
from typing import Any

from marked import update

DOCS = Path(__file__).parent
PAGE = DOCS / "area.md"

LOGIC = ("LC", "LUT4")
"""What the tables of parts call the cells that run short."""


def row(placed: dict[str, Any]) -> str:
    """What ``sterna bench area --json`` gave, as a row of Markdown."""
    kind = next(kind for kind in LOGIC if kind in placed["cells"])
    cells = f"{placed['cells'][kind]:,} of {placed['capacity'][kind]:,} {kind}"
    clocks = ", ".join(f"{mhz:.2f} ({seed})" for seed, mhz in zip(placed["seeds"], placed["fmax_mhz"], strict=True))
    median, rate = placed["median_mhz"], placed["dense_mmac_per_s"]
    lanes = round(rate / median)
    name = f"{placed['target']}, `{placed['configuration']}`"
    return f"| {name} | {lanes:,} | {cells} | {clocks} | **{median:.2f}** | {rate:,.0f} |"


def content() -> str:
    """A row for each file."""
    head = "| board, configuration | products a cycle | cells | MHz (seed) | median | dense MMAC/s |"
    placed = [json.loads(path.read_text()) for path in sorted((DOCS / "results").glob("clock-*.json"))]
    return "\n".join([head, "|---|---|---|---|---|---|", *map(row, placed)])


if __name__ == "__main__":
    sys.exit(update(PAGE, "clocks", "python docs/clocks.py", content()))

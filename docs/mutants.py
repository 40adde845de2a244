"""Writes the table of mutants between the markers of sim/TESTPLAN.md: ``python docs/mutants.py``.

The numbers are those of docs/results/mutants.json, which ``sterna bench mutants -o docs/results/mutants.json`` writes.
With ``--check``, exits 1 if what the page holds is not that.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "mutants.json"
PAGE = Path(__file__).parent.parent / "sim" / "TESTPLAN.md"
BEGIN, END = "<!-- begin mutants: python docs/mutants.py -->\n", "<!-- end mutants -->"


def table(report: dict[str, Any]) -> str:
    """A unit a row, as Markdown."""
    head = "| unit | mutants | killed | proved equivalent | survivors | killed of those not equivalent |"
    rows = []
    for unit in report["units"]:
        equivalent, survivors = len(unit["equivalent"]), len(unit["survivors"])
        share = unit["killed"] / (unit["mutants"] - equivalent)
        rows.append(
            f"| {unit['unit']} | {unit['mutants']} | {unit['killed']} | {equivalent} | {survivors} | {share:.1%} |"
        )
    return "\n".join([head, "|---|---|---|---|---|---|", *rows])


def insert(page: str, report: dict[str, Any]) -> str:
    """The page with the table between its markers."""
    return re.sub(f"({re.escape(BEGIN)}).*?({re.escape(END)})", lambda m: f"{m[1]}{table(report)}\n{m[2]}", page,
                  flags=re.DOTALL)  # fmt: skip


def main() -> int:
    page = PAGE.read_text()
    new = insert(page, json.loads(RESULTS.read_text()))
    if "--check" in sys.argv[1:]:
        return int(page != new)
    PAGE.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())

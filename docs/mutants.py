"""Writes the table of mutants between the markers of sim/TESTPLAN.md: ``python docs/mutants.py``.

The numbers are those of docs/results/mutants.json, which ``sterna bench mutants -o docs/results/mutants.json`` writes.
With ``--check``, exits 1 if what the page holds is not that.
"""

import json
import sys
from pathlib import Path
from typing import Any

from marked import update

RESULTS = Path(__file__).parent / "results" / "mutants.json"
PAGE = Path(__file__).parent.parent / "sim" / "TESTPLAN.md"


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


if __name__ == "__main__":
    sys.exit(update(PAGE, "mutants", "python docs/mutants.py", table(json.loads(RESULTS.read_text()))))

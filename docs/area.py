"""Writes the kept areas by module between the markers of docs/area.md: ``python docs/area.py``.

With ``--check``, exits 1 if what the page holds is not what ``docs/results`` gives.
"""

import json
import sys
from pathlib import Path
from typing import Any

from marked import update

DOCS = Path(__file__).parent
PAGE = DOCS / "area.md"


def table(area: dict[str, Any]) -> str:
    """What ``sterna bench area --modules --json`` gave, as Markdown; modules of fewer than ten LUTs and flip-flops, and
    without a memory or a multiplier, are one row."""
    *modules, whole = area["modules"]
    kinds = [kind for kind, count in whole["cells"].items() if count]

    def is_small(cells: dict[str, int]) -> bool:
        return cells["LUT4"] + cells["FF"] < 10 and not any(cells[kind] for kind in ("EBR", "SPRAM", "DSP"))

    small = [module["cells"] for module in modules if is_small(module["cells"])]
    rest = {"module": "others", "instances": len(small), "cells": {kind: sum(c[kind] for c in small) for kind in kinds}}
    shown = [module for module in modules if not is_small(module["cells"])]
    rows = [
        f"| {_name(row)} | {' | '.join(str(row['cells'][kind]) for kind in kinds)} |"
        for row in (*shown, *([rest] if small else []), whole)
    ]
    title = f"**{area['target']}**, configuration `{area['configuration']}`, {area['synthesis'].replace('_', '-')}:"
    return "\n".join([title, "", f"| module | {' | '.join(kinds)} |", f"|---|{'---|' * len(kinds)}", *rows])


def _name(row: dict[str, Any]) -> str:
    name = f"`{row['module']}`" if row["module"] not in ("all", "others") else row["module"]
    return f"{row['instances']} × {name}" if row["instances"] > 1 and name != "others" else name


def content() -> str:
    """A table for each file."""
    return "\n\n".join(table(json.loads(path.read_text())) for path in sorted((DOCS / "results").glob("area-*.json")))


if __name__ == "__main__":
    sys.exit(update(PAGE, "areas", "python docs/area.py", content()))

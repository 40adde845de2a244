"""The page of areas holds what was kept."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sterna.boards import BOARDS
from sterna.flow.modules import KINDS
from sterna.spec.configuration import STANDARD

DOCS = Path(__file__).parents[2] / "docs"
KEPT = sorted((DOCS / "results").glob("area-*.json"))


def test_the_page_holds_what_was_kept() -> None:
    assert KEPT
    subprocess.run([sys.executable, DOCS / "area.py", "--check"], check=True, timeout=60)


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_what_was_kept_is_of_a_board_and_adds_up(path: Path) -> None:
    area = json.loads(path.read_text())
    assert area.keys() == {"target", "configuration", "synthesis", "modules"}
    assert area["target"] in BOARDS
    assert area["configuration"] in STANDARD
    *modules, whole = area["modules"]
    assert whole["module"] == "all"
    assert set(KINDS) | {"LC"} >= whole["cells"].keys() >= set(KINDS)
    for kind, count in whole["cells"].items():
        assert sum(module["cells"][kind] for module in modules) == count, kind

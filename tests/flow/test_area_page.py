"""The page of areas and clocks holds what was kept."""

import json
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from sterna.boards import BOARDS
from sterna.flow.modules import KINDS
from sterna.spec.configuration import STANDARD

DOCS = Path(__file__).parents[2] / "docs"
KEPT = sorted((DOCS / "results").glob("area-*.json"))
PLACED = sorted((DOCS / "results").glob("clock-*.json"))


@pytest.mark.parametrize("script", ["area.py", "clocks.py"])
def test_the_page_holds_what_was_kept(script: str) -> None:
    assert KEPT
    assert PLACED
    subprocess.run([sys.executable, DOCS / script, "--check"], check=True, timeout=60)


@pytest.mark.parametrize("path", PLACED, ids=lambda path: path.stem)
def test_a_kept_clock_is_the_median_of_its_seeds(path: Path) -> None:
    placed = json.loads(path.read_text())
    c = STANDARD[placed["configuration"]]
    assert placed["target"] in BOARDS
    assert len(placed["seeds"]) == len(placed["fmax_mhz"]) == len(set(placed["seeds"]))
    assert placed["median_mhz"] == pytest.approx(statistics.median(placed["fmax_mhz"]), abs=0.011)
    rate = c.cores * c.simd * c.pe * placed["median_mhz"]
    assert placed["dense_mmac_per_s"] == pytest.approx(rate, rel=1e-3)
    assert all(count <= placed["capacity"][kind] for kind, count in placed["cells"].items())


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

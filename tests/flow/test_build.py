"""The build's steps with tools that only pretend: what is called, kept, judged and said."""

import dataclasses
import json
import sys
from pathlib import Path

import pytest

from sterna.boards import BOARDS
from sterna.flow import build as flow
from sterna.flow.build import Build, build_board
from sterna.flow.tools import Tool
from sterna.spec.configuration import Configuration
from sterna.spec.errors import FitError, ToolError

SMALL = Configuration(
    name="small", simd=1, pe=4, weight_depth=16, mask_depth=16, activation_depth=16, parameter_depth=16,
    pool_depth=16, program_depth=16,
)  # fmt: skip
BOARD = dataclasses.replace(BOARDS["icebreaker"], configuration=SMALL, frequency=39_000_000, baud=3_000_000)


@pytest.fixture(autouse=True)
def _fake_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = str(Path(__file__).with_name("fake_tools.py"))
    monkeypatch.setattr(
        "sterna.flow.plan.find_tool", lambda name: Tool(name, (sys.executable, fake, name), f"{name} 1.0")
    )


def calls(root: Path) -> list[str]:
    return [line for path in root.rglob("calls") for line in path.read_text().split()]


def test_the_best_seed_is_packed_and_nothing_is_done_twice(tmp_path: Path) -> None:
    said: list[str] = []
    built = build_board(BOARD, root=tmp_path, seeds=(1, 2, 3), progress=said.append)
    assert [(placement.seed, placement.frequency) for placement in built.placements] == [
        (3, 44.25e6), (1, 41.5e6), (2, 38e6),
    ]  # fmt: skip
    assert built.bitstream == tmp_path / "icebreaker" / "icebreaker.bin"
    assert built.bitstream.read_text() == "packed: placed with seed 3\n"
    assert built.cells == {"LUT4": 1, "FF": 1, "carry": 1}
    assert built.best.used == {"LC": (4000, 5280)}
    assert built.best.critical_path == (("accelerator.core.lanes", 3.0), ("accelerator.core.capture", 1.5))
    assert built.placements[2].missed == ("clk reached 38.00 of 39.00 MHz",)
    assert [text[:3] for text in dict.fromkeys(text[:11] for text in said)][:3] == ["1/4", "2/4", "3/4"]
    done = calls(tmp_path)
    assert done == ["yosys", "nextpnr-ice40", "nextpnr-ice40", "nextpnr-ice40", "icepack"]
    summary = json.loads((tmp_path / "icebreaker" / "build.json").read_text())
    assert summary["frequency"] == 39_000_000
    assert summary["placements"][0]["seed"] == 3

    assert build_board(BOARD, root=tmp_path, seeds=(1, 2, 3)).best.seed == 3
    assert calls(tmp_path) == done
    other = dataclasses.replace(BOARD, configuration=dataclasses.replace(SMALL, pe=8))
    build_board(other, root=tmp_path, seeds=(1,))
    assert sorted(calls(tmp_path)) == sorted([*done, "yosys", "nextpnr-ice40", "icepack"])


@pytest.mark.parametrize(
    ("lost", "again"),
    [("top.json", "yosys"), ("seed-1/top.asc", "nextpnr-ice40"), ("seed-1/report.json", "nextpnr-ice40"),
     ("seed-1/top.bin", "icepack")],
)  # fmt: skip
def test_a_step_whose_output_is_gone_is_done_again(tmp_path: Path, lost: str, again: str) -> None:
    folder = build_board(BOARD, root=tmp_path).folder
    before = calls(tmp_path)
    (folder / lost).unlink()
    build_board(BOARD, root=tmp_path)
    assert calls(tmp_path) == [*before, again]
    assert (folder / lost).exists()


def test_a_build_that_fails_leaves_no_bitstream_of_an_earlier_one(tmp_path: Path) -> None:
    bitstream = build_board(BOARD, root=tmp_path).bitstream
    with pytest.raises(ToolError, match="misses its clock"):
        build_board(BOARD, root=tmp_path, seeds=(2,))
    assert not bitstream.exists()
    assert not (tmp_path / "icebreaker" / "build.json").exists()


def test_a_missed_clock_fails_the_build_with_what_was_reached(tmp_path: Path) -> None:
    with pytest.raises(
        ToolError, match=r"^icebreaker misses its clock with 1 seed: clk reached 38\.00 of 39\.00 MHz; "
    ):
        build_board(BOARD, root=tmp_path, seeds=(2,))
    assert not (tmp_path / "icebreaker" / "build.json").exists()
    assert Build(BOARD, root=tmp_path).place((2,))[0].frequency == 38e6


@pytest.mark.parametrize(
    ("trouble", "error", "message"),
    [
        (
            "too-large",
            FitError,
            r"^icebreaker has 5280 LC, the design needs 6000; mend: a smaller configuration \(log: ",
        ),
        (
            "broken",
            ToolError,
            r"^nextpnr-ice40 failed with exit code 1: ERROR: no route \(log: .*place-and-route\.log\)$",
        ),
        ("unconstrained", ToolError, r"^nextpnr knows no clock of 39 MHz: none at all$"),
    ],
)
def test_what_goes_wrong_in_a_tool_is_said_in_one_line(
    tmp_path: Path, trouble: str, error: type[Exception], message: str
) -> None:
    build = Build(BOARD, root=tmp_path)
    build.synthesise()
    (build.folder / trouble).touch()
    with pytest.raises(error, match=message):
        build.place((1,))


def test_a_seed_that_finds_no_place_is_left_out_unless_none_does(tmp_path: Path) -> None:
    build = Build(BOARD, root=tmp_path)
    build.synthesise()
    (build.folder / "no-place-2").touch()
    assert [placement.seed for placement in build.place((1, 2, 3))] == [3, 1]
    with pytest.raises(ToolError, match=r"^nextpnr-ice40 failed with exit code 125: ERROR: Unable to find legal plac"):
        build.place((2,))
    (build.folder / "broken").touch()
    with pytest.raises(ToolError, match="no route"):
        build.place((1, 2, 4))


def test_a_tool_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "TIMEOUT", 0.0)
    with pytest.raises(ToolError, match=r"took longer than 0 s; see .*place-and-route\.log$"):
        Build(BOARD, root=tmp_path).place((1,))

"""The verbs for boards: build, flash, export, bench area; tools only pretend."""

import dataclasses
import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sterna.boards import BOARDS
from sterna.cli.verbs import app
from sterna.flow.process import run_logged
from sterna.flow.tools import Tool, find_tool
from sterna.sim.verilate import find_verilator
from sterna.spec.configuration import STANDARD, Configuration
from sterna.zoo import NAMES, card

FAKE = Path(__file__).parents[1] / "flow" / "fake_tools.py"
SMALL = Configuration(
    name="small", simd=1, pe=4, weight_depth=16, mask_depth=16, activation_depth=16, parameter_depth=16,
    pool_depth=16, program_depth=16,
)  # fmt: skip


@pytest.fixture(autouse=True)
def _small_board_and_fake_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "sterna.flow.plan.find_tool", lambda name: Tool(name, (sys.executable, str(FAKE), name), f"{name} 1.0")
    )
    board = dataclasses.replace(BOARDS["icebreaker"], configuration=SMALL, frequency=39_000_000, baud=3_000_000)
    monkeypatch.setitem(BOARDS, "icebreaker", board)


def sterna(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def fails(message: str, *arguments: str | Path) -> None:
    result = sterna(*arguments)
    assert result.exit_code == 1, result.output
    (line,) = result.stderr.splitlines()
    assert re.match(f"sterna: {message}", line), line


def test_build_keeps_the_best_seed_and_reports_area_clocks_and_critical_path(tmp_path: Path) -> None:
    result = sterna("build", "--board", "icebreaker", "--seeds", "3", "--report", "-o", tmp_path)
    assert result.exit_code == 0, result.output
    for row in (
        r"LC\s+4000\s+5280", r"LUT4 in netlist\s+1", r"seed 3\s+44\.25", r"median\s+41\.50", r"core\.lanes\s+3\.00",
        r"dense M products/s\s+156", r"weights that fit\s+64", r"link, kB/s\s+300",
    ):  # fmt: skip
        assert re.search(row.replace(r"\s+", r"[\s│┃]+"), result.stdout), (row, result.stdout)
    assert "44.25 MHz reached, 39 asked for" in result.stdout
    assert (tmp_path / "icebreaker" / "icebreaker.bin").read_text() == "packed: placed with seed 3\n"

    assert "\ndigits-mlp: layer 'dense0' fits small only in parts, but " in result.stdout

    result = sterna("build", "--board", "icebreaker", "-o", tmp_path, "--report", "--json")
    summary = json.loads(result.stdout)
    assert summary["placements"][0]["frequency"] == 41.5e6
    assert [model["name"] for model in summary["zoo"]] == list(NAMES)


def test_build_says_which_share_of_the_seeds_found_no_place(tmp_path: Path) -> None:
    sterna("build", "--board", "icebreaker", "-o", tmp_path)
    (folder,) = (path.parent for path in tmp_path.rglob("calls"))
    (folder / "no-place-3").touch()
    result = sterna("build", "--board", "icebreaker", "--seeds", "3", "-o", tmp_path)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("1 of 3 seeds left out: nextpnr found no place for all cells\n")
    assert "41.50 MHz reached" in result.stdout


def test_build_of_another_configuration_reports_what_models_of_the_zoo_do_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = dataclasses.replace(STANDARD["icebreaker"], name="other")
    monkeypatch.setitem(STANDARD, "other", other)
    monkeypatch.setattr("sterna.zoo.speed.card", lambda name: dataclasses.replace(card(name), cycles={"other": 100.0}))
    result = sterna("build", "--board", "icebreaker", "--configuration", "other", "-o", tmp_path, "--report")
    assert result.exit_code == 0, result.output
    row = r"digits-mlp 100 0\.003 ms 101 B 0\.337 ms 34 B 0\.113 ms 2970"
    assert re.search(row.replace(" ", r"[\s│]+"), result.stdout), result.stdout
    assert json.loads((tmp_path / "icebreaker" / "build.json").read_text())["configuration"] == "other"


def test_build_says_what_fails() -> None:
    fails(f"no board 'none'; known: {', '.join(sorted(BOARDS))}$", "build", "--board", "none")
    fails(f"no configuration 'none'; known: {', '.join(sorted(STANDARD))}$",
          "build", "--board", "icebreaker", "--configuration", "none")  # fmt: skip


def test_area_is_measured_for_every_seed_whether_the_clock_is_missed_or_not(tmp_path: Path) -> None:
    result = sterna("bench", "area", "--target", "icebreaker", "--seeds", "3", "-o", tmp_path, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {
        "target": "icebreaker", "configuration": "small", "cells": {"LC": 4000}, "capacity": {"LC": 5280},
        "seeds": [1, 2, 3], "fmax_mhz": [41.5, 38.0, 44.25], "median_mhz": 41.5, "dense_mmac_per_s": 166.0,
    }  # fmt: skip
    result = sterna("bench", "area", "--target", "icebreaker", "--seeds", "3", "-o", tmp_path)
    assert re.search(r"median_mhz[\s│]+41\.5", result.stdout)


def test_area_by_module_needs_no_placement(tmp_path: Path) -> None:
    area = ("bench", "area", "--target", "icebreaker", "--modules", "-o", tmp_path)
    none = dict.fromkeys(("LUT RAM", "EBR", "SPRAM", "DSP"), 0)
    found = json.loads(sterna(*area, "--json").stdout)
    assert (found["target"], found["configuration"], found["synthesis"]) == ("icebreaker", "small", "yosys 1.0")
    assert found["modules"] == [
        {"module": "a.b", "instances": 1, "cells": {"LUT4": 1, "FF": 1, "carry": 0, **none, "LC": 2}},
        {"module": "a", "instances": 1, "cells": {"LUT4": 0, "FF": 0, "carry": 1, **none, "LC": 1}},
        {"module": "all", "instances": 1, "cells": {"LUT4": 1, "FF": 1, "carry": 1, **none, "LC": 3}},
    ]  # fmt: skip
    table = " ".join(re.split(r"[\s│┃]+", sterna(*area).stdout))
    assert "module instances LUT4 FF carry LC" in table
    assert "all 1 1 1 1 3" in table
    assert [line for path in tmp_path.rglob("calls") for line in path.read_text().split()] == ["yosys"]


def test_flash_calls_the_boards_tool_with_the_last_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fails(r"no bitstream of icebreaker in .*; mend: sterna build --board icebreaker$",
          "flash", "--board", "icebreaker", "-o", tmp_path)  # fmt: skip
    sterna("build", "--board", "icebreaker", "-o", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    flash = ("flash", "--board", "icebreaker", "-o", tmp_path)
    fails(
        "iceprog, which programs icebreaker, is not installed; mend: install it, or program .*icebreaker.bin with",
        *flash,
    )
    (tmp_path / "bin").mkdir()
    tool = tmp_path / "bin" / "iceprog"
    tool.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/flashed\nexit $(/bin/cat {tmp_path}/code)\n')
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "code").write_text("0")
    assert sterna(*flash).exit_code == 0
    assert (tmp_path / "flashed").read_text() == f"{tmp_path}/icebreaker/icebreaker.bin\n"
    (tmp_path / "code").write_text("3")
    fails("iceprog failed with exit code 3; mend: check cable, power and permissions of icebreaker$", *flash)


@pytest.mark.parametrize("ports", ["bytes", "core"])
def test_export_writes_verilog_that_tools_take_and_a_table_of_exactly_its_ports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ports: str
) -> None:
    monkeypatch.setitem(STANDARD, "small", SMALL)
    path = tmp_path / "hdl" / "sterna.v"
    result = sterna("export", "small", "-o", path, "--ports", ports)
    assert result.exit_code == 0, result.output
    text = path.read_text()
    (top,) = re.findall(r"^module sterna\((.*?)\);(.*?)^endmodule", text, re.MULTILINE | re.DOTALL)
    found = re.findall(r"^  (input|output) (?:\[(\d+):0\] )?(\w+);", top[1], re.MULTILINE)
    table = (tmp_path / "hdl" / "sterna.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (\d+) \| (\S.*) \|$", table, re.MULTILINE)
    assert sorted(row[:3] for row in rows) == sorted((name, way, str(int(high or 0) + 1)) for way, high, name in found)
    assert {name.strip() for name in top[0].split(",")} == {name for name, *_ in rows}
    for _, _, bits, meaning in rows:  # fields of a struct fill it
        fields = [[int(bit) for bit in place.split(":")] for place in re.findall(r"`\w+` (\d+(?::\d+)?)", meaning)]
        assert not fields or sum(place[0] - place[-1] + 1 for place in fields) == int(bits)

    verilator = find_verilator()
    linted = subprocess.run(
        [verilator.executable, "--lint-only", "-Wno-lint", "-Wno-style", path],
        timeout=120, capture_output=True, text=True, env=os.environ | {"VERILATOR_ROOT": str(verilator.root)},
    )  # fmt: skip
    assert (linted.returncode, linted.stderr) == (0, "")
    read = [*find_tool("yosys").command, "-q", "-p", "read_verilog sterna.v; hierarchy -check -top sterna"]
    log = tmp_path / "log"
    assert run_logged(read, folder=path.parent, log=log, timeout=280) == 0, log.read_text()


def test_export_counts_gates_and_keeps_memories_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STANDARD, "small", SMALL)
    result = sterna("export", "small", "-o", tmp_path / "core.v", "--ports", "core", "--gates")
    assert result.exit_code == 0, result.output
    table = (tmp_path / "core.md").read_text()
    counts = {
        name: int(count) for name, count in re.findall(r"^\| ([^|]*) \| (\d+)(?: bits)? \|$", table, re.MULTILINE)
    }
    assert counts["memory `blocks_0`, 16 × 8"] == 128
    assert counts["memory `activations_0`, 16 × 8"] == 128
    bits = sum(count for name, count in counts.items() if name.startswith("memory "))
    assert bits == counts["memories together"]
    transistors = 4 * (counts["NAND2"] + counts["NOR2"]) + 2 * counts["inverter"] + 16 * counts["flip-flop"]
    assert counts["transistors of these"] == transistors
    assert 500 < counts["flip-flop"] < counts["NAND2"]
    assert f"{transistors} transistors of logic, {bits} bits of memory" in result.stdout


@pytest.mark.parametrize(("ports", "said"), [("bytes", "pair"), ("core", "pair, one core of 2")])
def test_export_of_several_cores_says_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ports: str, said: str
) -> None:
    monkeypatch.setitem(STANDARD, "pair", dataclasses.replace(SMALL, name="pair", cores=2))
    assert sterna("export", "pair", "-o", tmp_path / "pair.v", "--ports", ports).exit_code == 0
    assert (tmp_path / "pair.md").read_text().splitlines()[0] == f"# Ports of `sterna`, configuration {said}"


def test_export_knows_its_kinds_of_ports(tmp_path: Path) -> None:
    fails("no ports 'wires'; known: bytes, core$", "export", "hx8k", "-o", tmp_path / "a.v", "--ports", "wires")

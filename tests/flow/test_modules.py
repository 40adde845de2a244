"""Cells by module: of netlists made by hand, and of one that yosys made of a known design."""

import json
from pathlib import Path
from typing import Any

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from sterna.flow.modules import Area, areas, logic_cells
from sterna.flow.process import run_logged
from sterna.flow.tools import find_tool

INPUTS = {"SB_LUT4": ("I0", "I1", "I2", "I3"), "SB_CARRY": ("I0", "I1", "CI"), "SB_DFF": ("D",)}


def cell(kind: str, **nets: int | str) -> dict[str, Any]:
    """Of an iCE40 netlist; ports are inputs if the primitive says so."""
    directions = {port: "input" if port in INPUTS[kind] else "output" for port in nets}
    return {"type": kind, "port_directions": directions, "connections": {port: [net] for port, net in nets.items()}}


@pytest.mark.parametrize(
    ("kinds", "cells"),
    [
        ("a flip-flop alone behind a LUT", {"lut": cell("SB_LUT4", I0=1, O=2), "ff*": cell("SB_DFF", D=2, Q=3)}),
        (
            "a flip-flop behind a LUT that others load",
            {"lut": cell("SB_LUT4", I0=1, O=2), "ff": cell("SB_DFF", D=2, Q=3), "other": cell("SB_LUT4", I0=2, O=4)},
        ),
        ("a flip-flop behind nothing", {"ff": cell("SB_DFF", D=2, Q=3)}),
        ("a flip-flop that loads a constant", {"ff": cell("SB_DFF", D="1", Q=3)}),
        (
            "a carry beside its LUT",
            {"lut": cell("SB_LUT4", I1=1, I2="0", I3=3, O=4), "carry*": cell("SB_CARRY", I0=1, I1="0", CI=3, CO=5)},
        ),
        (
            "a carry beside a LUT of another sum",
            {"lut": cell("SB_LUT4", I1=1, I2=6, I3=3, O=4), "carry": cell("SB_CARRY", I0=1, I1=2, CI=3, CO=5)},
        ),
    ],
)
def test_cells_share_a_logic_cell_as_nextpnr_packs_them(kinds: str, cells: dict[str, Any]) -> None:
    assert logic_cells(cells) == {name for name in cells if not name.endswith("*")}


class Counter(wiring.Component):
    """Counts in steps of ``step``, and tells whether it equalled ``other``."""

    def __init__(self, width: int, step: int):
        self.step = step
        super().__init__({"other": In(width), "count": Out(width), "equal": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.d.sync += [self.count.eq(self.count + self.step), self.equal.eq(self.count == self.other)]
        return m


class Counters(wiring.Component):
    """Two counters of 12 bits, one of 9, and a register of what they tell."""

    def __init__(self) -> None:
        super().__init__({"other": In(12), "told": Out(3)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.counter_0 = first = Counter(12, 1)
        m.submodules.counter_1 = second = Counter(12, 3)
        m.submodules.last = last = Counter(9, 5)
        m.d.comb += [first.other.eq(self.other), second.other.eq(first.count), last.other.eq(second.count)]
        m.d.sync += self.told.eq(Cat(first.equal, second.equal, last.equal))
        return m


def test_registers_of_a_synthesised_design_are_counted_where_they_were_written(tmp_path: Path) -> None:
    (tmp_path / "top.il").write_text(rtlil.convert(Counters(), name="top"))
    script = "read_rtlil top.il; synth_ice40 -top top -json top.json"
    command = [*find_tool("yosys").command, "-q", "-p", script]
    assert run_logged(command, folder=tmp_path, log=tmp_path / "log", timeout=280) == 0
    found = {area.module: area for area in areas(tmp_path / "top.json", tmp_path / "top.il")}
    assert {name: (area.instances, area.cells["FF"]) for name, area in found.items()} == {
        "counter": (2, 26), "last": (1, 10), "top": (1, 3), "all": (1, 39),
    }  # fmt: skip
    whole = found.pop("all").cells
    for kind, count in whole.items():
        assert sum(area.cells[kind] for area in found.values()) == count, kind
    kinds = json.loads((tmp_path / "top.json").read_text())["modules"]["top"]["cells"].values()
    assert whole["LUT4"] == sum(each["type"] == "SB_LUT4" for each in kinds)
    assert whole["carry"] == sum(each["type"] == "SB_CARRY" for each in kinds)
    assert found["counter"].summary() == {"module": "counter", "instances": 2, "cells": found["counter"].cells}
    assert isinstance(found["top"], Area)

"""Netlists as Verilog: nets, constants, parameters, noise in memories; what nextpnr packed, unpacked."""

import json
from pathlib import Path
from typing import Any

import pytest

from sterna.sim.netlist import netlist_verilog, read_netlist
from sterna.sim.routed import unpacked
from sterna.spec.errors import ToolError


def cell(kind: str, connections: dict[str, list[Any]], **parameters: str) -> dict[str, Any]:
    directions = {port: "output" if port in ("O", "DATAOUT_0") else "input" for port in connections}
    return {
        "type": kind, "parameters": parameters, "connections": connections, "attributes": {},
        "port_directions": directions,
    }  # fmt: skip


def module(**cells: dict[str, Any]) -> dict[str, Any]:
    return {"ports": {"led_0__io": {"direction": "inout", "bits": [2]}}, "cells": cells}


def test_cells_ports_and_constants_become_verilog(tmp_path: Path) -> None:
    found = module(
        lut=cell("SB_LUT4", {"I0": [7], "I1": ["1"], "O": [2], "I2": []}, LUT_INIT="0101", KIND="0101 ", NAME="hx"),
        scope=cell("$scopeinfo", {}),
    )
    (tmp_path / "top.json").write_text(json.dumps({"modules": {"top": found}}))
    text = netlist_verilog(read_netlist(tmp_path / "top.json"), name="board").text
    assert text.splitlines() == [
        "module board(", "  inout wire \\led_0__io ", ");", "  wire n5;",
        '  SB_LUT4 #(.LUT_INIT(4\'b0101), .KIND("0101"), .NAME("hx")) c0 '
        "(.I0({n5}), .I1({1'b1}), .O({\\led_0__io }));",
        "endmodule",
    ]  # fmt: skip


def test_memories_that_hold_nothing_at_power_up_hold_noise_and_others_what_they_should() -> None:
    empty = cell("SB_RAM40_4K", {}, INIT_0="0000", INIT_1="xxxx", READ_MODE="00")
    filled = cell("SB_RAM40_4K", {}, INIT_0="0000", INIT_1="0010", READ_MODE="00")
    text = netlist_verilog(module(empty=empty, filled=filled), name="board").text
    assert "#(.INIT_0(4'bxxxx), .INIT_1(4'bxxxx), .READ_MODE(2'b00)) c0" in text
    assert "#(.INIT_0(4'b0000), .INIT_1(4'b0010), .READ_MODE(2'b00)) c1" in text


def test_buses_are_put_together_and_open_inputs_get_what_the_part_gives_them() -> None:
    given = module(
        spram=cell("ICESTORM_SPRAM", {"ADDRESS_1": [5], "ADDRESS_0": [], "DATAOUT_0": [], "WREN": [6]}),
        logic=cell("ICESTORM_LC", {"I0": [5], "I1": [], "CEN": [], "O": []}, LUT_INIT="01"),
    )
    cells = unpacked(given)["cells"]
    assert (cells["spram"]["type"], cells["logic"]["type"]) == ("SB_SPRAM256KA", "ICESTORM_LC")
    assert cells["spram"]["connections"] == {"ADDRESS": ["0", 5], "DATAOUT": ["spram.DATAOUT_0"], "WREN": [6]}
    assert cells["logic"]["connections"] == {"I0": [5], "I1": ["0"], "CEN": ["1"], "O": ["logic.O"]}


def test_a_pll_meets_its_pad_and_its_buffer() -> None:
    pll = cell("ICESTORM_PLL", {"REFERENCECLK": [], "LOCK": [9], "RESETB": [], "BYPASS": []}, DIVF="1")
    pll["attributes"] = {"BEL_PAD_INPUT": "X1/Y0/io1"}
    pad = cell("SB_IO", {"PACKAGE_PIN": [2]})
    pad["attributes"] = {"NEXTPNR_BEL": "X1/Y0/io1"}
    buffer = cell("SB_GB", {"USER_SIGNAL_TO_GLOBAL_BUFFER": [], "GLOBAL_BUFFER_OUTPUT": [8]})
    buffer["attributes"] = {"FOR_PAD_IN": "1"}
    cells = unpacked(module(pll=pll, pad=pad, buffer=buffer))["cells"]
    assert cells["pll"]["type"] == "SB_PLL40_CORE"
    assert cells["pll"]["connections"]["REFERENCECLK"] == [2]
    assert cells["pll"]["connections"]["PLLOUTGLOBAL"] == cells["buffer"]["connections"]["USER_SIGNAL_TO_GLOBAL_BUFFER"]
    assert cells["pll"]["parameters"] == {}


def test_an_inverted_clock_is_refused() -> None:
    with pytest.raises(ToolError, match=r"^masks has an inverted clock, which its model lacks$"):
        unpacked(module(masks=cell("ICESTORM_RAM", {}, NEG_CLK_R="0", NEG_CLK_W="1")))

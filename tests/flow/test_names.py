"""Names of wires that could be bits of others."""

import json
import subprocess
from pathlib import Path

from amaranth import Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from sterna.flow.names import unambiguous
from sterna.flow.tools import find_tool
from sterna.flow.verilog import to_verilog

FLIP_FLOPS = """
module \\top
  wire input 1 \\clk
  wire width 2 input 2 \\d
  wire input 3 \\e
  wire width 2 output 4 \\q
  wire width 2 \\x
  wire \\x[1]
  cell $dff $one
    parameter \\WIDTH 2
    parameter \\CLK_POLARITY 1
    connect \\CLK \\clk
    connect \\D \\d
    connect \\Q \\x
  end
  cell $dff $other
    parameter \\WIDTH 1
    parameter \\CLK_POLARITY 1
    connect \\CLK \\clk
    connect \\D \\e
    connect \\Q \\x[1]
  end
  cell $xor $first
    parameter \\A_SIGNED 0
    parameter \\B_SIGNED 0
    parameter \\A_WIDTH 1
    parameter \\B_WIDTH 1
    parameter \\Y_WIDTH 1
    connect \\A \\x [1]
    connect \\B \\x [0]
    connect \\Y \\q [0]
  end
  cell $and $second
    parameter \\A_SIGNED 0
    parameter \\B_SIGNED 0
    parameter \\A_WIDTH 1
    parameter \\B_WIDTH 1
    parameter \\Y_WIDTH 1
    connect \\A \\x[1]
    connect \\B \\x [0]
    connect \\Y \\q [1]
  end
end
"""
"""Three flip-flops of which two have names that read alike: bit 1 of ``x``, and ``x[1]``."""


class Elements(wiring.Component):
    """Two registers of one array."""

    i: In(data.ArrayLayout(4, 2))
    o: Out(data.ArrayLayout(4, 2))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.sync += [self.o[0].eq(self.i[1]), self.o[1].eq(self.i[0])]
        return m


def test_indices_in_names_become_numbers_and_those_of_bits_stay() -> None:
    assert unambiguous("  connect \\A { \\x[1] [3:0] \\x [1] $a$2[0].b[10] }\n") == (
        "  connect \\A { \\x[#1] [3:0] \\x [1] $a$2[#0].b[#10] }\n"
    )
    assert unambiguous('  parameter \\MEMID "\\\\x[1]"\n') == '  parameter \\MEMID "\\\\x[#1]"\n'
    assert unambiguous("assign y[1] = (\\x[1] & \\x[0] [2]);") == "assign y[1] = (\\x[#1] & \\x[#0] [2]);"


def test_functions_and_strings_of_verilog_are_no_names() -> None:
    for text in ("assign y = $signed(x[3]) * $signed(z[1:0]);", '$display("\\n", x[3]);', '"\\n" x[3]'):
        assert unambiguous(text) == text
    assert unambiguous("assign y = $signed(\\x[3] );") == "assign y = $signed(\\x[#3] );"


def test_exported_verilog_has_no_such_names() -> None:
    text = to_verilog(Elements()).text
    assert "\\i[#1] " in text
    assert "\\i[1] " not in text


def test_synthesis_keeps_both_of_two_signals_whose_names_read_alike(tmp_path: Path) -> None:
    (tmp_path / "top.il").write_text(unambiguous(FLIP_FLOPS))
    script = "read_rtlil top.il; synth_ecp5 -abc9 -top top; write_json top.json"
    subprocess.run([*find_tool("yosys").command, "-q", "-p", script], cwd=tmp_path, check=True, timeout=120)
    cells = json.loads((tmp_path / "top.json").read_text())["modules"]["top"]["cells"].values()
    assert sum(cell["type"] == "TRELLIS_FF" for cell in cells) == 3

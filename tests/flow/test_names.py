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
module top(input clk, input [1:0] d, input e, output [1:0] q);
  reg [1:0] x;
  reg \\x[1] ;
  always @(posedge clk) begin
    x <= d;
    \\x[1] <= e;
  end
  assign q = {\\x[1] & x[0], x[1] ^ x[0]};
endmodule
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
    (tmp_path / "top.v").write_text(unambiguous(FLIP_FLOPS))
    script = "read_verilog top.v; synth_ecp5 -abc9 -top top; write_json top.json"
    subprocess.run([*find_tool("yosys").command, "-q", "-p", script], cwd=tmp_path, check=True, timeout=120)
    cells = json.loads((tmp_path / "top.json").read_text())["modules"]["top"]["cells"].values()
    assert sum(cell["type"] == "TRELLIS_FF" for cell in cells) == 3

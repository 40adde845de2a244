"""Gates of designs that are small enough to count by hand, and what yosys has to say against a text."""

import pytest

from sterna.flow.gates import GateCount, MemorySize, count_gates
from sterna.spec.errors import ToolError

DESIGN = """
module top(input clk, input en, input [3:0] a, input [7:0] d, output reg [7:0] q, output reg n);
  reg [7:0] store [0:15];
  reg [3:0] at;
  always @(posedge clk) begin
    at <= a;
    if (en) store[a] <= d;
    q <= store[at];
    n <= ~(d[0] & d[1]);
  end
endmodule
"""


def test_gates_flip_flops_and_memories_are_those_of_the_text() -> None:
    found = count_gates(DESIGN, top="top")
    assert found == GateCount(
        {"NAND2": 1, "NOR2": 0, "inverter": 0, "flip-flop": found.gates["flip-flop"]}, (MemorySize("store", 16, 8),)
    )
    assert found.gates["flip-flop"] in (5, 13)  # the register of the address, or of the data, lies in the memory
    assert found.memory_bits == 128
    assert found.transistors == 4 + 16 * found.gates["flip-flop"]
    assert "| memory `store`, 16 × 8 | 128 bits |" in found.table()


def test_bad_verilog_is_said_in_one_line() -> None:
    with pytest.raises(ToolError, match=r"^yosys failed with exit code \d+: design\.v:3: ERROR: syntax error.*$"):
        count_gates("module top(input a);\n  nonsense\nendmodule\n", top="top")


def test_a_memory_of_several_ports_is_refused() -> None:
    second = DESIGN.replace("n <= ~(d[0] & d[1]);", "n <= ^store[d[3:0]];")
    with pytest.raises(ToolError, match=r"^memory store has 1 ports to write and 2 to read, not one of each$"):
        count_gates(second, top="top")


def test_a_number_that_makes_a_name_unique_is_left_out() -> None:
    found = count_gates(DESIGN.replace("store", "\\store$12 "), top="top")
    assert [memory.name for memory in found.memories] == ["store"]

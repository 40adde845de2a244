"""How large the exported Verilog is for a chip: generic gates and transistors, memories apart."""

import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sterna.flow.process import run_logged
from sterna.flow.tools import find_tool
from sterna.spec.errors import ToolError

TIMEOUT = 1800.0
"""Seconds for yosys; the largest standard configuration takes some minutes."""
GATES = {"$_NAND_": "NAND2", "$_NOR_": "NOR2", "$_NOT_": "inverter", "$_DFF_P_": "flip-flop"}
"""What logic is mapped to, and how it is called here."""
TRANSISTORS = {"NAND2": 4, "NOR2": 4, "inverter": 2, "flip-flop": 16}
"""In static CMOS; those of yosys' `stat -tech cmos`."""

_SCRIPT = """
read_verilog design.v
synth -flatten -top {top} -run :fine
opt -fast -full
memory_map -rom-only
setattr -unset init w:*
opt -undriven -fine
techmap
opt -fast
dfflegalize -cell $_DFF_P_ x
opt_clean
abc -g cmos2
opt_clean
write_json netlist.json
"""
"""Synthesis to gates of two inputs and plain flip-flops: enables and resets become gates. Memories stay whole."""


@dataclass(frozen=True)
class MemorySize:
    """A memory with one port to write and one to read."""

    name: str
    words: int
    width: int

    @property
    def bits(self) -> int:
        return self.words * self.width


@dataclass(frozen=True)
class GateCount:
    """Logic as generic gates, memories as bits."""

    gates: dict[str, int]
    """By the names of ``GATES``."""
    memories: tuple[MemorySize, ...]

    @property
    def transistors(self) -> int:
        """Of the logic; a plain static CMOS gate each, no buffers, no clock tree, no scan."""
        return sum(TRANSISTORS[gate] * count for gate, count in self.gates.items())

    @property
    def memory_bits(self) -> int:
        return sum(memory.bits for memory in self.memories)

    def table(self) -> str:
        """Markdown."""
        rows = [
            *(f"| {gate} | {count} |" for gate, count in self.gates.items()),
            f"| transistors of these | {self.transistors} |",
            f"| the same in NAND2 | {self.transistors / TRANSISTORS['NAND2']:.0f} |",
            *(f"| memory `{memory.name}`, {memory.words} × {memory.width} | {memory.bits} bits |"
              for memory in self.memories),
            f"| memories together | {self.memory_bits} bits |",
        ]  # fmt: skip
        return "\n".join(["| logic, memory | count |", "|---|---|", *rows]) + "\n"


def count_gates(verilog: str, *, top: str) -> GateCount:
    """Synthesises Verilog text with the module ``top``. Raises :class:`ToolError` if yosys is missing or fails."""
    tool = find_tool("yosys")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "design.v").write_text(verilog)
        (folder / "gates.ys").write_text(_SCRIPT.format(top=top))
        log = folder / "log"
        if code := run_logged([*tool.command, "-q", "gates.ys"], folder=folder, log=log, timeout=TIMEOUT):
            errors = [line for line in log.read_text().splitlines() if "ERROR" in line] or ["no message"]
            raise ToolError(f"yosys failed with exit code {code}: {errors[0].strip()}")
        cells: dict[str, Any] = json.loads((folder / "netlist.json").read_text())["modules"][top]["cells"]
    gates = dict.fromkeys(GATES.values(), 0)
    memories = []
    for name, cell in cells.items():
        if cell["type"] == "$mem_v2":
            memories.append(_memory(name, cell["parameters"]))
        elif cell["type"] != "$scopeinfo":
            gates[GATES[cell["type"]]] += 1
    return GateCount(gates, tuple(sorted(memories, key=lambda memory: (-memory.bits, memory.name))))


def _memory(name: str, parameters: Mapping[str, str]) -> MemorySize:
    def value(key: str) -> int:
        return int(parameters[key], 2)

    ports = value("WR_PORTS"), value("RD_PORTS")
    if ports != (1, 1):
        raise ToolError(f"memory {name} has {ports[0]} ports to write and {ports[1]} to read, not one of each")
    named = re.sub(r"\$\d+", "", name.removesuffix(".memory"))  # numbers that Amaranth adds to names that are taken
    return MemorySize(named, value("SIZE"), value("WIDTH"))

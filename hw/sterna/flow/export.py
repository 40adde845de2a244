"""The accelerator as Verilog that others can embed, and the table of its ports."""

import dataclasses
from dataclasses import dataclass

from amaranth.hdl import Shape

from sterna.accelerator import Accelerator
from sterna.build_id import build_id
from sterna.flow.verilog import to_verilog
from sterna.spec.configuration import Configuration, Primitive

NAME = "sterna"
"""Of the Verilog module."""

_MEANINGS = {
    "clk": "clock",
    "rst": "reset, synchronous, active high; at least one cycle after power-up",
    "rx__payload": "byte from the host",
    "rx__valid": "a byte is offered; holds, with the byte, until taken",
    "rx__ready": "the byte is taken in this cycle if valid",
    "tx__payload": "byte to the host",
    "tx__valid": "a byte is offered; holds, with the byte, until taken",
    "tx__ready": "the byte is taken in this cycle if valid",
    "running": "a run is under way",
    "bad_frame": "high for a cycle after a damaged frame",
}


@dataclass(frozen=True)
class Exported:
    """Verilog text and a Markdown table of the ports."""

    verilog: str
    port_table: str


def export(configuration: Configuration) -> Exported:
    """The accelerator of ``configuration`` without any part's primitives: memories are to be inferred, with one port to
    write and one to read. Their contents at power-up do not count, but for those of the register file: it is
    initialised, and holds its constants."""
    inferred = dataclasses.replace(configuration, weights_in=Primitive.BLOCK)
    accelerator = Accelerator(configuration=inferred, build_id=build_id(inferred, "export"))
    ports = [("clk", "input", 1), ("rst", "input", 1)]
    for path, member, value in accelerator.signature.flatten(accelerator):
        name = "__".join(map(str, path))
        ports.append((name, "output" if member.flow.name == "Out" else "input", Shape.cast(value.shape()).width))
    rows = [f"| `{name}` | {direction} | {width} | {_MEANINGS[name]} |" for name, direction, width in ports]
    header = [f"# Ports of `{NAME}`, configuration {configuration.name}", "",
              "| port | direction | bits | meaning |", "|---|---|---|---|"]  # fmt: skip
    return Exported(to_verilog(accelerator, name=NAME).text, "\n".join([*header, *rows]) + "\n")

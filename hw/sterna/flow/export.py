"""The accelerator, or its core alone, as Verilog that others can embed, and the table of its ports."""

import dataclasses
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from amaranth.hdl import Shape
from amaranth.lib import data, wiring

from sterna.accelerator import Accelerator
from sterna.build_id import build_id
from sterna.flow.verilog import to_verilog
from sterna.gateware.core import Core
from sterna.spec.configuration import HELD_IN, Configuration, Primitive

NAME = "sterna"
"""Of the Verilog module."""


class Ports(StrEnum):
    """Which border the Verilog module has."""

    BYTES = "bytes"
    """A byte stream each way: the protocol of ``sterna.spec.frames``, as boards speak it."""
    CORE = "core"
    """Requests with valid and ready, without the link: who embeds it loads memories and starts runs."""


_CLOCK = {
    "clk": "clock",
    "rst": "reset, synchronous, active high; at least one cycle after power-up",
}
_BYTES = {
    "rx__payload": "byte from the host",
    "rx__valid": "a byte is offered; holds, with the byte, until taken",
    "rx__ready": "the byte is taken in this cycle if valid",
    "tx__payload": "byte to the host",
    "tx__valid": "a byte is offered; holds, with the byte, until taken",
    "tx__ready": "the byte is taken in this cycle if valid",
    "running": "a run is under way",
    "bad_frame": "high for a cycle after a damaged frame",
}
_CORE = {
    "write__region": "memory to write: `sterna.spec.image.Region`",
    "write__address": "word; for weights and masks the high bits are the bank",
    "write__data": "the region's word, in the high bits",
    "write__valid": "a word is offered; holds, with it, until taken",
    "write__ready": "the word is taken in this cycle if valid",
    "inputs__payload": "activation of a burst, which begins in bank 0 of `word` (counts with `first`)",
    "inputs__valid": "an activation is offered; holds, with it, until taken",
    "inputs__ready": "the activation is taken in this cycle if valid",
    "starts__payload": "run to start: fields of START in `sterna.spec.frames`",
    "starts__valid": "a run is asked for; holds, with its fields, until taken",
    "starts__ready": "the run begins in this cycle if valid",
    "reads__payload": "activation to read",
    "reads__valid": "a read is asked for; holds, with its fields, until taken",
    "reads__ready": "the read is taken in this cycle if valid",
    "read_values__payload": "answer to a read, in order",
    "read_values__valid": "an answer is offered; holds until taken",
    "read_values__ready": "the answer is taken in this cycle if valid",
    "running": "a run is under way",
    "counters": "low bits of `sterna.spec.registers`' counters, free-running",
}


@dataclass(frozen=True)
class Exported:
    """Verilog text and a Markdown table of the ports."""

    verilog: str
    port_table: str


def export(configuration: Configuration, ports: Ports = Ports.BYTES) -> Exported:
    """The accelerator of ``configuration`` without any part's primitives: memories are to be inferred, with one port to
    write and one to read. Their contents at power-up do not count, but for those of the link's program and of
    its table of registers, which are initialised."""
    block: dict[str, Any] = dict.fromkeys(HELD_IN, Primitive.BLOCK)
    inferred = dataclasses.replace(configuration, **block)
    component: wiring.Component
    if ports is Ports.CORE:
        component, meanings = Core(configuration=inferred), _CORE
    else:
        component, meanings = Accelerator(configuration=inferred, build_id=build_id(inferred, "export")), _BYTES
    rows = [f"| `{name}` | input | 1 | {meaning} |" for name, meaning in _CLOCK.items()]
    for path, member, value in component.signature.flatten(component):
        name = "__".join(map(str, path))
        direction = "output" if member.flow.name == "Out" else "input"
        fields = _fields(member.shape)
        rows.append(f"| `{name}` | {direction} | {Shape.cast(value.shape()).width} | {meanings[name]}{fields} |")
    one = f", one core of {configuration.cores}" if ports is Ports.CORE and configuration.cores > 1 else ""
    header = [f"# Ports of `{NAME}`, configuration {configuration.name}{one}", "",
              "| port | direction | bits | meaning |", "|---|---|---|---|"]  # fmt: skip
    return Exported(to_verilog(component, name=NAME).text, "\n".join([*header, *rows]) + "\n")


def _fields(shape: object) -> str:
    """Where the fields of a struct lie."""
    if not isinstance(shape, data.Layout):
        return ""
    places = [
        f"`{key}` {field.offset + field.width - 1}:{field.offset}" if field.width > 1 else f"`{key}` {field.offset}"
        for key, field in shape
    ]
    return f": {', '.join(places)}"

"""Netlists of yosys and nextpnr, in their JSON → Verilog: wires, and cells for which the simulator has models."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sterna.flow.verilog import Verilog

_CONTENTS = re.compile(r"INIT(VAL)?_[0-9A-F]+")
"""Parameters that say what a block RAM holds at power-up. LUTs have others."""
_BITS = re.compile(r"[01xz]+")

Module = Mapping[str, Any]


def read_netlist(path: Path) -> Module:
    """The top module of a flat netlist."""
    module: Module = json.loads(path.read_text())["modules"]["top"]
    return module


def netlist_verilog(module: Module, *, name: str) -> Verilog:
    """A flat module, whose ports have one bit each, as Verilog module ``name``.

    Block RAM that is all zeros at power-up is given unknown contents, as :func:`sterna.flow.verilog.to_verilog` leaves
    it without a value: the simulator fills it with noise, and nothing may depend on it.
    """
    nets: dict[int | str, str] = {"0": "1'b0", "1": "1'b1", "x": "1'bx", "z": "1'bz"}
    ports = []
    for port, description in module["ports"].items():
        (bit,) = description["bits"]
        nets[bit] = f"\\{port} "
        ports.append(f"  inout wire \\{port} ")  # a pad's pin in the cells' models, whatever it is used as
    lines = [f"module {name}(", ",\n".join(ports), ");"]
    for bit in _bits(module):
        if bit not in nets:
            nets[bit] = f"n{len(nets)}"
            lines.append(f"  wire {nets[bit]};")
    for number, cell in enumerate(module["cells"].values()):
        if cell["type"].startswith("$"):  # $scopeinfo: no logic
            continue
        parameters = [f".{key}({value})" for key, value in _parameters(cell["parameters"]).items()]
        connections = [
            f".{port}({{{', '.join(nets[bit] for bit in reversed(bits))}}})"
            for port, bits in cell["connections"].items()
            if bits
        ]
        chosen = f" #({', '.join(parameters)})" if parameters else ""
        lines.append(f"  {cell['type']}{chosen} c{number} ({', '.join(connections)});")
    return Verilog("\n".join([*lines, "endmodule\n"]))


def _bits(module: Module) -> Iterator[int | str]:
    for cell in module["cells"].values():
        for bits in cell["connections"].values():
            yield from bits


def _parameters(given: Mapping[str, str]) -> dict[str, str]:
    """As Verilog."""
    contents = {key for key in given if _CONTENTS.fullmatch(key)}
    noise = not any("1" in given[key] for key in contents)
    return {
        key: f"{len(value)}'b{'x' * len(value)}" if noise and key in contents else _literal(value)
        for key, value in given.items()
    }


def _literal(value: str) -> str:
    """Bits are a number; text that might be taken for bits ends in a space more."""
    if _BITS.fullmatch(value):
        return f"{len(value)}'b{value}"
    return f'"{value[:-1] if _BITS.fullmatch(value.rstrip()) else value}"'

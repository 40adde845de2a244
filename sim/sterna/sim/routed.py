"""What nextpnr-ice40 writes, placed and routed → cells as yosys knows them.

Logic cells stay as they were packed, for which there is a model. Memories and multipliers have their buses taken apart,
which are put together again; inputs that are left open get what the part gives them; and the wires between a PLL, its
pad and the global buffer, which are fixed in the part, are not in the netlist.
"""

import re
from collections.abc import Mapping
from typing import Any

from sterna.sim.netlist import Module
from sterna.spec.errors import ToolError

_PRIMITIVES = {"ICESTORM_RAM": "SB_RAM40_4K", "ICESTORM_SPRAM": "SB_SPRAM256KA", "ICESTORM_DSP": "SB_MAC16"}
_PULLED_UP = {"CEN", "RCLKE", "WCLKE", "CE", "CLOCK_ENABLE"}
"""Open inputs that are high; all others are low."""
_NEGATED = "NEG_CLK_R", "NEG_CLK_W"
"""Clocks of RAM that are inverted in the cell, which nothing here uses."""
_PLL_PINS = "REFERENCECLK", "LOCK", "RESETB", "BYPASS"
_PLL_CLOCK = "pll clock"


def unpacked(module: Module) -> Module:
    """The module with cells that have models. Raises :class:`ToolError` for a cell that the models do not cover."""
    cells = {name: _unpacked_cell(name, cell) for name, cell in module["cells"].items()}
    return {"ports": module["ports"], "cells": cells | _clocked(module["cells"])}


def _unpacked_cell(name: str, cell: Mapping[str, Any]) -> dict[str, Any]:
    if any("1" in cell["parameters"].get(key, "") for key in _NEGATED):
        raise ToolError(f"{name} has an inverted clock, which its model lacks")
    primitive = _PRIMITIVES.get(cell["type"])
    connections: dict[str, list[Any]] = {}
    for port, bits in cell["connections"].items():
        if not bits:
            is_input = cell["port_directions"][port] == "input"
            bits = [("1" if port in _PULLED_UP else "0") if is_input else f"{name}.{port}"]
        part = re.fullmatch(r"(\w+)_(\d+)", port) if primitive else None
        if part is None:
            connections[port] = bits
        else:
            bus = connections.setdefault(part[1], [])
            bus.extend([None] * (int(part[2]) + 1 - len(bus)))
            bus[int(part[2])] = bits[0]
    return {
        "type": primitive or cell["type"],
        "parameters": {key: value for key, value in cell["parameters"].items() if key not in _NEGATED},
        "connections": connections,
    }


def _clocked(cells: Mapping[str, Any]) -> dict[str, Any]:
    """The PLL as yosys knows it, with its pad and its buffer."""
    places = {cell["attributes"].get("NEXTPNR_BEL"): cell for cell in cells.values()}
    changed: dict[str, Any] = {}
    for name, cell in cells.items():
        connections = dict(cell["connections"])
        if cell["type"] == "ICESTORM_PLL":
            if pad := cell["attributes"].get("BEL_PAD_INPUT"):
                connections["REFERENCECLK"] = places[pad]["connections"]["PACKAGE_PIN"]
            pins = {pin: connections[pin] for pin in _PLL_PINS}
            changed[name] = {
                "type": "SB_PLL40_CORE",
                "parameters": {},
                "connections": pins | {"PLLOUTGLOBAL": [_PLL_CLOCK]},
            }
        elif cell["type"] == "SB_GB" and "FOR_PAD_IN" in cell["attributes"]:
            connections["USER_SIGNAL_TO_GLOBAL_BUFFER"] = [_PLL_CLOCK]
            changed[name] = {"type": "SB_GB", "parameters": {}, "connections": connections}
    return changed

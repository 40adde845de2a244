"""What yosys' netlist and nextpnr's report say, in the project's terms."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sterna.spec.errors import ToolError

_LOGIC = {"ICESTORM_LC": "LC", "ICESTORM_RAM": "EBR", "ICESTORM_SPRAM": "SPRAM", "ICESTORM_DSP": "DSP",
          "TRELLIS_COMB": "LUT4", "TRELLIS_FF": "FF", "DP16KD": "EBR", "MULT18X18D": "DSP"}  # fmt: skip
"""Resources that are reported, by nextpnr's names."""

FULL_PATH_LEVELS = 3
"""Of a cell's name, so many levels tell the module."""


@dataclass(frozen=True)
class Placement:
    """A placed and routed design."""

    seed: int
    used: dict[str, tuple[int, int]]
    """Resource → used, there."""
    frequency: float
    """Reached by the accelerator's clock, Hz."""
    missed: tuple[str, ...]
    """Clocks that did not reach what was asked, in words."""
    critical_path: tuple[tuple[str, float], ...]
    """Modules along it, and the nanoseconds spent in each, wires to the next cell included."""


def read_placement(report: Path, *, seed: int, frequency: int) -> Placement:
    """``frequency``: of the accelerator's clock, by which it is known. Raises :class:`ToolError` if nextpnr did not
    hold it to that."""
    found: dict[str, Any] = json.loads(report.read_text())
    clocks = found["fmax"]
    name = next((name for name, clock in clocks.items() if abs(clock["constraint"] * 1e6 / frequency - 1) < 0.01), None)
    if name is None:
        raise ToolError(f"nextpnr knows no clock of {frequency / 1e6:g} MHz: {', '.join(clocks) or 'none at all'}")
    missed = tuple(
        f"{clock} reached {values['achieved']:.2f} of {values['constraint']:.2f} MHz"
        for clock, values in clocks.items()
        if values["achieved"] < values["constraint"]
    )
    used = {
        _LOGIC[resource]: (count["used"], count["available"])
        for resource, count in found["utilization"].items()
        if resource in _LOGIC
    }
    path: list[dict[str, Any]] = next((path["path"] for path in found["critical_paths"]
                 if name in path["from"] and path["from"] == path["to"]), [])  # fmt: skip
    return Placement(seed, used, clocks[name]["achieved"] * 1e6, missed, _by_module(path))


def module_of(cell: str) -> str:
    """The module that a flat netlist's cell belongs to, as far as its name tells."""
    parts = cell.split(".")[:FULL_PATH_LEVELS]
    return ".".join(part for part in parts if "_SB_" not in part and not part.startswith("$")) or "top"


def _by_module(path: list[dict[str, Any]]) -> tuple[tuple[str, float], ...]:
    spent: list[tuple[str, float]] = []
    for piece in path:
        module = module_of(piece["from"]["cell"])
        if spent and spent[-1][0] == module:
            spent[-1] = module, spent[-1][1] + piece["delay"]
        else:
            spent.append((module, piece["delay"]))
    return tuple(spent)


def resource_name(resource: str) -> str:
    """nextpnr's name for a resource → the project's."""
    return _LOGIC.get(resource, resource)


def count_cells(netlist: Path) -> dict[str, int]:
    """Cells of a synthesised netlist: LUT4, FF, carries."""
    cells = json.loads(netlist.read_text())["modules"]["top"]["cells"].values()
    kinds = Counter(_kind(cell["type"]) for cell in cells)
    return {kind: kinds[kind] for kind in ("LUT4", "FF", "carry") if kinds[kind]}


def _kind(cell: str) -> str:
    if cell in ("SB_LUT4", "LUT4"):
        return "LUT4"
    if cell in ("SB_CARRY", "CCU2C"):
        return "carry"
    return "FF" if cell.startswith(("SB_DFF", "TRELLIS_FF")) else cell

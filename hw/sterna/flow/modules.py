"""Cells of a synthesised netlist, by the module of the design that they came from.

The netlist is flat, and of a net that crosses modules yosys keeps any of its names. A cell belongs to the module from
which the net comes that it drives: the one whose output it is by the design, else the innermost that names it without
being fed with it. Nets in the midst of logic, whose names yosys made of a neighbour's, count as the neighbour's.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

KINDS = {
    "LUT4": ("SB_LUT4", "LUT4"),
    "FF": ("SB_DFF", "TRELLIS_FF"),
    "carry": ("SB_CARRY", "CCU2C"),
    "LUT RAM": ("TRELLIS_DPR16X4",),
    "EBR": ("SB_RAM40_4K", "DP16KD"),
    "SPRAM": ("SB_SPRAM256KA",),
    "DSP": ("SB_MAC16", "MULT18X18D"),
}
"""What is counted, by the beginning of the primitives' names. A CCU2C is a carry of two bits, and takes two cells."""
LEVELS = 3
"""Of the hierarchy that are told apart; what lies deeper counts for them."""

_LINE = re.compile(
    r"^module \\(?P<module>\S+)$"
    r"|^  wire width (?P<width>\d+) (?P<way>input|output) \d+ +\\(?P<port>\S+)$"
    r"|^  cell (?P<cell>\S+) \S+$"
    r"|^(?P<pin> +)?connect \\?(?P<to>\S+) \\?(?P<wire>[^{\s]\S*)(?: \[(?:(?P<last>\d+):)?(?P<first>\d+)\])?$",
    re.MULTILINE,
)
"""Lines of RTLIL that tell where nets come from."""
_MADE = re.compile(r"_(?:SB_|LUT4|CCU2C|TRELLIS_|PFUMX|L6MUX21|DP16KD|MULT18X18D|DO[AB]\d|DI[AB]\d|RDATA|WDATA|\$).*$")
"""What yosys adds to a neighbour's name."""

_Net = tuple[str, str]
"""Module and wire."""
Cell = Mapping[str, Any]
"""As yosys writes it to JSON: type, port_directions, connections."""


@dataclass(frozen=True)
class Area:
    """Cells of a module, all of its instances together."""

    module: str
    instances: int
    cells: dict[str, int]
    """By ``KINDS``; for an iCE40 ``LC`` too, see :func:`logic_cells`."""

    def summary(self) -> dict[str, object]:
        """For scripts."""
        return asdict(self)


def areas(netlist: Path, design: Path) -> list[Area]:
    """Of the netlist that yosys wrote (JSON) and the design it was made from (RTLIL); largest first, the sum last."""
    top: dict[str, Any] = json.loads(netlist.read_text())["modules"]["top"]
    owners = _Owners(top, design.read_text())
    cells: dict[str, Cell] = {name: cell for name, cell in top["cells"].items() if cell["type"][0] != "$"}
    logic = logic_cells(cells) if any(cell["type"].startswith("SB_") for cell in cells.values()) else None
    counts: dict[str, Counter[str]] = {}
    instances: dict[str, set[str]] = {}
    for name, cell in cells.items():
        scope = ".".join(owners.of(name, cell).split(".")[:LEVELS])
        module = re.sub(r"(_|\$)\d+(?=\.|$)", "", scope).removeprefix("accelerator.") or "top"
        instances.setdefault(module, set()).add(scope)
        found = counts.setdefault(module, Counter())
        found.update(kind for kind, primitives in KINDS.items() if cell["type"].startswith(primitives))
        found["LC"] += logic is not None and name in logic
    kinds = [*KINDS, *(["LC"] if logic is not None else [])]

    def area(module: str, count: int, found: Counter[str]) -> Area:
        return Area(module, count, {kind: found[kind] for kind in kinds})

    rows = [area(module, len(instances[module]), found) for module, found in counts.items()]
    rows.sort(key=lambda row: (-row.cells["LUT4"] - row.cells["FF"], -row.cells["EBR"], row.module))
    return [*rows, area("all", 1, sum(counts.values(), Counter()))]


class _Ports:
    """Ports of a design's modules, and where wires and inputs come from. Modules are named by their path without the
    top's name, as Amaranth does."""

    def __init__(self, design: str):
        self.inputs: dict[_Net, int] = {}
        """And their bits."""
        self.outputs: dict[_Net, int] = {}
        self._sources: dict[_Net, list[tuple[range, _Net, int]]] = {}
        """Bits of a net, the net they come from, and its bit that the first of them is."""
        pins: list[tuple[_Net, int, _Net]] = []
        module = instance = ""
        for line in _LINE.finditer(design):
            if line["module"]:
                module = line["module"].partition(".")[2]
            elif line["way"]:
                ports = self.inputs if line["way"] == "input" else self.outputs
                ports[module, line["port"]] = int(line["width"])
            elif line["cell"]:
                instance = line["cell"].partition(".")[2] or "none"
            else:
                wire, first = (module, line["wire"]), int(line["first"] or 0)
                if line["pin"]:
                    pins.append((wire, first, (instance, line["to"])))
                elif line["first"]:
                    bits = range(int(line["last"] or first) + 1 - first)
                    self._sources.setdefault((module, line["to"]), []).append((bits, wire, first))
        for wire, first, pin in pins:
            if pin in self.outputs:
                bits = range(first, first + self.outputs[pin])
                self._sources.setdefault(wire, []).append((bits, pin, 0))
            elif pin in self.inputs:
                self._sources.setdefault(pin, []).append((range(self.inputs[pin]), wire, first))

    def source(self, net: _Net, bit: int) -> str | None:
        """The innermost module whose output a bit of a net is; None if it is no module's."""
        further = (self.source(other, first + bit - bits[0]) for bits, other, first in self._sources.get(net, ())
                   if bit in bits)  # fmt: skip
        return next(further, None) or (net[0] if net in self.outputs else None)


class _Owners:
    """Which module each cell belongs to."""

    def __init__(self, top: Mapping[str, Any], design: str):
        self._modules = {name for name, cell in top["cells"].items() if cell["type"] == "$scopeinfo"}
        self._nets: dict[str, list[int | str]] = {name: net["bits"] for name, net in top["netnames"].items()}
        ports = _Ports(design)
        fed: dict[int | str, set[str]] = {}
        naming: dict[int | str, set[str]] = {}
        self._of: dict[int | str, str] = {}
        for name, bits in self._nets.items():
            if _MADE.search(name):
                continue
            module = self._module(name)
            net = module, name[len(module) :].removeprefix(".")
            for at, bit in enumerate(bits):
                source = ports.source(net, at)
                if source is not None:
                    self._of[bit] = max(source, self._of.get(bit, ""), key=_depth)
                (fed if net in ports.inputs else naming).setdefault(bit, set()).add(module)
        for bit, modules in naming.items():
            inside = [module for module in sorted(modules) if fed.get(bit, set()).isdisjoint(_around(module))]
            self._of.setdefault(bit, max(inside, key=_depth, default=""))

    def _module(self, name: str) -> str:
        """The innermost module that a name begins with; empty for the top."""
        while name and name not in self._modules:
            name = name.rpartition(".")[0]
        return name

    def of(self, name: str, cell: Cell) -> str:
        """The module of a cell."""
        neighbour = _MADE.sub("", name)
        if neighbour == name:
            return self._module(name)
        driven = (bit for port, bit in _nets(cell) if cell["port_directions"][port] == "output")
        bits = (*driven, *self._nets.get(neighbour, ()))
        return next((self._of[bit] for bit in bits if bit in self._of), self._module(name))


def _around(module: str) -> Iterable[str]:
    """A module, and those it lies in."""
    parts = module.split(".")
    return (".".join(parts[:count]) for count in range(1, len(parts) + 1))


def _depth(module: str) -> int:
    return len(module.split(".")) if module else 0


def logic_cells(cells: Mapping[str, Cell]) -> set[str]:
    """Cells of an iCE40 netlist that take a logic cell each, as nextpnr packs them: LUTs; flip-flops, unless alone
    behind a LUT; carries, unless a LUT has the same two inputs and the same carry in.

    Too few by what nextpnr adds where carry chains begin, end and are split: under 1 % of a whole design.
    """
    loads: Counter[int] = Counter()
    luts, adders = set(), set()
    for cell in cells.values():
        loads.update(bit for port, bit in _nets(cell) if cell["port_directions"][port] == "input")
        if cell["type"] == "SB_LUT4":
            nets = dict(_nets(cell))
            luts.add(nets["O"])
            adders.add((nets.get("I1"), nets.get("I2"), nets.get("I3")))

    def takes_one(cell: Cell) -> bool:
        nets = dict(_nets(cell))
        if cell["type"].startswith(KINDS["FF"]):
            return not (nets.get("D") in luts and loads[nets["D"]] == 1)
        if cell["type"] == "SB_CARRY":
            return (nets.get("I0"), nets.get("I1"), nets.get("CI")) not in adders
        return bool(cell["type"] == "SB_LUT4")

    return {name for name, cell in cells.items() if takes_one(cell)}


def _nets(cell: Cell) -> Iterable[tuple[str, int]]:
    """Port and net of every bit that is not constant."""
    return ((port, bit) for port, bits in cell["connections"].items() for bit in bits if isinstance(bit, int))

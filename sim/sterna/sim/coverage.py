"""Coverage of verification: which lines ran and which signals toggled, and which kinds of layers were met how.

Verilator's text format: one point a line, its keys between \\x01 and its values after \\x02, then how often it was met.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from sterna.sim.networks import KINDS, OVERLAID
from sterna.spec.configuration import Configuration
from sterna.spec.errors import InputError
from sterna.spec.network import IntegerNetwork, Layer

_HEADER = "# SystemC::Coverage"
_POINT = re.compile(r"C '(.*)' (\d+)\n?")
_INSTANCE = re.compile(r"(_\d+|\$\d+)$")


def read_points(path: Path) -> Iterator[tuple[str, int]]:
    """Points of a file, as Verilator keys them, and their counts. Raises :class:`InputError` for any other file."""
    with path.open(errors="surrogateescape") as lines:
        if not next(lines, "").startswith(_HEADER):
            raise InputError(f"{path} is no coverage file of Verilator")
        for number, line in enumerate(lines, 2):
            if found := _POINT.fullmatch(line):
                yield found[1], int(found[2])
            elif not line.startswith("#"):
                raise InputError(f"{path} line {number} is no coverage point")


def module_name(hierarchy: str) -> str:
    """Of an instance, without what tells it from its like: ``TOP.top.core.feeder_3`` is ``core.feeder``."""
    parts = [_INSTANCE.sub("", part) for part in hierarchy.split(".")]
    return ".".join(part for part in parts if part not in {"TOP", "top"}) or "top"


def _source_lines(text: str) -> Iterator[int]:
    """``12-14,17`` → 12, 13, 14, 17."""
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


@dataclass
class CodeCoverage:
    """Points met by any run, one configuration's design at a time."""

    designs: dict[str, Counter[str]] = field(default_factory=dict)
    """Counts of the points of each configuration."""

    def add(self, design: str, points: Iterable[tuple[str, int]]) -> None:
        counts = self.designs.setdefault(design, Counter())
        for key, count in points:
            counts[key] += count

    def summary(self) -> dict[str, Any]:
        """``lines`` and ``toggles`` as [met, all] in total and for each module, all its instances and designs together.

        Lines are those of the Verilog source that a block or branch begins or holds; a toggle is a bit's change in one
        direction.
        """
        modules: dict[str, dict[str, list[int]]] = {}
        for counts in self.designs.values():
            for key, count in counts.items():
                of = _values(key)
                if of.get("t") == "toggle":
                    _tally(modules, of.get("h", ""), "toggle", count > 0)
            for (hierarchy, _), met in _lines_met(counts).items():
                _tally(modules, hierarchy, "line", met)
        total = {
            kind: [sum(counts[kind][part] for counts in modules.values()) for part in (0, 1)]
            for kind in ("line", "toggle")
        }
        return {"modules": {"all": total} | dict(sorted(modules.items()))}

    def missed_lines(self) -> list[str]:
        """``design module:line`` of every source line that no run met."""
        missed = set()
        for design, counts in self.designs.items():
            met: dict[tuple[str, int], bool] = {}
            for (hierarchy, line), hit in _lines_met(counts).items():
                place = module_name(hierarchy), line
                met[place] = met.get(place, False) or hit
            missed |= {f"{design} {module}:{line}" for (module, line), hit in met.items() if not hit}
        return sorted(missed)


def _tally(modules: dict[str, dict[str, list[int]]], hierarchy: str, kind: str, met: bool) -> None:
    tally = modules.setdefault(module_name(hierarchy), {"line": [0, 0], "toggle": [0, 0]})[kind]
    tally[0] += met
    tally[1] += 1


def _values(key: str) -> dict[str, str]:
    """Of a point: ``t`` its type, ``h`` its instance, ``S`` its source lines, and others."""
    return dict(part.split("\x02", 1) for part in key.split("\x01") if part)


def _lines_met(counts: Counter[str]) -> dict[tuple[str, int], bool]:
    """Of each instance and source line, whether it ran."""
    met: dict[tuple[str, int], bool] = {}
    for key, count in counts.items():
        of = _values(key)
        for line in _source_lines(of.get("S", "")):
            place = of.get("h", ""), line
            met[place] = met.get(place, False) or count > 0
    return met


# What a layer is, as far as the gateware treats it differently.

SHAPES = ("point", "line", "plane", "one channel in", "part of a word", "part of a tile", "window beyond the image")
"""One pixel; one row or column; more; one input channel; channels that do not fill a word of the banks or a tile of the
lanes; a window that is larger than the image without its padding. A layer may be of several."""


def layer_kinds(layer: Layer) -> list[str]:
    """Its kind of :data:`sterna.sim.networks.KINDS`, and what lies over it."""
    kinds = [layer.name.rstrip("0123456789")]
    if layer.pool != (1, 1):
        kinds.append("max-pooled")
    return kinds


def layer_shapes(network: IntegerNetwork, layer: Layer, configuration: Configuration) -> list[str]:
    """Of :data:`SHAPES`."""
    height, width, channels = network.shape(layer.name)
    sources = [(network.shape(plane.source), plane.trits.shape) for plane in layer.planes]
    found = {
        "point": (height, width) == (1, 1),
        "line": (height == 1) != (width == 1),
        "plane": min(height, width) > 1,
        "one channel in": any(source[2] == 1 for source, _ in sources),
        "part of a word": any(source[2] % configuration.simd for source, _ in sources),
        "part of a tile": channels % configuration.pe != 0,
        "window beyond the image": any(kernel[1] > source[0] or kernel[2] > source[1] for source, kernel in sources),
    }
    return [shape for shape in SHAPES if found[shape]]


def possible(kind: str, shape: str) -> bool:
    """Whether there are such layers at all: a dense one has one pixel and no padding, an average no padding."""
    if kind == "dense":
        return shape not in {"line", "plane", "window beyond the image"}
    return (kind, shape) != ("average", "window beyond the image")


class FunctionalCoverage:
    """Kinds of layers × precision × shapes × skips that were met."""

    def __init__(self, act_bits: Iterable[int], skips: Iterable[str]) -> None:
        self._bins = {
            (kind, bits, shape, skip): 0
            for kind, bits, shape, skip in product((*KINDS, *OVERLAID), act_bits, SHAPES, skips)
            if possible(kind, shape)
        }

    def add(self, network: IntegerNetwork, configuration: Configuration, skips: str) -> None:
        """Counts every layer of a network that was run with some skips."""
        for layer in network.layers:
            shapes = layer_shapes(network, layer, configuration)
            for found in product(layer_kinds(layer), (configuration.act_bits,), shapes, (skips,)):
                if found in self._bins:
                    self._bins[found] += 1

    def summary(self) -> dict[str, Any]:
        """``groups``: [met, all] in total and for each kind, precision, shape and skip; ``holes``: what was not met."""
        groups: dict[str, list[int]] = {"all": [0, 0]}
        for (kind, bits, shape, skips), count in self._bins.items():
            for group in ("all", f"kind {kind}", f"{bits} bits", f"shape {shape}", skips):
                tally = groups.setdefault(group, [0, 0])
                tally[0] += count > 0
                tally[1] += 1
        holes = [" · ".join(map(str, found)) for found, count in self._bins.items() if not count]
        return {"groups": groups, "holes": holes}

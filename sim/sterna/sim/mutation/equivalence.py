"""Mutants that are no mutants: nothing that can be seen from outside differs, in any state."""

import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

from sterna.sim.mutation.mutants import SELECT, SELECT_BITS, Mutants, yosys
from sterna.sim.verilog import TOP

_PREPARE = f"""
    read_rtlil mutants.il
    hierarchy -top {TOP}
    flatten
    memory
    design -save all
"""
_SIDE = """
    design -load all
    delete -port {top}/{select}
    connect -set {select} {width}'d{number}
    opt -full
    simplemap
    splitnets -ports
    opt -full -purge
    rename {top} {name}
    design -stash {name}
"""
_COMPARE = """
    design -reset
    design -copy-from gold -as gold gold
    design -copy-from gate -as gate gate
    equiv_make gold gate both
    hierarchy -top both
    opt_clean
    equiv_struct -icells
    equiv_simple -undef
    equiv_induct -undef -seq 3
    tee -o {number}.txt equiv_status
"""


def equivalent(mutants: Mutants, numbers: Iterable[int]) -> set[int]:
    """Those of the mutants that are proved to do what the component does, by induction over all states: registers that
    anything depends on are equal for ever if they are at power-up.

    Raises :class:`ToolError` if yosys is missing or fails.
    """
    chosen = list(numbers)
    script = _PREPARE + _side("gold", 0)
    for number in chosen:
        script += _side("gate", number) + _COMPARE.format(number=number)
    with tempfile.TemporaryDirectory(prefix="sterna-equivalence-") as temporary:
        folder = Path(temporary)
        (folder / "mutants.il").write_text(mutants.rtlil)
        yosys(folder, script)
        status = {number: (folder / f"{number}.txt").read_text() for number in chosen}
    return {number for number, text in status.items() if re.search(r"Equivalence successfully proven!", text)}


def _side(name: str, number: int) -> str:
    return _SIDE.format(name=name, number=number, width=SELECT_BITS, top=TOP, select=SELECT)

"""Mutants that are no mutants: nothing that can be seen from outside differs, in any state."""

import tempfile
from collections.abc import Iterable
from pathlib import Path

from sterna.flow.verilog import TOP
from sterna.sim.mutation.mutants import SELECT, SELECT_BITS, Mutants, yosys

PATIENCE = 120.0
"""Seconds for one try at a mutant; what is not proved by then counts as different."""
_PREPARE = f"""
    read_rtlil mutants.il
    hierarchy -top {TOP}
    flatten
    memory
    setattr -unset init w:*
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
    {merge}
    equiv_simple
    equiv_induct -seq 2
    tee -o status.txt equiv_status
"""


_MERGES = "equiv_struct -icells", ""
"""Alike cells of the two sides taken for one or not: it often helps, but sets cells equal that need not be as well."""


def equivalent(mutants: Mutants, numbers: Iterable[int]) -> set[int]:
    """Those of the mutants that are proved to do what the component does, by induction over all states: registers that
    anything depends on are equal for ever if they are at power-up (which they are, whatever their values: those of the
    mutant are the component's).

    Raises :class:`ToolError` if yosys is missing or fails.
    """
    return {number for number in numbers if _same(mutants, number)}


def _same(mutants: Mutants, number: int) -> bool:
    sides = _PREPARE + _side("gold", 0) + _side("gate", number)
    with tempfile.TemporaryDirectory(prefix="sterna-equivalence-") as temporary:
        folder = Path(temporary)
        (folder / "mutants.il").write_text(mutants.rtlil)
        status = folder / "status.txt"
        return any(
            yosys(folder, sides + _COMPARE.format(merge=merge), timeout=PATIENCE)
            and "Equivalence successfully proven!" in status.read_text()
            for merge in _MERGES
        )


def _side(name: str, number: int) -> str:
    return _SIDE.format(name=name, number=number, width=SELECT_BITS, top=TOP, select=SELECT)

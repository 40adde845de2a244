"""Which mutants the checks let live, and which of those are equivalent to the component."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sterna.sim.model import Compiled, simulator
from sterna.sim.mutation.equivalence import equivalent
from sterna.sim.mutation.mutants import SELECT, mutate
from sterna.sim.mutation.units import UNITS, Check, Unit
from sterna.sim.verilate import Progress, quiet
from sterna.spec.errors import InputError

MUTANTS = 250
"""Of each unit, evenly over its cells and bits."""


@dataclass(frozen=True)
class Found:
    """What became of a unit's mutants."""

    unit: str
    mutants: int
    killed: int
    equivalent: tuple[str, ...]
    """Survivors proved to do what the component does."""
    survivors: tuple[str, ...]
    """All others, by what they change."""

    def row(self) -> dict[str, Any]:
        return {"unit": self.unit, "mutants": self.mutants, "killed": self.killed, "equivalent": list(self.equivalent),
                "survivors": list(self.survivors)}  # fmt: skip


def unit_named(name: str) -> Unit:
    """Raises :class:`InputError` with the known names."""
    for unit in UNITS:
        if unit.name == name:
            return unit
    raise InputError(f"no unit {name!r}; known: {', '.join(unit.name for unit in UNITS)}")


def kills(unit: Unit, check: Check, compiled: Compiled, mutant: int) -> bool:
    """Whether the check notices the mutant: by a wrong or missing result, or because nothing comes at all."""
    try:
        check(simulator(compiled, {SELECT: mutant}, cycles=unit.cycles))
    except AssertionError:
        return True
    return False


def search(
    unit: Unit,
    *,
    count: int = MUTANTS,
    seed: int = 0,
    prove: bool = True,
    progress: Progress = quiet,
    counted: Callable[[int, int], None] = lambda *_: None,
) -> Found:
    """Runs the unit's checks on each of ``count`` mutants until one notices; proves survivors equivalent if it can and
    ``prove`` is set.

    Raises :class:`ToolError` if a tool is missing or fails, ``AssertionError`` if the component itself fails a check.
    """
    mutants = mutate(unit.make(), unit.modules, count, seed)
    compiled = Compiled(mutants.verilog, mutants.ports, name=f"mutants-{unit.name}", progress=progress)
    for check in unit.checks:
        check(simulator(compiled))
    alive = []
    for mutant in range(1, len(mutants.changes) + 1):
        if not any(kills(unit, check, compiled, mutant) for check in unit.checks):
            alive.append(mutant)
        counted(mutant, len(mutants.changes))
    same = equivalent(mutants, alive) if prove and alive else set()

    def named(numbers: Sequence[int]) -> tuple[str, ...]:
        return tuple(mutants.changes[number - 1] for number in numbers)

    return Found(
        unit.name, len(mutants.changes), len(mutants.changes) - len(alive), named(sorted(same)),
        named([number for number in alive if number not in same]),
    )  # fmt: skip

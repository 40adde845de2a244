"""The device's counters, freed of their 32 bits."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from typing import Self

from sterna.spec.registers import Register

FIRST = Register.GOOD_FRAMES
COUNT = Register.POSITIONS - FIRST + 1


@dataclass(frozen=True)
class Counters:
    """What happened between two readings; each field is the register of that name in ``sterna.spec.registers``."""

    good_frames: int = 0
    bad_frames: int = 0
    cycles: int = 0
    issue_cycles: int = 0
    empty_cycles: int = 0
    idle_cycles: int = 0
    requantiser_stalls: int = 0
    memory_stalls: int = 0
    issued: int = 0
    stored: int = 0
    positions: int = 0

    def __add__(self, other: Self) -> Self:
        return type(self)(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __sub__(self, other: Self) -> Self:
        return type(self)(*(a - b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def skipped_blocks(self) -> int:
        """Positions not issued because their block is all zero, and not stored."""
        return self.positions - self.stored

    @property
    def skipped_activations(self) -> int:
        """Positions not issued because their activation is zero, though the block is stored."""
        return self.stored - self.issued


assert [field.name for field in fields(Counters)] == [Register(FIRST + at).name.lower() for at in range(COUNT)]


class CounterTotals:
    """Adds up the differences of successive readings, each modulo 2**32."""

    def __init__(self) -> None:
        self.total = Counters()
        """Since the first reading."""
        self._last: Sequence[int] | None = None

    def restart(self) -> None:
        """The device was reset: the next reading is a new start, and adds nothing."""
        self._last = None

    def add(self, registers: Sequence[int]) -> None:
        """Takes a reading of the ``COUNT`` registers from ``FIRST`` on, less than 2**32 steps after the last one."""
        if self._last is not None:
            steps = ((new - old) & 0xFFFFFFFF for new, old in zip(registers, self._last, strict=True))
            self.total += Counters(*steps)
        self._last = registers

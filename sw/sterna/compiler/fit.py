"""What a network takes of each memory of a configuration."""

from dataclasses import dataclass

from sterna.spec.errors import FitError


@dataclass(frozen=True)
class MemoryUse:
    """Use of one memory. ``unit`` says what is counted; banked memories count their fullest bank."""

    memory: str
    unit: str
    used: int
    available: int

    def __str__(self) -> str:
        return f"{self.memory}: {self.used} of {self.available} {self.unit}"


@dataclass(frozen=True)
class FitReport:
    """Use of all memories of a configuration by one network."""

    configuration: str
    memories: tuple[MemoryUse, ...]
    streamed_bytes: int = 0
    """What the memories do not hold at once, and goes over the link in every run."""

    @property
    def fits(self) -> bool:
        return all(use.used <= use.available for use in self.memories)

    def check(self) -> None:
        """Raises :class:`FitError` that names every memory that is too small, and by how much."""
        over = [f"{use} ({use.used - use.available} too many)" for use in self.memories if use.used > use.available]
        if over:
            raise FitError(f"network does not fit {self.configuration}: " + "; ".join(over))

"""What a run tells of itself, epoch by epoch, and the file that keeps it."""

import csv
import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sterna.spec.errors import ConfigurationError

PhaseName = Literal["float", "reference", "quantised"]
"""In this order; ``reference`` is the float model trained on, for comparison."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One finished epoch."""

    phase: PhaseName
    epoch: int
    """1 … epochs."""
    epochs: int
    loss: float
    """Mean over the epoch."""


class MetricsFile:
    """A line for each epoch, written as it ends: CSV with a header, or JSON objects, by the path's suffix.

    Raises :class:`ConfigurationError` for another suffix. An existing file is replaced.
    """

    def __init__(self, path: Path) -> None:
        if path.suffix not in (".csv", ".jsonl"):
            raise ConfigurationError(f"metrics file is {path.name!r}; allowed: names that end in .csv or .jsonl")
        self._path = path
        self._fields = [field.name for field in dataclasses.fields(Progress)]
        with path.open("w", newline="") as file:
            if path.suffix == ".csv":
                csv.DictWriter(file, self._fields, lineterminator="\n").writeheader()

    def __call__(self, entry: Progress) -> None:
        values = dataclasses.asdict(entry)
        with self._path.open("a", newline="") as file:
            if self._path.suffix == ".csv":
                csv.DictWriter(file, self._fields, lineterminator="\n").writerow(values)
            else:
                file.write(json.dumps(values) + "\n")

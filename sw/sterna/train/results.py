"""Results that were kept: ``train-ROW.json`` files, what each row should reach, and by how much it falls short."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

from sterna.spec.errors import DataError
from sterna.spec.values import is_count, is_number
from sterna.train.rows import ROWS, Reach

LOWER_IS_BETTER = ("bits per byte",)
"""Metrics."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """One row's file."""

    row: str
    seeds: list[int]
    accuracy: list[float]
    """By the metric, of each seed's integer network on held-out data."""
    median: float
    fp32_median: float
    bits_per_weight: float
    """Everything that the model file packs, for each weight of the float model."""
    metric: str
    dataset: str
    fp32: list[float]
    """Of each seed's float model."""
    weights: int
    command: str

    @property
    def packed_bytes(self) -> int:
        """Everything that the model file packs: trits, multipliers, biases, shifts."""
        return round(self.weights * self.bits_per_weight / 8)


def read(folder: Path) -> dict[str, Kept]:
    """All rows kept in a folder, by name. Raises :class:`DataError` naming the file that is none."""
    names = {field.name for field in fields(Kept)}
    found = {}
    for path in sorted(folder.glob("train-*.json")):
        try:
            kept = _checked(Kept(**json.loads(path.read_text())))
        except (OSError, TypeError, ValueError, RecursionError) as error:
            raise DataError(f"{path} does not hold {', '.join(sorted(names))}: {error}") from error
        found[kept.row] = kept
    return found


def _checked(kept: Kept) -> Kept:
    """The same. Raises ``ValueError`` naming the field whose value is none that training gives."""
    texts = (kept.row, kept.metric, kept.dataset, kept.command)
    numbers = (kept.median, kept.fp32_median, kept.bits_per_weight)
    lists = (kept.seeds, kept.accuracy, kept.fp32)
    right = {
        "row, metric, dataset and command are text": all(isinstance(text, str) for text in texts),
        "median, fp32_median and bits_per_weight are numbers": all(map(is_number, numbers)),
        "weights is 1 or more": is_count(kept.weights),
        "seeds, accuracy and fp32 are lists of numbers": all(isinstance(each, list) for each in lists)
        and all(is_number(value) for each in lists for value in each),
    }
    for rule, kept_to in right.items():
        if not kept_to:
            raise ValueError(f"not true: {rule}")
    if not len(kept.seeds) == len(kept.accuracy) == len(kept.fp32) > 0:
        raise ValueError("not true: seeds, accuracy and fp32 are of the same length, 1 or more")
    return kept


class Aim(NamedTuple):
    """Something that a row should reach."""

    text: str
    margin: float
    """By how much its median is better than that; negative: falls short."""
    strict: bool = False
    """Whether a margin of 0 falls short, too."""

    @property
    def reached(self) -> bool:
        return self.margin > 0 or (self.margin == 0 and not self.strict)


def aims(reach: Reach, kept: Kept, others: Mapping[str, Kept]) -> list[Aim]:
    """What a row should reach.

    An aim beside a row that was not kept is left out.
    """
    better = -1 if kept.metric in LOWER_IS_BETTER else 1
    found = []
    if reach.least is not None:
        found.append(Aim(f"{'≤' if better < 0 else '≥'} {reach.least:.4g}", better * (kept.median - reach.least)))
    if reach.below_float is not None:
        margin = better * (kept.median - kept.fp32_median) + reach.below_float
        found.append(Aim(f"at most {reach.below_float:.4g} worse than fp32", margin))
    if reach.below_row is not None and reach.below_row[0] in others:
        name, loss = reach.below_row
        margin = better * (kept.median - others[name].median) + loss
        text = f"at most {loss:.4g} worse than {name}" if loss else f"better than {name}"
        found.append(Aim(text, margin, strict=not loss))
    return found


def table(results: Mapping[str, Kept]) -> str:
    """All kept rows as Markdown, in the order of :data:`ROWS`."""
    lines = [
        "| row | data, metric | median (seeds) | fp32 | weights × bits | reach | margin |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in _ordered(results):
        kept = results[name]
        reached = aims(ROWS[name].reach, kept, results) if name in ROWS else []
        seeds = ", ".join(f"{value:.4f}" for value in kept.accuracy)
        cells = [
            f"`{name}`", f"{kept.dataset}, {kept.metric}", f"**{kept.median:.4f}** ({seeds})",
            f"{kept.fp32_median:.4f}", f"{kept.weights} × {kept.bits_per_weight:.2f}",
            "; ".join(aim.text for aim in reached),
            "; ".join(f"{aim.margin:+.4f}{'' if aim.reached else ' short'}" for aim in reached),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def gaps_closed(results: Mapping[str, Kept], weights: str = "power-of-three") -> dict[str, float]:
    """By row: share of what its ternary median lacks to the float models' that another weight quantiser regains.

    For rows of which both were kept, and where ternary loses more than its seeds differ: 1 is all of it, below 0 is
    worse than ternary.
    """
    found = {}
    for name, kept in results.items():
        other = results.get(f"{name}-{weights}")
        better = -1 if kept.metric in LOWER_IS_BETTER else 1
        lacking = better * (kept.fp32_median - kept.median)
        spread = max(kept.accuracy) - min(kept.accuracy)
        if other is not None and lacking > spread:
            found[name] = better * (other.median - kept.median) / lacking
    return found


def _ordered(results: Iterable[str]) -> list[str]:
    order = list(ROWS)
    return sorted(results, key=lambda name: (order.index(name) if name in order else len(order), name))

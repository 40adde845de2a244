"""The curve: what a task's rows reach, against bits per weight, size and packed bytes, seeds as error bars."""

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sterna.spec.errors import DataError
from sterna.train.results import Kept
from sterna.train.rows import ROWS, row_named
from sterna.train.text_presets import TextPreset

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FLOAT = "fp32"
FLOAT_BITS = 32
BITS_TICKS = (1, 2, 4, 8, 16, FLOAT_BITS)
BESIDE = 1.03
"""By which factor families lie beside each other on the axis of sizes, where a task has one size only."""


def of_task(results: Mapping[str, Kept], dataset: str | None) -> dict[str, list[Kept]]:
    """Kept rows by data set: all, or the one named. Raises :class:`DataError` if there are none."""
    tasks: dict[str, list[Kept]] = {}
    for kept in results.values():
        if dataset in (None, kept.dataset):
            tasks.setdefault(kept.dataset, []).append(kept)
    if not tasks:
        known = sorted({kept.dataset for kept in results.values()})
        raise DataError(f"no results of {dataset or 'any data set'}; there are some of: {', '.join(known) or 'none'}")
    return tasks


def family_of(row: str) -> str:
    """A row's weight quantiser, and its density of weight blocks if that is what the row changes of its preset.

    Raises :class:`ConfigurationError` on a row that is none.
    """
    found = row_named(row)
    weights = found.changed_preset().recipe.layers.weights
    density = dict(found.changes).get("recipe.layers.density")
    return weights if density is None else f"{weights}, {density:.0%} of blocks"


STYLES = dict(
    zip(
        dict.fromkeys([FLOAT, *map(family_of, ROWS)]),
        zip(("black", "C0", "C9", "C4", "C1", "C2", "C3", "C5", "C6", "C8"), "xo<>sD^vP*", strict=True),
        strict=False,
    )
)
"""Colour and marker of each family, the same in all plots."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """A family at one size."""

    preset: str
    values: list[float]
    """Of each seed."""
    bits: float
    """Per weight."""
    size: int
    """Parameters where a preset says them, else weights."""
    bytes: int
    """Of the packed layers, for text without the embedding; of the float model, its weights alone."""


def lines(rows: Iterable[Kept]) -> list[tuple[str, list[Point]]]:
    """Families and their points by size; where a task has several kinds of topologies, a line for each of these."""
    found: dict[tuple[str, type], list[Point]] = {}
    floats: dict[tuple[type, str, int, int], dict[int, float]] = {}
    for kept in rows:
        preset = row_named(kept.row).changed_preset()
        kind = type(preset.topology)
        size = preset.parameters if isinstance(preset, TextPreset) else kept.weights
        point = Point(preset=preset.name, values=kept.accuracy, bits=kept.bits_per_weight, size=size,
                      bytes=kept.packed_bytes)  # fmt: skip
        found.setdefault((family_of(kept.row), kind), []).append(point)
        # Rows of one preset have the same float models.
        floats.setdefault((kind, preset.name, size, kept.weights), {}).update(zip(kept.seeds, kept.fp32, strict=True))
    for (kind, name, size, weights), by_seed in floats.items():
        point = Point(preset=name, values=[*by_seed.values()], bits=FLOAT_BITS, size=size,
                      bytes=weights * FLOAT_BITS // 8)  # fmt: skip
        found.setdefault((FLOAT, kind), []).append(point)
    order = list(STYLES)
    ordered = sorted(found.items(), key=lambda item: order.index(item[0][0]))
    return [(family, sorted(points, key=lambda point: point.size)) for (family, _), points in ordered]


def plot(rows: list[Kept]) -> "Figure":
    """One task's rows as a figure. Needs matplotlib."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 5), layout="constrained")
    by_bits, by_size, by_bytes = figure.subplots(1, 3, sharey=True)
    drawn = lines(rows)
    floats = [point for family, points in drawn if family == FLOAT for point in points]
    one_size = len(floats) == 1
    for index, (family, points) in enumerate(drawn):
        beside = BESIDE ** (index - (len(drawn) - 1) / 2) if one_size else 1
        _draw_line(by_bits, family, points, [point.bits for point in points])
        _draw_line(by_size, family, points, [point.size * beside for point in points])
        _draw_line(by_bytes, family, points, [point.bytes / 1024 for point in points])
    for axes in (by_bits, by_size, by_bytes):
        axes.set_xscale("log", base=2)
        axes.grid(alpha=0.3)
        if one_size:
            axes.axhline(statistics.median(floats[0].values), color=STYLES[FLOAT][0], linestyle="--", linewidth=1)
    by_bits.set_xlim(BITS_TICKS[0], 1.4 * BITS_TICKS[-1])
    by_bits.set_xticks(BITS_TICKS, map(str, BITS_TICKS))
    by_bits.set_xlabel("bits per weight, everything counted")
    names = {point.size: point.preset for point in floats}
    by_size.set_xlim(min(names) / 1.4, max(names) * 1.4)
    by_size.set_xticks([*names], [f"{size:,}\n{name}" for size, name in names.items()], fontsize="x-small")
    text = isinstance(row_named(rows[0].row).changed_preset(), TextPreset)
    unit = "parameters, embedding included" if text else "weights"
    by_size.set_xlabel(f"{unit} (one size, families side by side)" if one_size else unit)
    by_bytes.xaxis.set_major_formatter("{x:g}")
    by_bytes.set_xlabel("KiB of the packed layers, scales counted")
    by_bits.set_ylabel(rows[0].metric)
    figure.suptitle(f"{rows[0].dataset}, held out: median, least and most of the seeds")
    handles, labels = by_bits.get_legend_handles_labels()
    legend = dict(zip(labels, handles, strict=True))
    figure.legend(legend.values(), legend.keys(), loc="outside lower center", ncols=len(legend))
    return figure


def _draw_line(axes: "Axes", family: str, points: list[Point], along: list[float]) -> None:
    colour, marker = STYLES[family]
    medians = [statistics.median(point.values) for point in points]
    spread = [
        [median - min(point.values) for median, point in zip(medians, points, strict=True)],
        [max(point.values) - median for median, point in zip(medians, points, strict=True)],
    ]
    axes.errorbar(
        along, medians, spread, color=colour, marker=marker, capsize=3, linewidth=1, label=family,
        linestyle="--" if family == FLOAT else "-",
    )  # fmt: skip


def draw(rows: list[Kept], path: Path) -> None:
    """Draws one task's rows; the suffix of ``path`` chooses the format. Needs matplotlib."""
    plot(rows).savefig(path)

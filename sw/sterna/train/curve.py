"""The curve: what a task's rows reach, against bits per weight and against weights, seeds as error bars."""

from collections.abc import Mapping
from pathlib import Path

from sterna.spec.errors import DataError
from sterna.train.results import Kept

FLOAT_BITS = 32


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


def draw(rows: list[Kept], path: Path) -> None:
    """Draws one task's rows; the suffix of ``path`` chooses the format. Needs matplotlib."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    by_bits, by_weights = figure.subplots(1, 2, sharey=True)
    for index, kept in enumerate(sorted(rows, key=lambda kept: kept.row)):
        colour = f"C{index % 10}"
        for values, median, bits, marker, label in (
            (kept.accuracy, kept.median, kept.bits_per_weight, "o", kept.row),
            (kept.fp32, kept.fp32_median, FLOAT_BITS, "x", None),
        ):
            spread = [[median - min(values)], [max(values) - median]]
            by_bits.errorbar([bits], [median], spread, fmt=marker, color=colour, capsize=3)
            by_weights.errorbar([kept.weights], [median], spread, fmt=marker, color=colour, capsize=3, label=label)
    by_bits.set_xscale("log", base=2)
    by_weights.set_xscale("log")
    by_bits.set_xlabel(f"bits per weight, everything counted (×: float, {FLOAT_BITS})")
    by_weights.set_xlabel("weights")
    by_bits.set_ylabel(f"{rows[0].metric}, {rows[0].dataset}, held out")
    by_weights.legend(fontsize="small")
    figure.savefig(path)

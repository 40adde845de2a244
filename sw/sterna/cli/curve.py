"""``sterna curve``: draws what trainings reached against what they cost."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from sterna.cli.output import print_json, print_table
from sterna.cli.writing import claim
from sterna.spec.errors import DataError

RESULTS = Path("docs/results")


def curve(
    results: Annotated[Path, typer.Argument(help="Folder of train-ROW.json files.")] = RESULTS,
    data: Annotated[str | None, typer.Option(help="Only this data set.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for DATA.svg, one a data set.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the metric against bits per weight, size and packed bytes, of rows that `sterna bench train --keep` kept."""
    from sterna.train.curve import draw, of_task
    from sterna.train.results import read

    if not results.is_dir():
        raise DataError(f"{results} is no folder of train-ROW.json files; `sterna bench train --keep` writes one")
    kept = read(results)
    if not kept:
        raise DataError(f"{results} holds no train-ROW.json file; `sterna bench train --keep` writes them")
    tasks = of_task(kept, data)
    claim({}, folders={"--output": output})
    if output is not None:
        for name, rows in tasks.items():
            draw(rows, output / f"{name}.svg")
    if json:
        print_json([dataclasses.asdict(kept) for rows in tasks.values() for kept in rows])
        return
    for name, rows in tasks.items():
        ordered = sorted(rows, key=lambda kept: (kept.weights, kept.bits_per_weight))
        print_table(f"{name}: {rows[0].metric}", ["row", "weights", "bits each", "bytes", "median", "spread", "fp32"], [
            [kept.row, str(kept.weights), f"{kept.bits_per_weight:.3f}", str(kept.packed_bytes), f"{kept.median:.4f}",
             f"{min(kept.accuracy):.4f}…{max(kept.accuracy):.4f}", f"{kept.fp32_median:.4f}"]
            for kept in ordered
        ])  # fmt: skip

"""``sterna bench train``: re-runs one row of the training results."""

import json as json_module
from pathlib import Path
from typing import Annotated, Any

import typer

from sterna.cli.output import print_json, print_table, work
from sterna.cli.writing import claim
from sterna.spec.errors import ConfigurationError
from sterna.spec.values import MAX_SEED


def parse_seeds(text: str) -> list[int]:
    """Seeds between commas. Raises :class:`ConfigurationError` for anything else."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) <= MAX_SEED for part in parts):
        raise ConfigurationError(f"seeds are {text!r}; allowed: whole numbers with commas between, such as 0,1,2")
    return [int(part) for part in parts]


def train_row(
    row: Annotated[str, typer.Option(help="What to train; a wrong name lists the known ones.")],
    seeds: Annotated[str, typer.Option(help="Seeds, commas between.")] = "0,1,2",
    keep: Annotated[
        Path | None,
        typer.Option(help="Folder for train-ROW.json: what is printed, the command, and details; after each seed."),
    ] = None,
    floats: Annotated[
        Path | None,
        typer.Option(
            help="Folder of float models: each is trained once for all rows that begin with it. Of one release only."
        ),
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of data sets, before $STERNA_DATA.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Train one row of the results from several seeds; print held-out accuracies of the integer networks."""
    from sterna.train.measure_row import measure_row
    from sterna.train.rows import row_named

    chosen, numbers = row_named(row), parse_seeds(seeds)
    claim({}, folders={"--keep": keep, "--floats": floats})
    with work() as shown, shown.counted(f"train {row}") as bar:
        bar(0, len(numbers))

        def done(printed: dict[str, Any], kept: dict[str, Any]) -> None:
            trained = printed["seeds"]
            bar(len(trained), len(numbers))
            if keep is not None:
                command = f"sterna bench train --row {row} --seeds {','.join(map(str, trained))} --json"
                text = json_module.dumps(printed | kept | {"command": command}, indent=1)
                (keep / f"train-{row}.json").write_text(text + "\n")

        printed, kept = measure_row(chosen, numbers, data_dir=data_dir, floats=floats, done=done)
    if json:
        print_json(printed)
        return
    print_table(f"{row}: {kept['metric']} on {kept['dataset']}", ["seed", "fp32", "integer"], [
        *([str(seed), f"{twin:.4f}", f"{accuracy:.4f}"]
          for seed, twin, accuracy in zip(numbers, kept["fp32"], printed["accuracy"], strict=True)),
        ["median", f"{printed['fp32_median']:.4f}", f"{printed['median']:.4f}"],
    ])  # fmt: skip
    typer.echo(f"{kept['weights']} weights, {printed['bits_per_weight']:.3f} bits each")

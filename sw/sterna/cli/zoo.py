"""``sterna zoo``: the trained models in the package."""

import dataclasses
import shutil
from pathlib import Path
from typing import Annotated

import typer

from sterna.cli.output import print_json, print_table


def zoo(
    name: Annotated[str | None, typer.Argument(help="Model whose card to show; all of them if left out.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Copy the model's file there.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the trained models in the package, show a card, copy a model out."""
    from sterna.spec.errors import ConfigurationError
    from sterna.zoo import NAMES, card, path_of

    if name is None:
        if output is not None:
            raise ConfigurationError(f"--output needs the name of a model: {', '.join(NAMES)}")
        cards = [card(each) for each in NAMES]
        if json:
            print_json([dataclasses.asdict(each) for each in cards])
            return
        print_table("zoo", ["model", "data", "metric", "value", "weights", "bits each", "bytes"], [
            [each.name, each.dataset, each.metric, f"{each.accuracy:.4f}", str(each.weights),
             f"{each.bits_per_weight:.3f}", str(each.bytes)]
            for each in cards
        ])  # fmt: skip
        return
    chosen = card(name)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path_of(name), output)
    if json:
        print_json(dataclasses.asdict(chosen))
        return
    print_table(name, ["", "value"], [
        ["task", chosen.task],
        ["data", chosen.dataset],
        [f"{chosen.metric}, held out", f"{chosen.accuracy:.4f}"],
        [f"{chosen.metric}, float model", f"{chosen.fp32:.4f}"],
        ["weights", str(chosen.weights)],
        ["bits per weight", f"{chosen.bits_per_weight:.3f}"],
        ["bytes", str(chosen.bytes)],
        *([f"cycles on {configuration}", "does not fit" if cycles is None else f"{cycles:.1f}"]
          for configuration, cycles in chosen.cycles.items()),
        ["trained by", chosen.command],
    ])  # fmt: skip

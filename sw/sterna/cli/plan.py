"""``sterna sensitivity`` and ``sterna budget``: recipes by layer, chosen by measurement, for ``sterna train``."""

import json as json_module
from pathlib import Path
from typing import Annotated, Any

import typer

from sterna.cli.output import print_json, print_table
from sterna.cli.writing import claim
from sterna.spec.errors import ConfigurationError
from sterna.spec.values import MAX_SEED

PresetName = Annotated[str, typer.Argument(help="Whose float model is trained.")]
Seed = Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Of the training.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="JSON file for `sterna train --layers`.")]
DataFolder = Annotated[Path | None, typer.Option(help="Folder of data sets, before $STERNA_DATA.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def read_layers(path: Path) -> dict[str, dict[str, Any]]:
    """Layers and their changes, as these verbs write them. Raises :class:`ConfigurationError` for another file."""
    try:
        layers = json_module.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path} is no JSON: {error}") from error
    if not isinstance(layers, dict) or not all(isinstance(values, dict) for values in layers.values()):
        raise ConfigurationError(f"{path} must hold an object of layers, each an object of its recipe's fields")
    return layers


def _write(path: Path | None, layers: dict[str, Any]) -> None:
    if path is not None:
        path.write_text(json_module.dumps(layers, indent=1) + "\n")


def sensitivity(
    preset: PresetName = "digits-mlp",
    loss: Annotated[float, typer.Option(help="Most accuracy that the mix may lose, as a share.")] = 0.005,
    seed: Seed = 0,
    output: Output = None,
    data_dir: DataFolder = None,
    json: Json = False,
) -> None:
    """Measure each layer at one to five ternary digits without retraining; choose the cheapest mix within a loss."""
    from sterna.train import preset_named
    from sterna.train.sensitivity import sensitivity as measure

    claim({"--output": output})
    found = measure(preset_named(preset), loss, seed, data_dir)
    _write(output, found.layers())
    if json:
        print_json({"accuracy": found.accuracy, "full": found.full, "planes": found.planes, "chosen": found.chosen})
        return
    print_table(f"{preset}: held-back accuracy", ["layer", "weights", "1", "2", "3", "4", "5 digits", "chosen"], [
        [name, str(found.weights[name]), *(f"{value:.4f}" for value in values), str(found.planes[name])]
        for name, values in found.accuracy.items()
    ])  # fmt: skip
    typer.echo(f"five digits everywhere: {found.full:.4f}; the chosen mix: {found.chosen:.4f}")


def budget(
    preset: PresetName = "digits-mlp",
    cycles: Annotated[float, typer.Option(min=1, help="Per inference.")] = 1000,
    configuration: Annotated[str, typer.Option(help="Build of the accelerator.")] = "icebreaker",
    seed: Seed = 0,
    output: Output = None,
    data_dir: DataFolder = None,
    json: Json = False,
) -> None:
    """Choose each layer's density of weight blocks for a budget in cycles, by the cycle model."""
    from sterna.spec.configuration import configuration_named
    from sterna.train import preset_named
    from sterna.train.cycle_budget import DENSITIES, cycle_budget

    claim({"--output": output})
    found = cycle_budget(preset_named(preset), configuration_named(configuration), cycles, seed, data_dir)
    _write(output, found.layers())
    if json:
        print_json({"cycles": found.cycles, "kept": found.kept, "densities": found.densities, "total": found.total})
        return
    columns = ["layer", *(f"{density:.0%}" for density in DENSITIES), "chosen"]
    print_table(f"{preset} on {configuration}: cycles by density", columns, [
        [name, *(f"{count:.0f}" for count in counts), f"{found.densities[name]:.0%}"]
        for name, counts in found.cycles.items()
    ])  # fmt: skip
    typer.echo(f"{found.total:.1f} cycles per inference, by the cycle model")

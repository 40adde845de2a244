"""``python -m sterna.zoo.make NAME [--seed N] [--folder FOLDER]``: trains a row of the results for the zoo.

``python -m sterna.zoo.make NAME --cycles`` only counts its card's cycles again: when standard configurations changed.
"""

import argparse
import dataclasses
import json
from pathlib import Path

from sterna.compiler import compile_network, model_cycles
from sterna.data import Dataset, load
from sterna.spec.configuration import STANDARD
from sterna.spec.errors import EncodingError, FitError
from sterna.spec.model_file import load_network, network_to_bytes, packed_bits
from sterna.spec.network import IntegerNetwork
from sterna.zoo import FOLDER, Card, write

IMAGES = 50
"""On which cycles are counted."""

TASKS = {
    "digits-mlp": "handwritten digits of 8×8 pixels",
    "mnist-tfc": "handwritten digits of 28×28 pixels, ternary activations too",
    "skab-autoencoder": "anomalies of a water-circulation rig",
    "speech-dscnn": "spoken digits",
}
"""What models are for; their names are those of rows."""


def cycles_of(network: IntegerNetwork, dataset: Dataset) -> dict[str, float | None]:
    """Modelled cycles per inference, by configuration; None where the network does not fit."""
    images = dataset.test_images[:IMAGES].reshape(-1, dataset.test_images[0].size)
    found: dict[str, float | None] = {}
    for name, configuration in STANDARD.items():
        try:
            compile_network(network, configuration)
        except (FitError, EncodingError):
            found[name] = None
        else:
            found[name] = model_cycles(network, configuration, images).total
    return found


def make(name: str, seed: int, folder: Path) -> None:
    """Trains and writes a model and its card."""
    from sterna.train import Preset, train
    from sterna.train.rows import row_named

    preset = row_named(name).changed_preset()
    assert isinstance(preset, Preset)
    result = train(preset, seed)
    weights = result.model.trained_weights
    made = Card(
        name=name,
        task=TASKS[name],
        dataset=preset.dataset,
        metric=result.metric,
        accuracy=result.integer_accuracy,
        fp32=result.float_accuracy,
        weights=weights,
        bits_per_weight=packed_bits(result.network) / weights,
        bytes=len(network_to_bytes(result.network)),
        cycles=cycles_of(result.network, load(preset.dataset)),
        command=f"python -m sterna.zoo.make {name} --seed {seed}",
    )
    write(made, result.network, folder)


def count_again(name: str, folder: Path) -> None:
    """Writes the cycles of a model's card anew."""
    card = Card(**json.loads((folder / f"{name}.json").read_text()))
    network = load_network(folder / f"{name}.safetensors")
    write(dataclasses.replace(card, cycles=cycles_of(network, load(card.dataset))), network, folder)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sterna.zoo.make", description="Trains a model for the zoo.")
    parser.add_argument("name", choices=sorted(TASKS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--cycles", action="store_true", help="only count the card's cycles again")
    arguments = parser.parse_args()
    if arguments.cycles:
        count_again(arguments.name, arguments.folder)
    else:
        make(arguments.name, arguments.seed, arguments.folder)


if __name__ == "__main__":
    main()

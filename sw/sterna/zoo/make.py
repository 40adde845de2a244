"""``python -m sterna.zoo.make NAME [--seed N | --model FILE | --again] [--folder FOLDER]``: makes a model of the zoo.

It is trained as a row of the results is, or was (``--model``), which is believed of a file: only its preset's name and
its accuracy are checked. ``--again`` measures the zoo's own once more, for the cycles of its card: when standard
configurations changed.
"""

import argparse
import math
import sys
from pathlib import Path

from sterna.compiler import compile_network, model_cycles
from sterna.data import Dataset, load
from sterna.quant import prepare
from sterna.spec.configuration import STANDARD
from sterna.spec.errors import ConfigurationError, EncodingError, FitError, SternaError
from sterna.spec.model_file import load_network, network_to_bytes, packed_bits
from sterna.spec.network import IntegerNetwork
from sterna.train import Preset, held_out_accuracy, train
from sterna.train.rows import row_named
from sterna.zoo import FOLDER, Card, write

IMAGES = 50
"""On which cycles are counted."""

TASKS = {
    "digits-mlp": "handwritten digits of 8×8 pixels",
    "fashion-cnn": "clothes of 28×28 pixels",
    "mnist-cnn": "handwritten digits of 28×28 pixels",
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


def card_of(name: str, network: IntegerNetwork) -> Card:
    """The card of a model that a row's preset gave, measured on all held-out data. Raises :class:`ConfigurationError`
    for a model that no training wrote, that is another preset's, or whose accuracy is not what it says.
    """
    preset = row_named(name).changed_preset()
    assert isinstance(preset, Preset)
    told = network.metadata
    if not {"preset", "seed", "accuracy", "float_accuracy"} <= told.keys():
        raise ConfigurationError("the model does not say what trained it; wanted: what `sterna train` writes")
    if told["preset"] != name:
        raise ConfigurationError(f"the model's preset is {told['preset']!r}; wanted: {name!r}")
    dataset = load(preset.dataset)
    accuracy = held_out_accuracy(network, dataset)
    if not math.isclose(accuracy, told["accuracy"], abs_tol=1e-6):
        raise ConfigurationError(f"the model has {accuracy}, but says {told['accuracy']} of itself")
    twin = preset.topology.build(dataset.input.shape, dataset.metric.outputs(dataset))
    weights = prepare(twin, preset.recipe, dataset.input).trained_weights
    return Card(
        name=name,
        task=TASKS[name],
        dataset=preset.dataset,
        metric=dataset.metric.name,
        accuracy=told["accuracy"],
        fp32=told["float_accuracy"],
        weights=weights,
        bits_per_weight=packed_bits(network) / weights,
        bytes=len(network_to_bytes(network)),
        cycles=cycles_of(network, dataset),
        command=f"python -m sterna.zoo.make {name} --seed {told['seed']}",
    )


def trained(name: str, seed: int) -> IntegerNetwork:
    """A row's network."""
    preset = row_named(name).changed_preset()
    assert isinstance(preset, Preset)
    return train(preset, seed).network


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sterna.zoo.make", description="Makes a model of the zoo.")
    parser.add_argument("name", choices=sorted(TASKS))
    parser.add_argument("--folder", type=Path, default=FOLDER)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--seed", type=int, help="train it from that seed, 0 if nothing else is said")
    source.add_argument("--model", type=Path, help="take what `sterna train` wrote, of the preset as it is")
    source.add_argument("--again", action="store_true", help="only measure the folder's own model again")
    arguments = parser.parse_args()
    path = arguments.folder / f"{arguments.name}.safetensors" if arguments.again else arguments.model
    try:
        arguments.folder.mkdir(parents=True, exist_ok=True)  # now, and not after hours of training
        network = load_network(path) if path else trained(arguments.name, arguments.seed or 0)
        write(card_of(arguments.name, network), network, arguments.folder)
    except (SternaError, OSError) as error:
        sys.exit(f"{parser.prog}: {error}")


if __name__ == "__main__":
    main()

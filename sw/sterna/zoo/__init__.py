"""The zoo: small trained models in the package, each with a card that says what it does and how it came to be.

    from sterna.zoo import NAMES, card, network
    net = network("digits-mlp")

A model is ``NAME.safetensors``, its card ``NAME.json``; ``python -m sterna.zoo.make`` writes both.
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from sterna.spec.errors import ConfigurationError
from sterna.spec.model_file import load_network
from sterna.spec.network import IntegerNetwork

FOLDER = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Card:
    """What is known of a model."""

    name: str
    task: str
    dataset: str
    """Name for :func:`sterna.data.load`."""
    metric: str
    accuracy: float
    """By the metric, of the integer network on all held-out data."""
    fp32: float
    """By the metric, of the float model that it was trained from."""
    weights: int
    """Of the float model; pruned ones count."""
    bits_per_weight: float
    """Everything that the model file packs, for each of these weights."""
    bytes: int
    """Of the model file."""
    cycles: dict[str, float | None]
    """Per inference by the cycle model, mean over the first 50 held-out images; None where the model does not fit."""
    command: str
    """What trains it again."""


NAMES = tuple(sorted(path.stem for path in FOLDER.glob("*.safetensors")))
"""Models there are."""


def path_of(name: str) -> Path:
    """The model file. Raises :class:`ConfigurationError` with the known names."""
    if name not in NAMES:
        raise ConfigurationError(f"no model {name!r} in the zoo; known: {', '.join(NAMES)}")
    return FOLDER / f"{name}.safetensors"


def card(name: str) -> Card:
    """The card of a model. Raises :class:`ConfigurationError` with the known names."""
    return Card(**json.loads(path_of(name).with_suffix(".json").read_text()))


def network(name: str) -> IntegerNetwork:
    """The model. Raises :class:`ConfigurationError` with the known names."""
    return load_network(path_of(name))


def write(made: Card, model: IntegerNetwork, folder: Path = FOLDER) -> None:
    """Writes both files of a model."""
    from sterna.spec.model_file import save_network

    save_network(model, folder / f"{made.name}.safetensors")
    (folder / f"{made.name}.json").write_text(json.dumps(dataclasses.asdict(made), indent=1, ensure_ascii=False) + "\n")

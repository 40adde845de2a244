"""Training from a seed to the integer network: float first, then quantisation-aware from the float model."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sterna.data import Dataset, load
from sterna.quant import ExportReport, QuantisedModel, export_network, prepare
from sterna.spec.errors import ConfigurationError
from sterna.spec.network import IntegerNetwork
from sterna.train.augment import augmented
from sterna.train.objective import objective_of
from sterna.train.phases import shuffled
from sterna.train.presets import Preset, preset_named
from sterna.train.progress import Progress
from sterna.train.reproducible import chosen_device, reproducible
from sterna.train.run import Batches, Run, one_place, run_name
from sterna.train.snapping import snapping

CHUNK = 500
"""Images that are evaluated at a time."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainResult:
    """What a training run gives."""

    preset: Preset
    seed: int
    metric: str
    """What accuracies are: the name of the data set's metric."""
    float_accuracy: float
    """Held-out accuracies, 0…1: of the float model, of the quantised model in torch, of the
    integer network."""
    quantised_accuracy: float
    integer_accuracy: float
    network: IntegerNetwork
    report: ExportReport
    model: QuantisedModel
    """In evaluation mode; ``model.integers(images)`` equals ``network.predict(images)``."""
    zero_activations: dict[str, float]
    """Share of zeros over the held-out images, of the input and of each layer's outputs by name."""
    history: tuple[Progress, ...]


def _channels_first(images: Tensor) -> Tensor:
    """Images as float models take them."""
    return images.permute(0, 3, 1, 2)


def _scheduler(model: QuantisedModel, preset: Preset) -> Callable[[int], None]:
    """Before each epoch: prunes until the target density is reached, blocks being fixed from then on; hardens weights
    until they are quantised altogether; snaps for the rest of the phase, but not before activation steps are set."""
    epochs = preset.quantised_phase.epochs
    pruning = max(1, round(preset.prune_until * epochs))
    hardening = round(preset.harden_until * epochs)

    def advance(epoch: int) -> None:
        if epoch < pruning:
            model.prune((epoch + 1) / pruning)
        model.harden((epoch + 1) / hardening if epoch < hardening else 1.0)
        model.snap(epoch >= snapping(preset))

    return advance


def train(
    preset: Preset | str,
    seed: int = 0,
    *,
    data_dir: str | Path | None = None,
    progress: Callable[[Progress], None] | None = None,
    checkpoint: str | Path | None = None,
    floats: str | Path | None = None,
    threads: int = 1,
    device: str | None = None,
) -> TrainResult:
    """Trains a preset and exports its integer network.

    ``preset``: a :class:`Preset` or the name of one. ``seed``: the same seed gives the same network, byte for byte, on
    the same machine, torch release and number of ``threads``. ``data_dir``: see :func:`sterna.data.load`. ``progress``
    is called after each epoch. ``checkpoint``: a file that is written after each epoch, and from which, if it is there,
    training goes on to the same bytes; ``progress`` hears of the earlier epochs again. ``floats``: a folder where float
    models are kept, and from which they are taken, to the same bytes, by every run of this release whose own would be
    the same; not beside a ``checkpoint``. ``device``: ``cpu`` or ``cuda``, by default a GPU if there is one. Held-out
    images are used for the accuracies alone.
    Raises :class:`DivergedError` naming the step and, before any training, ``DataError``, ``ConfigurationError`` and,
    for a checkpoint that is none and a topology that cannot be quantised, ``ModelError``.
    """
    one_place(checkpoint, floats)
    chosen = preset_named(preset) if isinstance(preset, str) else preset
    dataset = load(chosen.dataset, data_dir)
    where = chosen_device(device)
    with reproducible(seed, threads) as generator:
        run = Run(run_name(chosen, seed, threads, where), generator, checkpoint, progress)
        first = run.of_floats(floats, run_name(chosen.float_part, seed, threads, where))
        twin = float_twin(chosen, dataset, generator, where, first)
        model = _quantised(chosen, dataset, generator, where, run, twin)
        return _result(chosen, seed, dataset, twin.cpu(), model.cpu(), tuple(run.history))


def _epochs(preset: Preset, dataset: Dataset, generator: torch.Generator, device: torch.device) -> Batches:
    """Gives an epoch of augmented batches whenever it is called. Raises :class:`ConfigurationError` if there is no
    whole batch."""
    if preset.batch > len(dataset.train_labels):
        most = f"2…{len(dataset.train_labels)}, the training images of {dataset.name}"
        raise ConfigurationError(f"batch is {preset.batch}; allowed: {most}")
    pixels = torch.from_numpy(dataset.train_images.astype(np.float32))
    classes = torch.from_numpy(dataset.train_labels).to(device)

    def epoch() -> Iterator[tuple[Tensor, Tensor]]:
        changed = augmented(pixels, preset.augmentation, low=dataset.low, high=dataset.high, generator=generator)
        return shuffled(changed.to(device), classes, preset.batch, generator)

    return epoch


def float_twin(
    preset: Preset, dataset: Dataset, generator: torch.Generator, device: torch.device, run: Run
) -> nn.Module:
    """The float model, trained, in evaluation mode. What cannot be quantised is refused before."""
    objective = objective_of(dataset)
    twin = preset.topology.build(dataset.input.shape, dataset.metric.outputs(dataset))
    with torch.random.fork_rng(devices=[]):
        prepare(twin, preset.recipe, dataset.input)
    twin.to(device)

    def loss(images: Tensor, labels: Tensor) -> Tensor:
        return objective.loss(twin(_channels_first(images)), images, labels)

    run.phase("float", twin, preset.float_phase, loss, _epochs(preset, dataset, generator, device))
    return twin


def _quantised(
    preset: Preset, dataset: Dataset, generator: torch.Generator, device: torch.device, run: Run, twin: nn.Module
) -> QuantisedModel:
    """The quantised model, trained from the float twin on, in evaluation mode."""
    objective = objective_of(dataset)
    batches = _epochs(preset, dataset, generator, device)
    model = prepare(twin.cpu(), preset.recipe, dataset.input).to(device)
    twin.to(device)

    def quantised_loss(images: Tensor, labels: Tensor) -> Tensor:
        outputs = model(images)
        assert isinstance(outputs, Tensor)
        plain = objective.loss(outputs, images, labels)
        if not preset.distillation:
            return plain
        with torch.no_grad():
            answers = twin(_channels_first(images))
        soft = objective.distance(outputs, answers, preset.temperature)
        return (1 - preset.distillation) * plain + preset.distillation * soft

    run.phase("quantised", model, preset.quantised_phase, quantised_loss, batches, _scheduler(model, preset))
    return model


def _traced(model: QuantisedModel, images: Tensor) -> tuple[npt.NDArray[np.int32], dict[str, float]]:
    """Integer outputs of a model of one output, and the share of zeros in every tensor."""
    (output,) = model.outputs
    outputs: list[npt.NDArray[np.int32]] = []
    zeros: dict[str, int] = {}
    sizes: dict[str, int] = {}
    for part in torch.split(images, CHUNK):
        traced = {name: tensor.numpy() for name, tensor in model.trace(part).items()}
        outputs.append(traced[output].reshape(len(part), -1))
        for name, tensor in traced.items():
            zeros[name] = zeros.get(name, 0) + int(np.count_nonzero(tensor == 0))
            sizes[name] = sizes.get(name, 0) + tensor.size
    return np.concatenate(outputs), {name: count / sizes[name] for name, count in zeros.items()}


@torch.no_grad()
def _result(
    preset: Preset, seed: int, dataset: Dataset, twin: nn.Module, model: QuantisedModel, history: tuple[Progress, ...]
) -> TrainResult:
    """Exports and measures on the held-out images."""
    images = torch.from_numpy(dataset.test_images.astype(np.float32))
    metric, (step,) = dataset.metric, model.output_steps
    float_outputs = torch.cat([twin(_channels_first(part)) for part in torch.split(images, CHUNK)])
    float_accuracy = metric(float_outputs.numpy(), dataset)
    outputs, zeros = _traced(model, images)
    quantised_accuracy = metric(outputs * step, dataset)
    metadata = {
        "preset": preset.name,
        "dataset": dataset.name,
        "seed": seed,
        "classes": list(dataset.classes),
        "float_accuracy": float_accuracy,
        "accuracy": quantised_accuracy,
    }
    network, report = export_network(model, name=preset.name, metadata=metadata)
    return TrainResult(
        preset=preset,
        seed=seed,
        metric=metric.name,
        float_accuracy=float_accuracy,
        quantised_accuracy=quantised_accuracy,
        integer_accuracy=held_out_accuracy(network, dataset),
        network=network,
        report=report,
        model=model,
        zero_activations=zeros,
        history=history,
    )


def held_out_accuracy(network: IntegerNetwork, dataset: Dataset) -> float:
    """The data set's metric of an integer network of one output, over the held-out images."""
    (step,) = network.output_scale
    outputs = network.predict(dataset.test_images.reshape(len(dataset.test_images), -1))
    assert isinstance(outputs, np.ndarray)
    return dataset.metric(outputs * step, dataset)

"""Training from a seed to the integer network: float first, then quantisation-aware from the float model."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from sterna.data import Dataset, load
from sterna.quant import ExportReport, QuantisedModel, export_network, prepare
from sterna.spec.errors import SternaError
from sterna.spec.network import IntegerNetwork
from sterna.train.augment import augmented
from sterna.train.distillation import softened_divergence
from sterna.train.presets import Phase, Preset, preset_named

PhaseName = Literal["float", "quantised"]

CHUNK = 500
"""Images that are evaluated at a time."""

WARM_UP = 0.1
"""Share of a phase in which the learning rate rises to its value."""


class DivergedError(SternaError, ArithmeticError):
    """The loss is not a number; the text names the phase and the step."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One finished epoch."""

    phase: PhaseName
    epoch: int
    """1 … epochs."""
    epochs: int
    loss: float
    """Mean over the epoch."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainResult:
    """What a training run gives."""

    preset: Preset
    seed: int
    float_accuracy: float
    """Held-out accuracies, 0…1: of the float model, of the quantised model in torch, of the integer network."""
    quantised_accuracy: float
    integer_accuracy: float
    network: IntegerNetwork
    report: ExportReport
    model: QuantisedModel
    """In evaluation mode; ``model.integers(images)`` equals ``network.predict(images)``."""
    zero_activations: dict[str, float]
    """Share of zeros over the held-out images, of the input and of each layer's outputs by name."""
    history: tuple[Progress, ...]


@contextmanager
def _reproducible(seed: int) -> Iterator[torch.Generator]:
    """One thread (sums in a fixed order), deterministic kernels, own random numbers; restores what was."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield torch.Generator().manual_seed(seed)
    finally:
        torch.use_deterministic_algorithms(deterministic)
        torch.set_num_threads(threads)


def _channels_first(images: Tensor) -> Tensor:
    """Images as float models take them."""
    return images.permute(0, 3, 1, 2)


def _batches(images: Tensor, labels: Tensor, size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch over all images, shuffled; the last, smaller batch is dropped."""
    order = torch.randperm(len(labels), generator=generator)
    for start in range(0, len(order) - size + 1, size):
        chosen = order[start : start + size]
        yield images[chosen], labels[chosen]


def _optimiser(model: nn.Module, phase: Phase) -> torch.optim.Optimizer:
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": phase.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=phase.learning_rate, fused=True)


def _rate(progress: float) -> float:
    """Learning rate over the phase, as a share of its peak."""
    if progress < WARM_UP:
        return progress / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))


def _run_phase(
    name: PhaseName,
    model: nn.Module,
    phase: Phase,
    loss_of: Callable[[Tensor, Tensor], Tensor],
    epoch_batches: Callable[[], Iterator[tuple[Tensor, Tensor]]],
    before_epoch: Callable[[int], None],
) -> Iterator[Progress]:
    """Trains; yields after each epoch. Raises :class:`DivergedError`."""
    optimiser = _optimiser(model, phase)
    model.train()
    step = 0
    for epoch in range(phase.epochs):
        before_epoch(epoch)
        batches = list(epoch_batches())
        losses = []
        for index, (images, labels) in enumerate(batches):
            rate = phase.learning_rate * _rate((epoch + (index + 1) / len(batches)) / phase.epochs)
            for group in optimiser.param_groups:
                group["lr"] = rate
            loss = loss_of(images, labels)
            step += 1
            losses.append(float(loss.detach()))
            if not math.isfinite(losses[-1]):
                at = f"step {step} of the {name} phase (epoch {epoch + 1})"
                raise DivergedError(f"loss is {losses[-1]} at {at}; lower its learning rate")
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        yield Progress(phase=name, epoch=epoch + 1, epochs=phase.epochs, loss=sum(losses) / len(losses))
    model.eval()


def _pruner(model: QuantisedModel, preset: Preset) -> Callable[[int], None]:
    """Prunes before each epoch until the target density is reached; blocks are fixed from then on."""
    pruning = max(1, round(preset.prune_until * preset.quantised_phase.epochs))

    def prune(epoch: int) -> None:
        if epoch < pruning:
            model.prune((epoch + 1) / pruning)

    return prune


def _accuracy(logits: npt.NDArray[np.generic], labels: npt.NDArray[np.int64]) -> float:
    return float((logits.argmax(1) == labels).mean())


def train(
    preset: Preset | str,
    seed: int = 0,
    *,
    data_dir: str | Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> TrainResult:
    """Trains a preset and exports its integer network.

    ``preset``: a :class:`Preset` or the name of one. ``seed``: the same seed gives the same network, byte for byte, on
    the same machine and torch release. ``data_dir``: see :func:`sterna.data.load`. ``progress`` is called after each
    epoch. Held-out images are used for the accuracies alone.
    Raises :class:`DivergedError` naming the step, ``DataError`` and ``ConfigurationError``.
    """
    chosen = preset_named(preset) if isinstance(preset, str) else preset
    dataset = load(chosen.dataset, data_dir)
    history: list[Progress] = []

    def run(phase: Iterator[Progress]) -> None:
        for entry in phase:
            history.append(entry)
            if progress is not None:
                progress(entry)

    with _reproducible(seed) as generator:
        images = torch.from_numpy(dataset.train_images.astype(np.float32))
        labels = torch.from_numpy(dataset.train_labels)

        def batches() -> Iterator[tuple[Tensor, Tensor]]:
            changed = augmented(images, chosen.augmentation, low=dataset.low, high=dataset.high, generator=generator)
            return _batches(changed, labels, chosen.batch, generator)

        twin = chosen.topology.build(dataset.input.shape, len(dataset.classes))

        def float_loss(x: Tensor, y: Tensor) -> Tensor:
            return functional.cross_entropy(twin(_channels_first(x)), y)

        run(_run_phase("float", twin, chosen.float_phase, float_loss, batches, lambda _: None))

        model = prepare(twin, chosen.recipe, dataset.input)

        def quantised_loss(x: Tensor, y: Tensor) -> Tensor:
            logits = model(x)
            assert isinstance(logits, Tensor)
            plain = functional.cross_entropy(logits, y)
            if not chosen.distillation:
                return plain
            with torch.no_grad():
                answers = twin(_channels_first(x))
            soft = softened_divergence(logits, answers, chosen.temperature)
            return (1 - chosen.distillation) * plain + chosen.distillation * soft

        run(_run_phase("quantised", model, chosen.quantised_phase, quantised_loss, batches, _pruner(model, chosen)))
        return _result(chosen, seed, dataset, twin, model, tuple(history))


def _traced(model: QuantisedModel, images: Tensor) -> tuple[npt.NDArray[np.int32], dict[str, float]]:
    """Logits of a model of one output, and the share of zeros in every tensor."""
    (output,) = model.outputs
    logits: list[npt.NDArray[np.int32]] = []
    zeros: dict[str, int] = {}
    sizes: dict[str, int] = {}
    for part in torch.split(images, CHUNK):
        traced = {name: tensor.numpy() for name, tensor in model.trace(part).items()}
        logits.append(traced[output].reshape(len(part), -1))
        for name, tensor in traced.items():
            zeros[name] = zeros.get(name, 0) + int(np.count_nonzero(tensor == 0))
            sizes[name] = sizes.get(name, 0) + tensor.size
    return np.concatenate(logits), {name: count / sizes[name] for name, count in zeros.items()}


@torch.no_grad()
def _result(
    preset: Preset, seed: int, dataset: Dataset, twin: nn.Module, model: QuantisedModel, history: tuple[Progress, ...]
) -> TrainResult:
    """Exports and measures on the held-out images."""
    images = torch.from_numpy(dataset.test_images.astype(np.float32))
    labels = dataset.test_labels
    float_logits = torch.cat([twin(_channels_first(part)) for part in torch.split(images, CHUNK)])
    float_accuracy = _accuracy(float_logits.numpy(), labels)
    quantised_logits, zeros = _traced(model, images)
    quantised_accuracy = _accuracy(quantised_logits, labels)
    metadata = {
        "preset": preset.name,
        "dataset": dataset.name,
        "seed": seed,
        "classes": list(dataset.classes),
        "float_accuracy": float_accuracy,
        "accuracy": quantised_accuracy,
    }
    network, report = export_network(model, name=preset.name, metadata=metadata)
    logits = network.predict(dataset.test_images.reshape(len(labels), -1))
    assert isinstance(logits, np.ndarray)
    return TrainResult(
        preset=preset,
        seed=seed,
        float_accuracy=float_accuracy,
        quantised_accuracy=quantised_accuracy,
        integer_accuracy=_accuracy(logits, labels),
        network=network,
        report=report,
        model=model,
        zero_activations=zeros,
        history=history,
    )

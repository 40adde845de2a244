"""One phase of training: Adam, a warm-up, a cosine, and a stop where the loss is no number."""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from sterna.spec.errors import SternaError
from sterna.train.presets import Phase
from sterna.train.progress import PhaseName, Progress

WARM_UP = 0.1
"""Share of a phase in which the learning rate rises to its value."""


class DivergedError(SternaError, ArithmeticError):
    """The loss is not a number; the text names the phase and the step."""


def shuffled(images: Tensor, labels: Tensor, size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch over all images in batches; the last, smaller one is dropped."""
    order = torch.randperm(len(labels), generator=generator)
    for start in range(0, len(order) - size + 1, size):
        chosen = order[start : start + size].to(images.device)
        yield images[chosen], labels[chosen]


def optimiser_of(model: nn.Module, phase: Phase) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter 2019) that decays matrices only."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": phase.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=phase.learning_rate, fused=True)


def _rate(progress: float) -> float:
    """Learning rate over the phase, as a share of its peak."""
    if progress < WARM_UP:
        return progress / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))


def run_phase(
    name: PhaseName,
    model: nn.Module,
    phase: Phase,
    optimiser: torch.optim.Optimizer,
    loss_of: Callable[[Tensor, Tensor], Tensor],
    epoch_batches: Callable[[], Iterator[tuple[Tensor, Tensor]]],
    before_epoch: Callable[[int], None],
    *,
    epoch: int = 0,
    step: int = 0,
) -> Iterator[tuple[Progress, int]]:
    """Trains from an epoch and step on; yields after each epoch, with the steps done. Raises
    :class:`DivergedError`."""
    model.train()
    for number in range(epoch, phase.epochs):
        before_epoch(number)
        batches = list(epoch_batches())
        losses = []
        for index, (images, labels) in enumerate(batches):
            rate = phase.learning_rate * _rate((number + (index + 1) / len(batches)) / phase.epochs)
            for group in optimiser.param_groups:
                group["lr"] = rate
            loss = loss_of(images, labels)
            step += 1
            losses.append(float(loss.detach()))
            if not math.isfinite(losses[-1]):
                at = f"step {step} of the {name} phase (epoch {number + 1})"
                raise DivergedError(f"loss is {losses[-1]} at {at}; lower its learning rate")
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        mean = sum(losses) / len(losses)
        yield Progress(phase=name, epoch=number + 1, epochs=phase.epochs, loss=mean), step
    model.eval()

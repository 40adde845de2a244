"""Plots of a run: its losses, and its weights before and after quantisation. Needs matplotlib."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sterna.quant import QuantisedModel
    from sterna.train.progress import Progress

BINS = 80


def plot_losses(history: "Sequence[Progress]", path: Path) -> None:
    """Mean loss of each epoch, both phases one after the other. The suffix of ``path`` chooses the format."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.add_subplot()
    for phase in ("float", "quantised"):
        chosen = [(index, entry.loss) for index, entry in enumerate(history, 1) if entry.phase == phase]
        axes.plot([index for index, _ in chosen], [loss for _, loss in chosen], label=phase)
    axes.set_yscale("log")
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    axes.legend()
    figure.savefig(path)


@torch.no_grad()
def plot_weights(model: "QuantisedModel", path: Path) -> None:
    """A histogram for each layer that has weights: the latent ones, and the values that they are quantised to."""
    from matplotlib.figure import Figure

    terms = [
        (name, term) for name, layer in model.named_layers() for term in layer.terms if term.trained
    ]  # fmt: skip
    figure = Figure(figsize=(6, 1.6 * len(terms)), layout="constrained")
    for index, (name, term) in enumerate(terms, 1):
        axes = figure.add_subplot(len(terms), 1, index)
        latent, quantised = term.weight.numpy(), term.weights(term.weight, term.mask).numpy()
        reach = float(max(np.abs(latent).max(), np.abs(quantised).max())) or 1.0
        for values, label in ((latent, "latent"), (quantised, "quantised")):
            axes.hist(values.ravel(), bins=BINS, range=(-reach, reach), alpha=0.6, label=label)
        axes.set_yscale("log")
        axes.set_title(name, loc="left", fontsize="small")
        if index == 1:
            axes.legend()
    figure.savefig(path)

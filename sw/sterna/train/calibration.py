"""A float model quantised without training: what passes that choose recipes measure."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sterna.data import Dataset, load
from sterna.data.metric import ACCURACY
from sterna.quant import QuantisedModel, Recipe, prepare
from sterna.spec.errors import ConfigurationError
from sterna.train.presets import Preset
from sterna.train.reproducible import reproducible
from sterna.train.run import Run
from sterna.train.training import float_twin

HELD_BACK = 5
"""One in so many training images is not trained on, but measured with."""
BATCHES = 4
"""That set activation steps, and the means and variances of BatchNorm."""
BATCH = 200


def split(dataset: Dataset) -> Dataset:
    """The training part alone, a share of it in place of the test part. Raises :class:`ConfigurationError` for data
    that have no classes to tell apart."""
    if dataset.metric is not ACCURACY:
        raise ConfigurationError(f"{dataset.name} is measured by {dataset.metric.name}; allowed: sets of classes")
    back = np.arange(len(dataset.train_labels)) % HELD_BACK == 0
    return replace(
        dataset,
        train_images=dataset.train_images[~back],
        train_labels=dataset.train_labels[~back],
        test_images=dataset.train_images[back],
        test_labels=dataset.train_labels[back],
    )


@contextmanager
def trained_twin(preset: Preset, seed: int, data_dir: str | Path | None = None) -> Iterator[tuple[nn.Module, Dataset]]:
    """A preset's float model and the data that it was trained on, see :func:`split`; reproducible inside."""
    dataset = split(load(preset.dataset, data_dir))
    with reproducible(seed, 1) as generator:
        yield float_twin(preset, dataset, generator, torch.device("cpu"), Run("", generator, None, None)), dataset


@torch.no_grad()
def calibrated(twin: nn.Module, recipe: Recipe, dataset: Dataset) -> QuantisedModel:
    """The twin by a recipe, its activation steps and BatchNorms set by training images, in evaluation mode."""
    model = prepare(twin, recipe, dataset.input)
    model.prune(1.0)
    for at in range(BATCHES):
        images = dataset.train_images[at::BATCHES][:BATCH]
        model(torch.from_numpy(images.astype(np.float32)))
    return model.eval()


@torch.no_grad()
def held_back_accuracy(model: QuantisedModel, dataset: Dataset) -> float:
    """The metric over what :func:`split` held back."""
    outputs = model.integers(torch.from_numpy(dataset.test_images))
    assert isinstance(outputs, torch.Tensor)
    return dataset.metric(outputs.flatten(1).double().numpy(), dataset)

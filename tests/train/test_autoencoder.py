"""Training to reproduce: the loss, distillation, and the area under the curve of the integer network."""

import dataclasses

import numpy as np
import pytest
import torch

from sterna.data import Dataset, load
from sterna.data.metric import RECONSTRUCTION_AUC
from sterna.train import PRESETS, Autoencoder, Phase, train
from sterna.train.objective import objective_of


@pytest.fixture
def waves() -> Dataset:
    """Normal windows are sines; half of those tested are noise."""
    generator = np.random.default_rng(0)
    phase = generator.uniform(0, 2 * np.pi, (360, 1))
    sines = np.sin(phase + np.arange(16) / 2) * 100
    noise = generator.uniform(-100, 100, (60, 16))
    images = np.round(np.concatenate([sines, noise])).astype(np.int8).reshape(-1, 4, 4, 1)
    return Dataset(
        name="waves", train_images=images[:300], train_labels=np.zeros(300, np.int64), test_images=images[300:],
        test_labels=np.repeat([0, 1], 60), classes=("normal", "anomalous"), low=-127, high=127, scale=1,
        metric=RECONSTRUCTION_AUC,
    )  # fmt: skip


QUICK = dataclasses.replace(
    PRESETS["skab-autoencoder"],
    topology=Autoencoder(hidden=(24,), code=4),
    float_phase=Phase(epochs=20, learning_rate=1e-2),
    quantised_phase=Phase(epochs=20, learning_rate=1e-2),
    batch=30,
)


def test_what_was_not_trained_on_is_reproduced_worse(waves: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sterna.train.training.load", lambda *_: waves)
    result = train(QUICK)
    assert result.metric == "AUC"
    assert result.integer_accuracy > 0.9
    assert result.integer_accuracy == result.quantised_accuracy == result.network.metadata["accuracy"]
    assert len(result.network.layers[-1].bias) == 16
    assert result.history[-1].loss < result.history[20].loss


def test_distillation_asks_for_the_float_models_reproduction(waves: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sterna.train.training.load", lambda *_: waves)
    result = train(dataclasses.replace(QUICK, distillation=1.0))
    quantised = [entry.loss for entry in result.history if entry.phase == "quantised"]
    assert quantised[-1] < quantised[0]


def test_images_are_reproduced_in_shares_of_the_largest_pixel(waves: Dataset) -> None:
    objective = objective_of(waves)
    images = torch.tensor([[127.0, -127, 0, 0]]).reshape(1, 2, 2, 1)
    assert float(objective.loss(torch.tensor([[1.0, -1, 0, 0]]), images, torch.zeros(1))) == 0
    assert float(objective.loss(torch.tensor([[0.0, -1, 0, 0]]), images, torch.zeros(1))) == 0.25
    assert float(objective.distance(torch.ones(1, 4), torch.zeros(1, 4), 4.0)) == 1
    assert not objective_of(load("digits")).reproduces

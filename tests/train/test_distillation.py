"""The distillation loss against its definition."""

import numpy as np
import pytest
import torch

from sterna.train.distillation import softened_divergence


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_loss_is_the_mean_divergence_of_softened_answers(temperature):
    rng = np.random.default_rng(0)
    student, teacher = rng.normal(size=(2, 5, 4))
    p, q = softmax(teacher / temperature), softmax(student / temperature)
    wanted = temperature**2 * (p * np.log(p / q)).sum(1).mean()
    found = softened_divergence(torch.from_numpy(student), torch.from_numpy(teacher), temperature)
    assert float(found) == pytest.approx(wanted)


def test_the_same_answers_cost_nothing():
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    assert float(softened_divergence(logits, logits, 4.0)) == pytest.approx(0, abs=1e-6)

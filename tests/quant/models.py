"""Random quantised models, as a few steps of training would leave them."""

from itertools import pairwise

import numpy as np
import torch
from torch import nn

from sterna.quant import LayerRecipe, QuantisedModel, Recipe, prepare
from sterna.spec.network import InputSpec


def random_model(
    seed: int, *, widths: tuple[int, ...] = (12, 20, 9, 5), act_bits: int = 8, density: float = 0.6, relu: bool = True
) -> QuantisedModel:
    """A multilayer perceptron with random parameters: negative, zero and large slopes and an empty channel."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = [nn.Flatten()]
    for features, width in pairwise(widths):
        linear, norm = nn.Linear(features, width), nn.BatchNorm1d(width)
        linear.weight.data.normal_(generator=generator)
        linear.weight.data[0] = 0
        norm.weight.data.normal_(generator=generator)
        norm.weight.data[1 % width] = 0
        norm.bias.data.normal_(generator=generator)
        norm.weight.data[2 % width] *= 1000
        layers += [linear, norm, nn.ReLU()] if relu else [linear, norm]
    layers += [nn.Linear(widths[-1], 3)]
    layers[-1].weight.data.normal_(generator=generator)
    spec = InputSpec(name="input", shape=(2, widths[0] // 2, 1), low=-3.0, high=16.0, scale=16 / 127)
    recipe = Recipe(layers=LayerRecipe(act_bits=act_bits, density=density), last=LayerRecipe(), pe=4, simd=2)
    model = prepare(nn.Sequential(*layers), recipe, spec)
    model.prune(1.0)
    for _ in range(3):
        model(torch.rand(64, widths[0], generator=generator) * 19 - 3)
    return model.eval()


def random_images(seed: int, count: int, features: int) -> np.ndarray:
    """float32 (count, features) in -3…16."""
    return (np.random.default_rng(seed).random((count, features)) * 19 - 3).astype(np.float32)

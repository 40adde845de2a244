"""Small float graphs that use every kind of layer, and a few steps of training for them."""

import numpy as np
import torch
from torch import Tensor, nn

from sterna.quant import LayerRecipe, QuantisedModel, Recipe, prepare
from sterna.spec.network import InputSpec

SPEC = InputSpec(name="input", shape=(6, 7, 3), low=-3.0, high=16.0, scale=16 / 127)


class Dense(nn.Module):
    """Two dense layers with a residual connection around the second, and no BatchNorm in the last."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Flatten(), nn.Linear(126, 12), nn.BatchNorm1d(12), nn.ReLU())
        self.second = nn.Sequential(nn.Linear(12, 12, bias=False), nn.BatchNorm1d(12))
        self.last = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.last(torch.relu(self.second(x) + x))


class Conv(nn.Module):
    """Residual blocks with identity and with convolution, pools, depthwise and grouped convolutions, concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(4, 4, (3, 2), padding="same"), nn.BatchNorm2d(4))
        self.down = nn.Sequential(nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6))
        self.skip = nn.Conv2d(4, 6, 1, stride=2)
        self.depthwise = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1, groups=6), nn.BatchNorm2d(6), nn.Hardtanh())
        self.halve = nn.AvgPool2d(3, 2, padding=1)
        self.grouped = nn.Conv2d(10, 4, 2, padding=1, groups=2)
        self.pool = nn.MaxPool2d((2, 1))
        self.mean = nn.AdaptiveAvgPool2d(1)
        self.last = nn.Linear(6 + 4 * 2 * 5, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(x)
        x = (self.body(x) + x).relu()
        y = torch.relu(self.down(x) + self.skip(x))
        y = self.depthwise(y)
        z = self.grouped(torch.cat([self.halve(x), y], 1))
        flat = torch.cat([self.mean(y).flatten(1), torch.flatten(self.pool(z), 1)], 1)
        return self.last(flat), y


def trained(module: nn.Module, seed: int = 0, rate: float = 1e-3, **recipe: object) -> QuantisedModel:
    """After a few steps, in evaluation mode. ``recipe``: of every layer but the last, which keeps 8 bits."""
    torch.manual_seed(seed)
    for child in module.modules():
        if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(child.weight)
            nn.init.normal_(child.bias)
            child.momentum = None  # a mean over all batches, so that few are enough
    layers = LayerRecipe(**recipe)
    last = LayerRecipe(weights=layers.weights)
    model = prepare(module, Recipe(layers=layers, last=last, pe=4, simd=2), SPEC)
    model.prune(1.0)
    optimiser = torch.optim.Adam(model.parameters(), rate)
    for _ in range(3):
        outputs = model(torch.from_numpy(images(seed, 64)))
        loss = sum((y**2).mean() for y in (outputs if isinstance(outputs, tuple) else (outputs,)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval()


def images(seed: int, count: int) -> np.ndarray:
    """float32 (count, 6, 7, 3) in -3…16."""
    return (np.random.default_rng(seed).random((count, *SPEC.shape)) * 19 - 3).astype(np.float32)

"""What 8-bit outputs of linear layers cost a transformer: bits per byte with and without rounding them.

    python docs/decisions/0007-transformer-linears.py TEXT [STEPS]

Trains on the first nine tenths of the file TEXT, float and then quantised, and measures on the rest.
"""

import math
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sterna.quant import Recipe
from sterna.train import ByteTransformer, QuantisedTransformer, prepare_transformer
from sterna.train.topologies.transformer import TransformerModule

SHAPE = ByteTransformer(width=64, heads=4, blocks=2, context=64)
BATCH = 24
RNG = np.random.default_rng(0)


def windows(text: np.ndarray, starts: np.ndarray) -> Tensor:
    return torch.from_numpy(text[starts[:, np.newaxis] + np.arange(SHAPE.context + 1)])


def loss_of(model: TransformerModule, batch: Tensor) -> Tensor:
    return functional.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten().long())


def train(model: TransformerModule, text: np.ndarray, steps: int, rate: float) -> None:
    optimiser = torch.optim.Adam(model.parameters(), rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min(1, step / 50) * (1 + math.cos(math.pi * step / steps)) / 2
    )
    for _ in range(steps):
        loss = loss_of(model, windows(text, RNG.integers(0, len(text) - SHAPE.context, BATCH)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()


@torch.no_grad()
def bits_per_byte(model: TransformerModule, text: np.ndarray) -> float:
    parts = torch.split(windows(text, np.arange(0, len(text) - SHAPE.context - 1, SHAPE.context)), 100)
    return sum(float(loss_of(model, part)) * len(part) for part in parts) / sum(map(len, parts)) / math.log(2)


def unrounded(model: QuantisedTransformer, prefix: str) -> None:
    """Takes rounding and clamp, but for the ReLU, from outputs of layers whose names begin so; others get theirs."""
    for name, layer in model.core.named_layers():
        activation = layer.activation
        low = 0.0 if activation.low == 0 else -math.inf
        activation.__dict__.pop("forward", None)
        if name.startswith(prefix):
            activation.forward = lambda v, a=activation, low=low: (torch.clip(v / a.step, min=low), a.step)


def main() -> None:
    text = np.frombuffer(Path(sys.argv[1]).read_bytes(), np.uint8)
    steps = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    torch.manual_seed(0)
    split = len(text) * 9 // 10
    model = SHAPE.build()
    train(model, text[:split], steps, 3e-3)
    print(f"{SHAPE.weights} weights; float: {bits_per_byte(model, text[split:]):.4f} bits per byte")
    quantised = prepare_transformer(model, Recipe())
    train(quantised, text[:split], steps, 2e-3)
    for prefix in ("none", "head", "qkv", "out", "up", "down", ""):
        unrounded(quantised, prefix)
        print(f"unrounded {prefix or 'all':5} {bits_per_byte(quantised, text[split:]):.4f}")


if __name__ == "__main__":
    main()

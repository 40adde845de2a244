"""The quantised model: a torch module that in evaluation mode gives exactly the integer network's answers."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from sterna.quant.estimator import round_half_up
from sterna.quant.layers import FoldedLayer, QuantisedLinear, Signal
from sterna.spec.network import InputSpec


class QuantisedModel(nn.Module):
    """Layers in a row, behind an input quantiser. Made by :func:`sterna.quant.prepare`.

    Called with images, real (n, …) in the input's range, channel-last; returns real-valued logits (n, outputs):
    float32 with gradients in training mode, float64 multiples of ``output_step`` in evaluation mode, where images of
    another size or range raise :class:`InputError`.
    """

    def __init__(self, input: InputSpec, layers: dict[str, QuantisedLinear]) -> None:
        super().__init__()
        self.input = input
        self.layers = nn.ModuleDict(layers)

    def named_layers(self) -> Iterator[tuple[str, QuantisedLinear]]:
        """Names, as in the integer network, and layers."""
        for name, layer in self.layers.items():
            assert isinstance(layer, QuantisedLinear)
            yield name, layer

    @property
    def output_step(self) -> float:
        """Real value of one step of the logits."""
        *_, (_, last) = self.named_layers()
        return float(last.activation.step.detach())

    def prune(self, progress: float) -> None:
        """Prunes every layer along the schedule of its target density; ``progress`` 0…1."""
        for _, layer in self.named_layers():
            layer.prune(progress)

    def forward(self, images: Tensor) -> Tensor:
        signal = self._source(images)
        for _, layer in self.named_layers():
            signal = layer(signal)
        return signal.integers * signal.step

    @torch.no_grad()
    def trace(self, images: Tensor) -> dict[str, Tensor]:
        """Every tensor's integers by name, the input's first: int32 (n, features). Needs evaluation mode."""
        assert not self.training
        signal = self._source(images)
        traced = {self.input.name: signal.integers.int()}
        for name, layer in self.named_layers():
            signal = layer(signal)
            traced[name] = signal.integers.int()
        return traced

    def integers(self, images: Tensor) -> Tensor:
        """Integer logits, int32 (n, outputs): what the integer network predicts. Needs evaluation mode."""
        *_, last = self.trace(images).values()
        return last

    def folded(self) -> Iterator[tuple[str, Signal, FoldedLayer]]:
        """Layer by layer: name, an empty signal that tells what it reads, and the folded layer."""
        source = self._source(torch.empty(0, math.prod(self.input.shape)))
        for name, layer in self.named_layers():
            folded = layer.fold(source)
            yield name, source, folded
            source = Signal(source.integers, layer.activation.step.double(), folded.minimum, folded.maximum)

    def _source(self, images: Tensor) -> Signal:
        flat = images.flatten(1)
        if self.training:
            integers = round_half_up((flat - self.input.offset) / self.input.scale).clamp(*self.input.levels)
            step = torch.tensor(self.input.scale)
        else:  # the integer network's own words, with its checks
            integers = torch.from_numpy(self.input.quantise(flat.numpy())).reshape(flat.shape).double()
            step = torch.tensor(self.input.scale, dtype=torch.float64)
        return Signal(integers, step, *self.input.levels)

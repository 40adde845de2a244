"""The quantised model: a torch module that in evaluation mode gives exactly the integer network's answers."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sterna.quant.estimator import round_half_up
from sterna.quant.layers import FoldedLayer, QuantisedLayer, Signal
from sterna.spec.errors import ModelError
from sterna.spec.network import InputSpec

CHUNK = 500
"""Images that :meth:`QuantisedModel.integers` works on at a time."""


class QuantisedModel(nn.Module):
    """Layers over named tensors, behind an input quantiser. Made by :func:`sterna.quant.prepare`.

    Called with images, real (n, …) in the input's range, channel-last; returns real-valued outputs, (n, channels) or,
    of more than one pixel, (n, height, width, channels), and a tuple of them if there are several: float32 with
    gradients in training mode, float64 multiples of ``output_steps`` in evaluation mode, where images of another size
    or range raise :class:`InputError`.
    """

    def __init__(self, input: InputSpec, layers: Sequence[QuantisedLayer], outputs: Sequence[str]) -> None:
        super().__init__()
        self.input = input
        self.outputs = tuple(outputs)
        self.layers = nn.ModuleDict({layer.name: layer for layer in layers})

    def named_layers(self) -> Iterator[tuple[str, QuantisedLayer]]:
        """Names, as in the integer network, and layers."""
        for name, layer in self.layers.items():
            assert isinstance(layer, QuantisedLayer)
            yield name, layer

    @property
    def output_steps(self) -> tuple[float, ...]:
        """Real value of one step of each output."""
        layers = dict(self.named_layers())
        return tuple(float(layers[name].activation.step.detach()) for name in self.outputs)

    @property
    def trained_weights(self) -> int:
        """Weights of the float model, pruned ones counted; each may take several planes."""
        return sum(term.weight.numel() for _, layer in self.named_layers() for term in layer.terms if term.trained)

    @property
    def largest_input(self) -> int:
        """Largest magnitude of the input's integers."""
        return max(abs(bound) for bound in self.input.levels)

    def prune(self, progress: float) -> None:
        """Prunes every layer along the schedule of its target density; ``progress`` 0…1."""
        for _, layer in self.named_layers():
            layer.prune(progress)

    def harden(self, share: float) -> None:
        """Sets the share of the quantised weights that training sees, 0…1; the rest are the float ones."""
        for _, layer in self.named_layers():
            layer.harden(share)

    def snap(self, exact: bool = True) -> None:
        """Whether training sees exactly what hardware does: BatchNorm by its running statistics, which no longer move,
        and every layer's integers as the requantiser gives them; gradients are those of the layer's float arithmetic.
        Wants activation steps that are set, as after a batch without it.
        """
        for _, layer in self.named_layers():
            layer.snap(exact)

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        tensors = self._tensors(images)
        results = tuple(_answer(tensors[name].real) for name in self.outputs)
        return results if len(results) > 1 else results[0]

    @torch.no_grad()
    def trace(self, images: Tensor) -> dict[str, Tensor]:
        """Every tensor's integers, the input's first: int32 (n, height, width, channels). Needs evaluation mode."""
        assert not self.training
        return {name: signal.integers.permute(0, 2, 3, 1).int() for name, signal in self._tensors(images).items()}

    @torch.no_grad()
    def integers(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Outputs as int32, in the shapes of a call: what the integer network predicts. Needs evaluation mode."""
        assert not self.training
        parts = [self._tensors(part) for part in torch.split(images, CHUNK)]
        results = tuple(_answer(torch.cat([part[name].integers for part in parts])).int() for name in self.outputs)
        return results if len(results) > 1 else results[0]

    @torch.no_grad()
    def linear(self, name: str, x: npt.ArrayLike) -> npt.NDArray[np.int32]:
        """One layer alone: what ``IntegerNetwork.linear`` gives. Needs evaluation mode.

        ``x``: integers of the layer's source, in its range, (n, height, width, channels) or (n, size). Raises
        :class:`ModelError` for a name that is no layer, or a layer that reads several tensors.
        """
        assert not self.training
        layers = dict(self.named_layers())
        if name not in layers:
            raise ModelError(f"no layer {name!r}; known: {', '.join(layers)}")
        sources = {(window.source, window.shape) for term in layers[name].terms for window in term.windows}
        if len(sources) > 1:
            raise ModelError(f"layer {name!r} reads {len(sources)} tensors; one can run on its own if it reads one")
        ((source, shape),) = sources
        integers = torch.from_numpy(np.asarray(x, np.float64).reshape(-1, *shape)).permute(0, 3, 1, 2)
        outputs = layers[name]({source: self.signal(source, integers)}).integers
        answer: npt.NDArray[np.int32] = _answer(outputs).int().numpy()
        return answer

    def signal(self, tensor: str, integers: Tensor) -> Signal:
        """Integers of a tensor, float64 (n, channels, height, width), with its step and its bounds."""
        if tensor == self.input.name:
            return Signal(integers, torch.tensor(self.input.scale, dtype=torch.float64), *self.input.levels, exact=True)
        activation = dict(self.named_layers())[tensor].activation
        return Signal(integers, activation.step.detach().double(), activation.low, activation.high, exact=True)

    @torch.no_grad()
    def folded(self) -> Iterator[tuple[QuantisedLayer, FoldedLayer]]:
        """Layer by layer, with what it folds to."""
        source = self._source(torch.empty(0, *self.input.shape))
        tensors = {self.input.name: source}
        for name, layer in self.named_layers():
            folded = layer.fold(tensors)
            yield layer, folded
            step = layer.activation.step.double()
            tensors[name] = Signal(source.values, step, folded.minimum, folded.maximum, exact=True)

    def _tensors(self, images: Tensor) -> dict[str, Signal]:
        tensors = {self.input.name: self._source(images)}
        for name, layer in self.named_layers():
            tensors[name] = layer(tensors)
        return tensors

    def _source(self, images: Tensor) -> Signal:
        if self.training:
            pixels = images.reshape(len(images), *self.input.shape)
            integers = round_half_up((pixels - self.input.offset) / self.input.scale).clamp(*self.input.levels)
            values, step = integers * self.input.scale, torch.tensor(self.input.scale)
        else:  # the integer network's own words, with its checks
            values = torch.from_numpy(self.input.quantise(images.numpy())).double()
            step = torch.tensor(self.input.scale, dtype=torch.float64)
        return Signal(values.permute(0, 3, 1, 2), step, *self.input.levels, exact=not self.training)


def _answer(maps: Tensor) -> Tensor:
    """(n, channels, height, width) as the integer network returns it."""
    return maps.flatten(1) if maps.shape[2:] == (1, 1) else maps.permute(0, 2, 3, 1)

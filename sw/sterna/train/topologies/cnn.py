"""Convolutional network of the VGG kind (Simonyan and Zisserman 2015)."""

from dataclasses import dataclass

from torch import nn

from sterna.spec.errors import ConfigurationError
from sterna.spec.network import Shape
from sterna.spec.values import is_count


@dataclass(frozen=True, kw_only=True)
class Cnn:
    """Stages of 3×3 convolutions, each with BatchNorm2d and ReLU; each stage ends in 2×2 max-pooling; then dense ones.

    Raises :class:`ConfigurationError` naming the bad value.
    """

    stages: tuple[tuple[int, ...], ...]
    """Output channels of each convolution, stage by stage."""
    hidden: tuple[int, ...] = ()
    """Widths of dense layers before the last."""

    def __post_init__(self) -> None:
        whole = all(isinstance(stage, tuple) and stage and all(map(is_count, stage)) for stage in self.stages)
        if not self.stages or not whole:
            raise ConfigurationError(f"stages is {self.stages!r}; allowed: one or more, of widths of 1 or more")
        if not all(map(is_count, self.hidden)):
            raise ConfigurationError(f"hidden is {self.hidden!r}; allowed: widths of 1 or more")

    def build(self, shape: Shape, outputs: int) -> nn.Sequential:
        """See :class:`sterna.train.topologies.Topology`. Raises :class:`ConfigurationError` for more stages than halve
        the shape."""
        height, width, channels = shape
        layers: list[nn.Module] = []
        for stage in self.stages:
            for wider in stage:
                layers += [nn.Conv2d(channels, wider, 3, padding=1, bias=False), nn.BatchNorm2d(wider), nn.ReLU()]
                channels = wider
            if min(height, width) < 2:
                most = min(shape[:2]).bit_length() - 1
                raise ConfigurationError(f"stages are {len(self.stages)}; allowed: {most} at most, of {shape} pixels")
            layers.append(nn.MaxPool2d(2))
            height, width = height // 2, width // 2
        features = height * width * channels
        layers.append(nn.Flatten())
        for hidden in self.hidden:
            layers += [nn.Linear(features, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU()]
            features = hidden
        return nn.Sequential(*layers, nn.Linear(features, outputs))

"""ResNet-8 of MLPerf Tiny (Banbury et al. 2021, after He et al. 2016): 12.5 M multiply-accumulates on 32×32×3."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sterna.spec.errors import ConfigurationError
from sterna.spec.network import Shape
from sterna.spec.values import is_count


class _Block(nn.Module):
    """Two 3×3 convolutions beside a skip connection, which is a 1×1 convolution where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs),
        )  # fmt: skip
        same = inputs == outputs and stride == 1
        self.skip = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.skip(x))


@dataclass(frozen=True, kw_only=True)
class ResNet8:
    """A stem and three blocks, the second and third of half the height and width, global average, dense.

    Raises :class:`ConfigurationError` naming the bad value.
    """

    widths: tuple[int, int, int] = (16, 32, 64)

    def __post_init__(self) -> None:
        if len(self.widths) != 3 or not all(map(is_count, self.widths)):
            raise ConfigurationError(f"widths is {self.widths!r}; allowed: three of 1 or more")

    def build(self, shape: Shape, outputs: int) -> nn.Sequential:
        """See :class:`sterna.train.topologies.Topology`."""
        first, second, third = self.widths
        return nn.Sequential(
            nn.Conv2d(shape[2], first, 3, padding=1, bias=False), nn.BatchNorm2d(first), nn.ReLU(),
            _Block(first, first, 1), _Block(first, second, 2), _Block(second, third, 2),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(third, outputs),
        )  # fmt: skip

"""DS-CNN, depthwise-separable convolutions (Zhang et al. 2017, "Hello edge"; MobileNet, Howard et al. 2017)."""

from dataclasses import dataclass

from torch import nn

from sterna.spec.errors import ConfigurationError
from sterna.spec.network import Shape
from sterna.spec.values import is_count


@dataclass(frozen=True, kw_only=True)
class DsCnn:
    """A stem convolution, blocks of a depthwise 3×3 and a pointwise convolution, global average, dense.

    The defaults are MLPerf Tiny's keyword spotter for 49×10 features.
    Raises :class:`ConfigurationError` naming the bad value.
    """

    channels: int = 64
    blocks: int = 4
    stem_kernel: tuple[int, int] = (10, 4)
    stem_stride: tuple[int, int] = (2, 2)

    def __post_init__(self) -> None:
        for name in ("channels", "blocks"):
            if not is_count(getattr(self, name)):
                raise ConfigurationError(f"{name} is {getattr(self, name)!r}; allowed: 1 or more")
        for name in ("stem_kernel", "stem_stride"):
            pair = getattr(self, name)
            if len(pair) != 2 or not all(map(is_count, pair)):
                raise ConfigurationError(f"{name} is {pair!r}; allowed: two of 1 or more")

    def build(self, shape: Shape, outputs: int) -> nn.Sequential:
        """See :class:`sterna.train.topologies.Topology`."""
        rows, columns = self.stem_kernel
        stem = nn.Conv2d(
            shape[2], self.channels, self.stem_kernel, self.stem_stride, (rows // 2, columns // 2), bias=False
        )
        layers: list[nn.Module] = [stem, nn.BatchNorm2d(self.channels), nn.ReLU()]
        for _ in range(self.blocks):
            layers += [
                nn.Conv2d(self.channels, self.channels, 3, padding=1, groups=self.channels, bias=False),
                nn.BatchNorm2d(self.channels), nn.ReLU(),
                nn.Conv2d(self.channels, self.channels, 1, bias=False),
                nn.BatchNorm2d(self.channels), nn.ReLU(),
            ]  # fmt: skip
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(self.channels, outputs))

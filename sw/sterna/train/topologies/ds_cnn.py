"""DS-CNN, depthwise-separable convolutions (Zhang et al. 2017, "Hello edge"; MobileNet, Howard et al. 2017)."""

from dataclasses import dataclass

from torch import nn

from sterna.spec.network import Shape


@dataclass(frozen=True, kw_only=True)
class DsCnn:
    """A stem convolution, blocks of a depthwise 3×3 and a pointwise convolution, global average, dense.

    The defaults are MLPerf Tiny's keyword spotter for 49×10 features.
    """

    channels: int = 64
    blocks: int = 4
    stem_kernel: tuple[int, int] = (10, 4)
    stem_stride: tuple[int, int] = (2, 2)

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

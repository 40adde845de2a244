"""Powers of three: seven levels {0, ±1, ±3, ±9} in three planes, at most one non-zero trit per weight.

The logarithmic spacing of power-of-two weights (Miyashita, Lee and Murmann 2016; Zhou et al. 2017, "Incremental network
quantization") in base three, where a level is one trit of one plane, so that the planes together issue no more non-zero
trits than a single ternary one.

As with TWN, thresholds are shares of the mean magnitude, and the scale is the one of least squared error for the levels
that come of them. The scale of least error over all levels will not do: for normal weights it has two minima of nearly
the same error (0.082 of the variance at 0.25 of the mean magnitude, 0.089 at 0.7), and whole channels jump from one to
the other while they learn. See docs/decisions/0012-powers-of-three.md.
"""

import torch
from torch import Tensor

from sterna.quant.levels import Levels

STEP = 0.6
"""The level 1 as a share of the mean magnitude, where thresholds are concerned."""


class PowerOfThree(Levels):
    """Three planes, worth 1, 3 and 9."""

    def __init__(self) -> None:
        super().__init__(9, (1, 3, 9))

    def nearest(self, ratio: Tensor) -> Tensor:
        magnitude = ratio.abs()
        level = (magnitude > 0.5).to(ratio) + 2 * (magnitude > 2).to(ratio) + 6 * (magnitude > 6).to(ratio)
        return torch.sign(ratio) * level

    def snap(self, weight: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        kept = weight * mask
        mean = kept.abs().sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)
        levels = self._levels(kept, STEP * mean)
        return levels, (kept * levels).sum(1) / (levels**2).sum(1).clamp(min=1)

    def trits(self, levels: Tensor) -> tuple[Tensor, ...]:
        return tuple(torch.sign(levels) * (levels.abs() == digit) for digit in self.digits)

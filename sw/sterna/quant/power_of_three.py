"""Powers of three: seven levels {0, ±1, ±3, ±9} in three planes, at most one non-zero trit per weight.

The logarithmic spacing of power-of-two weights (Miyashita, Lee and Murmann 2016; Zhou et al. 2017, "Incremental network
quantization") in base three, where a level is one trit of one plane, so that the planes together issue no more non-zero
trits than a single ternary one.
"""

import torch
from torch import Tensor

from sterna.quant.levels import Levels


class PowerOfThree(Levels):
    """Three planes, worth 1, 3 and 9."""

    def __init__(self) -> None:
        super().__init__(9, (1, 3, 9))

    def nearest(self, ratio: Tensor) -> Tensor:
        magnitude = ratio.abs()
        level = (magnitude > 0.5).to(ratio) + 2 * (magnitude > 2).to(ratio) + 6 * (magnitude > 6).to(ratio)
        return torch.sign(ratio) * level

    def trits(self, levels: Tensor) -> tuple[Tensor, ...]:
        return tuple(torch.sign(levels) * (levels.abs() == digit) for digit in self.digits)

"""Balanced ternary: weights of n digits -1, 0, 1, worth 1, 3, 9, …, in n planes; 3^n levels around zero.

Any narrower integer range fits too: four-bit weights, ±7, take three digits, and five digits, ±121, are of the class of
int8. Balanced ternary: Knuth, "The art of computer programming", volume 2, 4.1.
"""

import torch
from torch import Tensor

from sterna.quant.estimator import round_half_up
from sterna.quant.levels import Levels

MAX_DIGITS = 5


class Digits(Levels):
    """``digits`` planes; ``highest``: largest level, by default (3^n - 1) / 2."""

    def __init__(self, digits: int, highest: int | None = None) -> None:
        assert 1 <= digits <= MAX_DIGITS
        most = (3**digits - 1) // 2
        assert highest is None or 1 <= highest <= most
        super().__init__(highest or most, tuple(3**i for i in range(digits)))

    def nearest(self, ratio: Tensor) -> Tensor:
        return torch.clip(round_half_up(ratio), -self.highest, self.highest)

    def trits(self, levels: Tensor) -> tuple[Tensor, ...]:
        planes = []
        for _ in self.digits:
            trits = torch.remainder(levels + 1, 3) - 1
            planes.append(trits)
            levels = (levels - trits) / 3
        return tuple(planes)

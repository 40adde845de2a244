"""BitNet b1.58: ternary weights by the mean magnitude (Ma et al. 2024, "The era of 1-bit LLMs").

Per layer, over its unpruned weights: ``α = mean |w|``; weights are ``α · round(clip(w / α, -1, 1))``.
"""

import torch
from torch import Tensor

from sterna.quant.estimator import straight_through
from sterna.quant.weights import WeightPlane, WeightQuantiser

SMALLEST_SCALE = 1e-6


class BitNet(WeightQuantiser):
    """One plane; straight-through gradient."""

    @staticmethod
    def _ternarise(weight: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        scale = ((weight.abs() * mask).sum() / mask.sum().clamp(min=1)).clamp(min=SMALLEST_SCALE)
        return torch.round(torch.clip(weight / scale, -1, 1)) * mask, scale.expand(len(weight))

    def forward(self, weight: Tensor, mask: Tensor) -> Tensor:
        with torch.no_grad():
            trits, scale = self._ternarise(weight, mask)
        return straight_through(trits * scale[:, None], weight)

    def planes(self, weight: Tensor, mask: Tensor) -> tuple[WeightPlane, ...]:
        return (WeightPlane(*self._ternarise(weight, mask)),)

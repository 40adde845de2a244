"""BitNet b1.58: ternary weights by the mean magnitude (Ma et al. 2024, "The era of 1-bit LLMs").

Per layer, over its unpruned weights: ``α = mean |w|``; weights are ``α · round(clip(w / α, -1, 1))``.
"""

import torch
from torch import Tensor

from sterna.quant.weights import OnePlane

SMALLEST_SCALE = 1e-6


class BitNet(OnePlane):
    """The quantiser; see the module."""

    def ternarise(self, weight: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        scale = ((weight.abs() * mask).sum() / mask.sum().clamp(min=1)).clamp(min=SMALLEST_SCALE)
        return torch.round(torch.clip(weight / scale, -1, 1)) * mask, scale.expand(len(weight))

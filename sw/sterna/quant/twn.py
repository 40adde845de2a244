"""TWN: ternary weights with a threshold and a scale (Li, Zhang and Liu 2016, "Ternary weight networks").

Per output channel, over its unpruned weights: ``Δ = 0.7 · mean |w|``; ``t = sign(w)`` where ``|w| > Δ``, else 0;
``α = mean of |w| where |w| > Δ``, which minimises ``‖w - α·t‖²`` for these trits.
"""

import torch
from torch import Tensor

from sterna.quant.estimator import straight_through
from sterna.quant.weights import WeightPlane, WeightQuantiser

THRESHOLD = 0.7
"""Share of the mean magnitude: the paper's compromise between uniform (2/3) and normal (0.75) weights."""


def ternarise(weight: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Trits and scales of a weight matrix.

    ``weight``: float (out, positions). ``mask``: bool, same shape; False is pruned.
    Returns trits, float (out, positions) of -1, 0, 1, and scales, float (out,); an all-zero channel has scale 0.
    """
    magnitude = weight.abs() * mask
    threshold = THRESHOLD * magnitude.sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)
    kept = magnitude > threshold
    scale = (magnitude * kept).sum(1) / kept.sum(1).clamp(min=1)
    return torch.sign(weight) * kept, scale


class Twn(WeightQuantiser):
    """One plane; straight-through gradient, dense: a pruned weight keeps learning, so that it may come back."""

    def forward(self, weight: Tensor, mask: Tensor) -> Tensor:
        with torch.no_grad():
            trits, scale = ternarise(weight, mask)
        return straight_through(trits * scale[:, None], weight)

    def planes(self, weight: Tensor, mask: Tensor) -> tuple[WeightPlane, ...]:
        return (WeightPlane(*ternarise(weight, mask)),)

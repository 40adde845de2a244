"""TWN: ternary weights with a threshold and a scale (Li, Zhang and Liu 2016, "Ternary weight networks").

Over the unpruned weights of an output channel, or of the whole layer: ``Δ = 0.7 · mean |w|``; ``t = sign(w)`` where
``|w| > Δ``, else 0; ``α = mean of |w| where |w| > Δ``, which minimises ``‖w - α·t‖²`` for these trits.
"""

import torch
from torch import Tensor

from sterna.quant.weights import OnePlane

THRESHOLD = 0.7
"""Share of the mean magnitude: the paper's compromise between uniform (2/3) and normal (0.75) weights."""


def ternarise(weight: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Trits and scales of a weight matrix, row by row.

    ``weight``: float (out, positions). ``mask``: bool, same shape; False is pruned.
    Returns trits, float (out, positions) of -1, 0, 1, and scales, float (out,); an all-zero channel has scale 0.
    """
    magnitude = weight.abs() * mask
    threshold = THRESHOLD * magnitude.sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)
    kept = magnitude > threshold
    scale = (magnitude * kept).sum(1) / kept.sum(1).clamp(min=1)
    return torch.sign(weight) * kept, scale


class Twn(OnePlane):
    """The gradient is dense: a pruned weight keeps learning, so that it may come back.

    ``per_layer``: one threshold and scale for all channels.
    """

    def __init__(self, *, per_layer: bool = False) -> None:
        super().__init__()
        self.per_layer = per_layer

    def ternarise(self, weight: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        if not self.per_layer:
            return ternarise(weight, mask)
        trits, scale = ternarise(weight.reshape(1, -1), mask.reshape(1, -1))
        return trits.reshape(weight.shape), scale.expand(len(weight))

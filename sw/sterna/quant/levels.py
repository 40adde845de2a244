"""Weights that are integer levels times one scale a channel, found by least squares, built from ternary planes.

The scale of each output channel is, unless a quantiser says otherwise, the one of least squared error among a geometric
row below ``max |w| / highest level``: cheap enough for every step, and nothing to learn or to diverge.
"""

import torch
from torch import Tensor

from sterna.quant.estimator import straight_through
from sterna.quant.weights import WeightPlane, WeightQuantiser

_RATIO = 0.88
_CANDIDATES = 14


class Levels(WeightQuantiser):
    """Base: nearest level times a least-squares scale; straight-through gradient.

    ``highest``: the largest level. ``digits``: value of a one in each plane, in steps of the scale.
    """

    def __init__(self, highest: int, digits: tuple[int, ...]) -> None:
        super().__init__()
        self.highest = highest
        self.digits = digits

    def nearest(self, ratio: Tensor) -> Tensor:
        """The level next to each value, float; both in steps of the scale."""
        raise NotImplementedError

    def trits(self, levels: Tensor) -> tuple[Tensor, ...]:
        """Planes T_i of -1, 0, 1 such that ``Σ digits_i · T_i`` is the level."""
        raise NotImplementedError

    def snap(self, weight: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Levels, float (out, positions), and scales, float (out,); an all-zero channel has scale 0."""
        kept = weight * mask
        full = kept.abs().amax(1, keepdim=True) / self.highest
        best = full
        least = torch.full_like(full, torch.inf)
        for k in range(_CANDIDATES):
            scale = full * _RATIO**k
            error = ((self._levels(kept, scale) * scale - kept) ** 2).sum(1, keepdim=True)
            best = torch.where(error < least, scale, best)
            least = torch.minimum(error, least)
        return self._levels(kept, best), best[:, 0]

    def _levels(self, weight: Tensor, scale: Tensor) -> Tensor:
        return self.nearest(weight / torch.where(scale > 0, scale, 1))

    def forward(self, weight: Tensor, mask: Tensor) -> Tensor:
        with torch.no_grad():
            levels, scale = self.snap(weight, mask)
        return straight_through(levels * scale[:, None], weight)

    @torch.no_grad()
    def planes(self, weight: Tensor, mask: Tensor) -> tuple[WeightPlane, ...]:
        levels, scale = self.snap(weight, mask)
        return tuple(
            WeightPlane(trits, scale.double() * digit)
            for digit, trits in zip(self.digits, self.trits(levels), strict=True)
        )

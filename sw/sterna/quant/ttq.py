"""TTQ: learned scales for positive and for negative weights (Zhu, Han, Mao and Dally 2017, "Trained ternary
quantization").

Per layer: ``Δ = 0.05 · max |w|``; weights are p where ``w > Δ``, -n where ``w < -Δ``, else 0. Scales learn from the
sums of the gradients of their weights; a weight learns from its own gradient, times p, n or, between the thresholds, 1.
The scales start as the mean magnitudes of their weights, and learn by their logarithms, for the reason that
:mod:`sterna.quant.lsq` gives. Two planes: ``(p+n)/2 · T + (p-n)/2 · |T|``.
"""

import torch
from torch import Tensor, nn

from sterna.quant.estimator import straight_through
from sterna.quant.weights import WeightPlane, WeightQuantiser

THRESHOLD = 0.05
"""Share of the largest magnitude, as in the paper's experiments."""


def _trits(weight: Tensor, mask: Tensor) -> Tensor:
    magnitude = weight.abs() * mask
    return torch.sign(weight) * (magnitude > THRESHOLD * magnitude.max())


class Ttq(WeightQuantiser):
    """Two planes, T and |T|; ``log_positive`` and ``log_negative`` are learned, float ()."""

    def __init__(self) -> None:
        super().__init__()
        self.log_positive = nn.Parameter(torch.tensor(0.0))
        self.log_negative = nn.Parameter(torch.tensor(0.0))

    @torch.no_grad()
    def calibrate(self, weight: Tensor) -> None:
        trits = _trits(weight, torch.ones_like(weight, dtype=torch.bool))
        for scale, chosen in ((self.log_positive, trits > 0), (self.log_negative, trits < 0)):
            if chosen.any():
                scale.fill_(weight[chosen].abs().mean().log())

    def _scales(self) -> tuple[Tensor, Tensor]:
        return self.log_positive.exp(), self.log_negative.exp()

    def forward(self, weight: Tensor, mask: Tensor) -> Tensor:
        positive, negative = self._scales()
        with torch.no_grad():
            trits = _trits(weight, mask)
            slope = torch.where(trits > 0, positive, torch.where(trits < 0, negative, 1.0))
        quantised = positive * (trits > 0) - negative * (trits < 0)
        return quantised + straight_through(torch.zeros_like(weight), weight * slope)

    @torch.no_grad()
    def planes(self, weight: Tensor, mask: Tensor) -> tuple[WeightPlane, ...]:
        positive, negative = (scale.double() for scale in self._scales())
        trits = _trits(weight, mask)
        one = torch.ones(len(weight), dtype=torch.float64, device=weight.device)
        return (
            WeightPlane(trits, (positive + negative) / 2 * one),
            WeightPlane(trits.abs(), (positive - negative) / 2 * one),
        )

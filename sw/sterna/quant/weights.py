"""What every weight quantiser offers.

Its ``forward`` gives real-valued weights for training, with an estimator's gradient; its ``planes`` gives the same
weights as ternary planes for the integer network, ``Σ_i scale_i[c] · trits_i[c, …]``. A quantiser of more than one
level a side, or of unequal ones, gives more than one plane.

Weights are matrices here, whatever the layer: (out, positions), a window's positions in channel-last order.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sterna.quant.estimator import straight_through


@dataclass(frozen=True, eq=False)
class WeightPlane:
    """One ternary plane of a layer's weights."""

    trits: Tensor
    """float (out, positions), values -1, 0, 1."""
    scale: Tensor
    """float (out,), real value of a one; finite, of either sign."""


class WeightQuantiser(nn.Module):
    """Base of weight quantisers. ``weight`` is float and ``mask`` bool, both (out, positions); False is pruned."""

    def calibrate(self, weight: Tensor) -> None:
        """Sets what the quantiser learns from the float model's weights; most learn nothing."""

    def forward(self, weight: Tensor, mask: Tensor) -> Tensor:
        """Fake-quantised weights, float (out, positions)."""
        raise NotImplementedError

    def planes(self, weight: Tensor, mask: Tensor) -> tuple[WeightPlane, ...]:
        """The same weights as ternary planes; as many for any weights."""
        raise NotImplementedError


class OnePlane(WeightQuantiser):
    """Base of quantisers to trits times one scale; straight-through gradient."""

    def ternarise(self, weight: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Trits, float (out, positions) of -1, 0, 1, and scales, float (out,)."""
        raise NotImplementedError

    def forward(self, weight: Tensor, mask: Tensor) -> Tensor:
        with torch.no_grad():
            trits, scale = self.ternarise(weight, mask)
        return straight_through(trits * scale[:, None], weight)

    def planes(self, weight: Tensor, mask: Tensor) -> tuple[WeightPlane, ...]:
        return (WeightPlane(*self.ternarise(weight, mask)),)


class FixedWeights(WeightQuantiser):
    """Weights that are trits already, times one constant: identities and means."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, weight: Tensor, mask: Tensor) -> Tensor:
        return weight * self.scale

    def planes(self, weight: Tensor, mask: Tensor) -> tuple[WeightPlane, ...]:
        return (WeightPlane(weight, weight.new_full((len(weight),), self.scale).double()),)

"""What every weight quantiser offers.

Its ``forward`` gives real-valued weights for training, with an estimator's gradient; its ``planes`` gives the same
weights as ternary planes for the integer network, ``Σ_i scale_i[c] · trits_i[c, …]``. A quantiser of more than one
level a side, or of unequal ones, gives more than one plane.
"""

from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class WeightPlane:
    """One ternary plane of a layer's weights."""

    trits: Tensor
    """float (out, positions), values -1, 0, 1."""
    scale: Tensor
    """float (out,), real value of a one; finite, not negative."""


class WeightQuantiser(nn.Module):
    """Base of weight quantisers. ``weight`` is float and ``mask`` bool, both (out, positions); False is pruned."""

    def forward(self, weight: Tensor, mask: Tensor) -> Tensor:
        """Fake-quantised weights, float (out, positions)."""
        raise NotImplementedError

    def planes(self, weight: Tensor, mask: Tensor) -> tuple[WeightPlane, ...]:
        """The same weights as ternary planes."""
        raise NotImplementedError

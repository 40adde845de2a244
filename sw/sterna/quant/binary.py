"""Binary weights with a scale (Rastegari et al. 2016, "XNOR-Net"; without one: Courbariaux et al. 2015).

Per output channel, over its unpruned weights: ``sign(w) · mean |w|``, which minimises the squared error. A pruned
weight is zero, so that blocks can be skipped here too; every other one is not.
"""

import torch
from torch import Tensor

from sterna.quant.weights import OnePlane


class Binary(OnePlane):
    """The quantiser; see the module."""

    def ternarise(self, weight: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        signs = torch.where(weight >= 0, 1.0, -1.0) * mask
        return signs, (weight.abs() * mask).sum(1) / mask.sum(1).clamp(min=1)

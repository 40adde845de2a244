"""Ternary activations with an estimator of their own (Deng et al. 2018, "GXNOR-Net").

Values and the learned step are LSQ's; a value learns only near a threshold, where its trit could change. The slope is a
triangle, 2 at ±1/2 step and 0 at 0 and from ±1 step on (the paper's triangular window of width 1/2), where LSQ's is 1
up to ±1 step: both let a trit rise by one over as much.
"""

import torch
from torch import Tensor

from sterna.quant.estimator import round_half_up, straight_through
from sterna.quant.lsq import LearnedStep

THRESHOLD = 0.5
"""In steps, and the width of the triangle on either side."""


def _ramp(ratio: Tensor) -> Tensor:
    """Odd, continuous, from -1 at -1 to 1 at 1, with the triangle as its slope."""
    u = ratio.abs().clamp(max=1.0)
    low, high = 2 * u**2, 1 - 2 * (1 - u) ** 2
    return torch.sign(ratio) * torch.where(u < THRESHOLD, low, high)


class Gxnor(LearnedStep):
    """Two bits."""

    def rounded(self, ratio: Tensor) -> Tensor:
        return straight_through(round_half_up(torch.clip(ratio, self.low, self.high)), _ramp(ratio))

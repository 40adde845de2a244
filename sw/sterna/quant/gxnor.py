"""Ternary activations with an estimator of their own (Deng et al. 2018, "GXNOR-Net").

Values and the learned step are LSQ's; a value learns only near a threshold, where its trit could change. The slope is a
triangle, 2 at ±1/2 step and 0 at 0 and from ±1 step on (the paper's triangular window of width 1/2), where LSQ's is 1
up to ±1 step: both let a trit rise by one over as much.
"""

from torch import Tensor

from sterna.quant.lsq import LearnedStep


class Gxnor(LearnedStep):
    """Two bits."""

    def passed(self, gradient: Tensor, ratio: Tensor) -> Tensor:
        return gradient * (2 - 4 * (ratio.abs() - 0.5).abs()).clamp(min=0)

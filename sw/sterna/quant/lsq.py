"""LSQ: activations with a learned step (Esser et al. 2020, "Learned step size quantization").

``q = round(clip(v / s, low, high))``; the value is ``q·s``. With straight-through rounding the gradient with respect to
``s`` is ``q - v/s`` inside the range and the bound itself outside, scaled by ``1/√(N·high)`` for N values a sample, so
that step and weights learn at comparable speed. Two differences from the paper: the range is symmetric, so that ``-x``
is an activation too, or starts at 0, which makes it a ReLU; and the first step is the one of least squared error on the
first batch (as in LSQ+, Bhalgat et al. 2020), since the paper's wastes range at 8 bits.
"""

import math

import torch
from torch import Tensor, nn

from sterna.quant.estimator import round_half_up, round_through, scale_gradient
from sterna.spec.arithmetic import max_activation

SMALLEST_STEP = 1e-6

_CANDIDATES = 40
_RATIO = 0.85


class LearnedStep(nn.Module):
    """Quantises to integers ``low … high`` of a learned step.

    ``bits``: 2…8. ``relu``: 0 … high instead of -high … high. ``clamp``: magnitude at which the float model cuts its
    values off, which only the first step follows. The first training batch sets the step.
    """

    initialised: Tensor

    def __init__(self, bits: int, *, relu: bool, clamp: float = math.inf) -> None:
        super().__init__()
        self.high = max_activation(bits)
        self.low = 0 if relu else -self.high
        self.clamp = clamp
        self.raw_step = nn.Parameter(torch.tensor(1.0))
        self.register_buffer("initialised", torch.tensor(False))

    @property
    def step(self) -> Tensor:
        """Real value of one, float (); positive whatever the optimiser does."""
        return self.raw_step.clamp(min=SMALLEST_STEP)

    def forward(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """Fake quantisation, for training.

        ``v``: float (n, …). Returns ``q``, integers as floats of the same shape, and the step, such that ``q·step``
        carries the paper's gradients.
        """
        if not self.initialised:
            self.calibrate(v.detach())
        per_sample = v.numel() / len(v)
        step = scale_gradient(self.step, (per_sample * self.high) ** -0.5)
        return self.rounded(v / step), step

    def rounded(self, ratio: Tensor) -> Tensor:
        """Integers next to values in steps, with an estimator's gradient."""
        return round_through(torch.clip(ratio, self.low, self.high))

    @torch.no_grad()
    def calibrate(self, v: Tensor) -> None:
        """Sets the step to the one of least squared error on ``v`` among a geometric row below the full range."""
        target = v.clamp(0 if self.low == 0 else -self.clamp, self.clamp)
        full = float(target.abs().max()) / self.high
        steps = [full * _RATIO**k for k in range(_CANDIDATES)]
        if full > 0:
            errors = [float(((self._snap(target, s) - target) ** 2).mean()) for s in steps]
            self.raw_step.fill_(steps[errors.index(min(errors))])
        self.initialised.fill_(True)

    def _snap(self, v: Tensor, step: float) -> Tensor:
        return round_half_up(torch.clip(v / step, self.low, self.high)) * step

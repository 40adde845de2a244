"""LSQ: activations with a learned step (Esser et al. 2020, "Learned step size quantization").

``q = round(clip(v / s, low, high))``; the value is ``q·s``. With straight-through rounding the gradient with respect to
``s`` is ``q - v/s`` strictly inside the range and the bound itself elsewhere, scaled by ``1/√(N·high)`` for N values a
sample, so that step and weights learn at comparable speed. Three differences from the paper: the range is symmetric,
so that ``-x`` is an activation too, or starts at 0, which makes it a ReLU; the first step is that of least squared
error on the first batch (as in LSQ+, Bhalgat et al. 2020), since the paper's wastes range at 8 bits; what is learned is
the step's logarithm (as in TQT, Jain et al. 2019): Adam moves a parameter by about its learning rate whatever its size,
of which a step of 8 bits is a few only, so that it would leap about, and below 0, from where it never came back.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from sterna.quant.estimator import round_half_up
from sterna.spec.arithmetic import max_activation

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
        self.log_step = nn.Parameter(torch.tensor(0.0))
        self.register_buffer("initialised", torch.tensor(False))

    @property
    def step(self) -> Tensor:
        """Real value of one, float ()."""
        return self.log_step.exp()

    def forward(self, v: Tensor) -> Tensor:
        """Fake quantisation, for training.

        ``v``: float (n, …). Returns multiples of :attr:`step`, of the same shape, with the paper's gradients.
        """
        if not self.initialised:
            self.calibrate(v.detach())
        values = _Quantised.apply(v, self.step, self, (v.numel() / len(v) * self.high) ** -0.5)  # type: ignore[no-untyped-call]
        assert isinstance(values, Tensor)
        return values

    def passed(self, gradient: Tensor, ratio: Tensor) -> Tensor:
        """What a value learns from the gradient of its multiple; ``ratio``: the value in steps."""
        inside: Tensor = torch.ops.aten.hardtanh_backward(gradient, ratio, self.low, self.high)
        return inside

    @torch.no_grad()
    def calibrate(self, v: Tensor) -> None:
        """Sets the step to the one of least squared error on ``v`` among a geometric row below the full range."""
        target = v.clamp(0 if self.low == 0 else -self.clamp, self.clamp)
        full = float(target.abs().max()) / self.high
        steps = [full * _RATIO**k for k in range(_CANDIDATES)]
        if full > 0:
            errors = [float(((self._snap(target, s) - target) ** 2).mean()) for s in steps]
            self.log_step.fill_(math.log(steps[errors.index(min(errors))]))
        self.initialised.fill_(True)

    def _snap(self, v: Tensor, step: float) -> Tensor:
        return round_half_up(torch.clip(v / step, self.low, self.high)) * step


class _Quantised(torch.autograd.Function):
    """Multiples of a step: one node, since a training step spends more on passes over activations than on products."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, step: Tensor, quantiser: LearnedStep, factor: float) -> Tensor:
        ratio = v / step
        integers = torch.clip(ratio, quantiser.low, quantiser.high).add_(0.5).floor_()
        ctx.save_for_backward(ratio, integers)
        ctx.quantiser, ctx.factor = quantiser, factor
        return integers * step

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (gradient,) = gradients
        ratio, integers = ctx.saved_tensors
        passed = ctx.quantiser.passed(gradient, ratio)
        of_step = torch.dot(_flat(gradient), _flat(integers)) - torch.dot(_flat(passed), _flat(ratio))
        return passed, of_step * ctx.factor, None, None


def _flat(tensor: Tensor) -> Tensor:
    """All values; of channel-last memory, as convolutions of channel-last weights leave it, a view and no copy."""
    return (tensor.permute(0, 2, 3, 1) if tensor.ndim == 4 else tensor).reshape(-1)

"""Quantised layers: float fake quantisation in training mode, exact integers in evaluation mode.

Between layers travel integers and their step. In training mode the integers are float32 that carry gradients, in
evaluation mode they are exact (float64 holds every accumulator), and a layer computes what the hardware does but for
its requantiser: ``clip(floor(acc·A[c] + B[c] + 1/2), low, high)`` in float64.
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from sterna.quant.lsq import LearnedStep
from sterna.quant.prune import block_mask, density_at
from sterna.quant.recipe import WEIGHT_QUANTISERS, LayerRecipe, Recipe
from sterna.spec.errors import ModelError
from sterna.spec.requantiser import Float64, reachable, round_slopes


@dataclass(frozen=True, eq=False)
class Signal:
    """A tensor between layers; its real value is ``integers · step``."""

    integers: Tensor
    """float32 (training) or float64 (evaluation), (n, features)."""
    step: Tensor
    """float ()."""
    low: int
    """Bounds of the integers."""
    high: int


@dataclass(frozen=True, eq=False)
class FoldedPlane:
    """One ternary plane with everything that scales it in its slope."""

    trits: Tensor
    """float64 (out, positions), -1, 0, 1."""
    slope: Float64
    """float64 (out,): output steps for one of the accumulator; of either sign."""
    unrounded_slope: Float64
    """The same before it was rounded to what a multiplier can hold."""


@dataclass(frozen=True, eq=False)
class FoldedLayer:
    """A layer as ``clip(floor(Σ_i acc_i·slope_i + offset + 1/2), minimum, maximum)``."""

    planes: tuple[FoldedPlane, ...]
    offset: Float64
    minimum: int
    maximum: int


class QuantisedLinear(nn.Module):
    """A matrix product with its bias, BatchNorm and activation.

    Built from float layers, whose parameters it copies. ``relu``: whether outputs are 0 … high instead of -high … high.
    """

    mask: Tensor

    def __init__(
        self, linear: nn.Linear, norm: nn.BatchNorm1d | None, *, relu: bool, layer: LayerRecipe, recipe: Recipe
    ) -> None:
        super().__init__()
        self.recipe = layer
        self.pe, self.simd = recipe.pe, recipe.simd
        self.round_slopes = recipe.round_slopes
        self.weight = nn.Parameter(linear.weight.detach().clone())
        self.bias = None if linear.bias is None else nn.Parameter(linear.bias.detach().clone())
        self.norm = copy.deepcopy(norm)
        self.weights = WEIGHT_QUANTISERS[layer.weights]()
        self.activation = LearnedStep(layer.act_bits, relu=relu)
        self.register_buffer("mask", torch.ones_like(linear.weight, dtype=torch.bool))

    def prune(self, progress: float) -> None:
        """Chooses the blocks to keep, at the density of the schedule; ``progress`` 0…1."""
        density = density_at(progress, self.recipe.density)
        self.mask.copy_(block_mask(self.weight, density, pe=self.pe, simd=self.simd))

    def forward(self, x: Signal) -> Signal:
        if not self.training:
            return self._evaluate(x)
        z = functional.linear(x.integers * x.step, self.weights(self.weight, self.mask), self.bias)
        integers, step = self.activation(z if self.norm is None else self.norm(z))
        return Signal(integers, step, self.activation.low, self.activation.high)

    @torch.no_grad()
    def _evaluate(self, x: Signal) -> Signal:
        folded = self.fold(x)
        scaled = [functional.linear(x.integers, p.trits) * torch.from_numpy(p.slope) for p in folded.planes]
        total = sum(scaled[1:], scaled[0]) + torch.from_numpy(folded.offset)
        q = torch.clip(torch.floor(total + 0.5), folded.minimum, folded.maximum)
        return Signal(q, self.activation.step.double(), folded.minimum, folded.maximum)

    @torch.no_grad()
    def fold(self, source: Signal) -> FoldedLayer:
        """Folds BatchNorm, scales and steps into one slope a plane and channel, and one offset a channel.

        ``source``: what the layer reads; only its step and bounds count. Raises :class:`ModelError` before the first
        training batch, which sets the activation step.
        """
        if not self.activation.initialised:
            raise ModelError("an activation step is not set; run a batch in training mode first")
        out = len(self.weight)
        gain = torch.ones(out, dtype=torch.float64)
        shift = torch.zeros_like(gain) if self.bias is None else self.bias.double()
        if self.norm is not None:
            assert self.norm.running_mean is not None
            assert self.norm.running_var is not None
            gain = self.norm.weight.double() / torch.sqrt(self.norm.running_var.double() + self.norm.eps)
            shift = (shift - self.norm.running_mean.double()) * gain + self.norm.bias.double()
        step = self.activation.step.double()
        offset = (shift / step).numpy()
        planes = []
        for plane in self.weights.planes(self.weight, self.mask):
            slope = (plane.scale.double() * gain * source.step.double() / step).numpy()
            rounded = slope
            if self.round_slopes:
                trits = plane.trits.to(torch.int8).numpy()
                rounded = round_slopes(slope, offset, *reachable(trits, source.low, source.high))
            planes.append(FoldedPlane(plane.trits.double(), rounded, slope))
        return FoldedLayer(tuple(planes), offset, self.activation.low, self.activation.high)

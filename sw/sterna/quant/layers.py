"""The quantised layer: float fake quantisation in training mode, exact integers in evaluation mode.

A layer is a sum of terms, each with its own weights, bias and BatchNorm; a term reads one tensor or, channels side by
side, several. A residual connection is a term whose weights are an identity, a mean one whose weights are ones.
Between layers travel multiples of a step: in training mode real values, float32 that carry gradients; in evaluation
mode integers, exact float64, and a layer computes what the hardware does: see :mod:`sterna.quant.requantiser` for why
both are equal, bit for bit.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from sterna.quant.estimator import estimated, straight_through
from sterna.quant.prune import banks, block_mask, density_at
from sterna.quant.quantisers import ACTIVATION_QUANTISERS, WEIGHT_QUANTISERS
from sterna.quant.recipe import LayerRecipe, Recipe
from sterna.quant.requantiser import FixedPoint, fixed_point
from sterna.quant.weights import FixedWeights
from sterna.quant.window import Window
from sterna.spec.arithmetic import Float64, Int64, accumulator_bounds
from sterna.spec.errors import ModelError

BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d


@dataclass(frozen=True, eq=False)
class Signal:
    """A tensor between layers: integers, times a step."""

    values: Tensor
    """(n, channels, height, width): real, float32 with gradients, or, if ``exact``, the integers, float64."""
    step: Tensor
    """float ()."""
    low: int
    """Bounds of the integers."""
    high: int
    exact: bool
    """In evaluation mode."""

    @property
    def real(self) -> Tensor:
        """Real values, of the same dtype as ``values``."""
        return self.values * self.step if self.exact else self.values

    @property
    def integers(self) -> Tensor:
        """float64, without gradients."""
        return self.values if self.exact else torch.round(self.values.detach().double() / self.step.detach().double())


@dataclass(frozen=True, kw_only=True, eq=False)
class FloatTerm:
    """A term of a float layer."""

    windows: tuple[Window, ...]
    weight: Tensor
    """float (out, positions), the windows' positions side by side, each channel-last."""
    bias: Tensor | None = None
    norm: BatchNorm | None = None
    scale: float | None = None
    """Not None: ``weight`` holds trits that are not trained, times this."""
    path: str = ""
    """Of its module in the float model."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FloatLayer:
    """A layer of the float model: terms, summed, then an activation, then max-pooling."""

    name: str
    terms: tuple[FloatTerm, ...]
    relu: bool
    clamp: float
    """Magnitude at which its values are cut off; infinite if they are not."""
    pool: tuple[int, int]

    @property
    def trained(self) -> bool:
        """Whether it has weights of its own."""
        return any(term.scale is None for term in self.terms)


@dataclass(frozen=True, eq=False)
class FoldedPlane:
    """One ternary plane with everything that scales it in its slope."""

    window: Window
    trits: npt.NDArray[np.int8]
    """(out, positions of the window)."""
    slope: Float64
    """float64 (out,): output steps for one of the accumulator, of either sign, before it was rounded."""
    lowest: Int64
    """Bounds of the accumulators, (out,)."""
    highest: Int64


@dataclass(frozen=True, eq=False)
class FoldedLayer:
    """A layer as ``clip((Σ_i m_i·acc_i + b) >> s, minimum, maximum)``, max-pooled."""

    planes: tuple[FoldedPlane, ...]
    fixed: FixedPoint
    offset: Float64
    """float64 (out,), before it was rounded and without the half for rounding."""
    minimum: int
    maximum: int
    pool: tuple[int, int]


class QuantisedTerm(nn.Module):
    """One term of a layer. Copies the float model's parameters."""

    mask: Tensor
    weight: Tensor

    def __init__(self, term: FloatTerm, layer: LayerRecipe, recipe: Recipe) -> None:
        super().__init__()
        self.windows = term.windows
        self.trained = term.scale is None
        self.density = layer.density
        self.estimator = layer.estimator
        self.hardness = 1.0
        self.frozen = False
        self.pe, self.simd = recipe.pe, recipe.simd
        weight = term.weight.detach().clone()
        if term.scale is None:
            self.weight = nn.Parameter(weight)
            self.weights = WEIGHT_QUANTISERS[layer.weights]()
            self.weights.calibrate(weight)
        else:
            self.register_buffer("weight", weight)
            self.weights = FixedWeights(term.scale)
        self.bias = None if term.bias is None else nn.Parameter(term.bias.detach().clone())
        self.norm = copy.deepcopy(term.norm)
        self.register_buffer("mask", torch.ones_like(weight, dtype=torch.bool))

    def train(self, mode: bool = True) -> "QuantisedTerm":
        super().train(mode)
        if self.norm is not None and self.frozen:
            self.norm.eval()
        return self

    def split(self, matrix: Tensor) -> tuple[Tensor, ...]:
        """The columns of each window."""
        return torch.split(matrix, [window.positions for window in self.windows], dim=1)

    def prune(self, progress: float) -> None:
        """Chooses the blocks to keep, at the density of the schedule; ``progress`` 0…1."""
        if not self.trained:
            return
        density = density_at(progress, self.density)
        for window, weight, mask in zip(self.windows, self.split(self.weight), self.split(self.mask), strict=True):
            lanes = banks(window.kernel, window.inputs, window.shape[2], self.simd)
            mask.copy_(block_mask(weight.cpu(), density, pe=self.pe, banks=lanes, groups=window.groups))

    def forward(self, tensors: Mapping[str, Signal]) -> Tensor:
        weights = self.split(self._quantised())
        total: Tensor | None = None
        for window, weight in zip(self.windows, weights, strict=True):
            part = window.apply(tensors[window.source].real, weight)
            total = part if total is None else total + part
        assert total is not None
        if self.bias is not None:
            total = total + self.bias[:, None, None]
        if isinstance(self.norm, nn.BatchNorm1d):
            normed: Tensor = self.norm(total.flatten(1))
            return normed.reshape(total.shape)
        return total if self.norm is None else self.norm(total)

    def _quantised(self) -> Tensor:
        """Weights that training sees: quantised, or on their way there."""
        quantised = estimated(self.weight, lambda weight: self.weights(weight, self.mask), self.estimator)
        if self.hardness == 1:
            return quantised
        return self.weight * self.mask + self.hardness * (quantised - self.weight * self.mask)

    def affine(self) -> tuple[Tensor, Tensor]:
        """Gain and shift, float64 (out,), that bias and BatchNorm give in evaluation mode."""
        gain = torch.ones(len(self.weight), dtype=torch.float64)
        shift = torch.zeros_like(gain) if self.bias is None else self.bias.double().cpu()
        if self.norm is not None:
            assert self.norm.running_mean is not None
            assert self.norm.running_var is not None
            gain = self.norm.weight.double().cpu() / torch.sqrt(self.norm.running_var.double().cpu() + self.norm.eps)
            shift = (shift - self.norm.running_mean.double().cpu()) * gain + self.norm.bias.double().cpu()
        return gain, shift


class QuantisedLayer(nn.Module):
    """A sum of terms with its activation and pooling."""

    def __init__(self, layer: FloatLayer, layer_recipe: LayerRecipe, recipe: Recipe) -> None:
        super().__init__()
        self.name = layer.name
        self.recipe = layer_recipe
        self.pe = recipe.pe
        self.pool = layer.pool
        self.trained = layer.trained
        self.exact = False
        self._terms = nn.ModuleList(QuantisedTerm(term, layer_recipe, recipe) for term in layer.terms)
        self.activation = ACTIVATION_QUANTISERS[layer_recipe.activation](
            layer_recipe.act_bits, relu=layer.relu, clamp=layer.clamp
        )

    @property
    def terms(self) -> tuple[QuantisedTerm, ...]:
        """In the order of the float model's sum."""
        return tuple(term for term in self._terms if isinstance(term, QuantisedTerm))

    def prune(self, progress: float) -> None:
        """Chooses the blocks to keep, at the density of the schedule; ``progress`` 0…1."""
        for term in self.terms:
            term.prune(progress)

    def harden(self, share: float) -> None:
        """Sets the share of the quantised weights that training sees, 0…1; the rest are the float ones. So weights move
        gradually (Liu and Mattina 2019, "Learning low-precision neural networks without straight-through estimator").
        """
        for term in self.terms:
            term.hardness = share if term.trained else 1.0

    def snap(self, exact: bool) -> None:
        """Whether training sees exactly what hardware does: see :meth:`QuantisedModel.snap`."""
        self.exact = exact
        for term in self.terms:
            term.frozen = exact
            term.train(term.training)

    def forward(self, tensors: Mapping[str, Signal]) -> Signal:
        low, high = self.activation.low, self.activation.high
        if not self.training:
            step = self.activation.step.detach().double()
            return Signal(self._pooled(self._evaluated(tensors)), step, low, high, exact=True)
        first, *others = (term(tensors) for term in self.terms)
        values = self.activation(sum(others, first))
        step = self.activation.step.detach()  # which the first batch has set
        if self.exact:
            values = straight_through(self._evaluated(tensors).float() * step, values)
        return Signal(self._pooled(values), step, low, high, exact=False)

    @torch.no_grad()
    def _evaluated(self, tensors: Mapping[str, Signal]) -> Tensor:
        """The integers that hardware gives, float64, not pooled yet."""
        folded = self.fold(tensors)
        total = torch.from_numpy(folded.fixed.offset)[:, None, None].to(self.activation.step.device)
        for window, weight in self._joined(folded):
            total = total + window.apply(tensors[window.source].integers, weight.to(total.device))
        return torch.clip(torch.floor(total), folded.minimum, folded.maximum)

    @staticmethod
    def _joined(folded: FoldedLayer) -> list[tuple[Window, Tensor]]:
        """Windows with the sum of their planes, each times its slope: exact, like all sums of it."""
        joined: list[tuple[Window, Tensor]] = []
        for plane, slope in zip(folded.planes, folded.fixed.slope, strict=True):
            weight = torch.from_numpy(plane.trits * slope[:, np.newaxis])
            if joined and joined[-1][0] is plane.window:
                joined[-1] = (plane.window, joined[-1][1] + weight)
            else:
                joined.append((plane.window, weight))
        return joined

    def _pooled(self, values: Tensor) -> Tensor:
        return values if self.pool == (1, 1) else functional.max_pool2d(values, self.pool)

    @torch.no_grad()
    def fold(self, tensors: Mapping[str, Signal]) -> FoldedLayer:
        """Folds BatchNorm, scales and steps into one slope a plane and channel, and one offset a channel.

        ``tensors``: what the layer reads; only steps and bounds count. Raises :class:`ModelError` before the first
        training batch, which sets the activation step, and for what is not finite.
        """
        if not self.activation.initialised:
            raise ModelError("an activation step is not set; run a batch in training mode first")
        if not all(torch.isfinite(term.weight).all() for term in self.terms):
            raise ModelError(f"layer {self.name!r} has a weight that is not finite")
        step = self.activation.step.double().cpu()
        offset = torch.zeros((), dtype=torch.float64)
        planes = []
        for term in self.terms:
            gain, shift = term.affine()
            offset = offset + shift / step
            weights = [(plane.scale, term.split(plane.trits)) for plane in term.weights.planes(term.weight, term.mask)]
            for at, window in enumerate(term.windows):
                source = tensors[window.source]
                for scale, parts in weights:
                    slope = (scale.double().cpu() * gain * source.step.double().cpu() / step).numpy()
                    trits = torch.nan_to_num(parts[at]).to(torch.int8).cpu().numpy()
                    bounds = accumulator_bounds(trits, source.low, source.high, window.padding)
                    planes.append(FoldedPlane(window, trits, slope, *bounds))
        slopes = np.array([plane.slope for plane in planes])
        extremes = np.array([np.maximum(np.abs(plane.lowest), np.abs(plane.highest)) for plane in planes])
        try:
            fixed = fixed_point(slopes, offset.numpy(), extremes)
        except ModelError as error:
            raise ModelError(f"layer {self.name!r} {error}") from error
        return FoldedLayer(
            tuple(planes), fixed, offset.numpy(), self.activation.low, self.activation.high, self.pool
        )  # fmt: skip

"""Straight-through estimators (Bengio, Léonard and Courville 2013): steps forward, slopes backward.

A weight's gradient is that of its quantised value: ``plain``, as it is; ``clipped``, zero where the weight lies beyond
the largest quantised magnitude and would go further (Hubara et al. 2016); ``ewgs``, larger where the step that rounding
took goes the gradient's way (Lee, Kim and Ham 2021, "Network quantization with element-wise gradient scaling").
"""

from collections.abc import Callable

import torch
from torch import Tensor


def straight_through(value: Tensor, surrogate: Tensor) -> Tensor:
    """``value`` forward, the gradient of ``surrogate`` backward; same shape and dtype."""
    return surrogate + (value - surrogate).detach()


def _plain(gradient: Tensor, weight: Tensor, quantised: Tensor) -> Tensor:
    return gradient


def _clipped(gradient: Tensor, weight: Tensor, quantised: Tensor) -> Tensor:
    outside = weight.abs() > quantised.abs().amax()
    return gradient * ~(outside & (gradient * weight < 0))  # descent against the gradient, away from zero


EWGS_FACTOR = 0.2
"""Of the paper's small factors, for errors in units of the mean magnitude of the quantised weights."""


SMALLEST_UNIT = 1e-6


def _ewgs(gradient: Tensor, weight: Tensor, quantised: Tensor) -> Tensor:
    unit = quantised.abs().mean().clamp(min=SMALLEST_UNIT)
    return gradient * (1 + EWGS_FACTOR * torch.sign(gradient) * (weight - quantised) / unit)


ESTIMATORS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "plain": _plain,
    "clipped": _clipped,
    "ewgs": _ewgs,
}
"""A weight's gradient from its quantised value's, the weight, and the quantised value; all of the same shape."""


def estimated(weight: Tensor, quantise: Callable[[Tensor], Tensor], estimator: str) -> Tensor:
    """``quantise(weight)`` forward; backward, what it gives the weight goes through one of :data:`ESTIMATORS`."""
    if estimator == "plain" or not weight.requires_grad:
        return quantise(weight)
    watched = weight.view_as(weight)
    quantised = quantise(watched)
    seen = quantised.detach()
    watched.register_hook(  # type: ignore[no-untyped-call]
        lambda gradient: ESTIMATORS[estimator](gradient, weight.detach(), seen)
    )
    return quantised


def round_half_up(x: Tensor) -> Tensor:
    """``floor(x + 1/2)``: what a rounding constant and an arithmetic shift compute; gradient zero."""
    return torch.floor(x + 0.5)


def round_through(x: Tensor) -> Tensor:
    """:func:`round_half_up` forward, identity backward."""
    return straight_through(round_half_up(x), x)

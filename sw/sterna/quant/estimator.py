"""Straight-through estimators (Bengio, Léonard and Courville 2013): steps forward, slopes backward."""

import torch
from torch import Tensor


def straight_through(value: Tensor, surrogate: Tensor) -> Tensor:
    """``value`` forward, the gradient of ``surrogate`` backward; same shape and dtype."""
    return surrogate + (value - surrogate).detach()


def round_half_up(x: Tensor) -> Tensor:
    """``floor(x + 1/2)``: what a rounding constant and an arithmetic shift compute; gradient zero."""
    return torch.floor(x + 0.5)


def round_through(x: Tensor) -> Tensor:
    """:func:`round_half_up` forward, identity backward."""
    return straight_through(round_half_up(x), x)


def scale_gradient(x: Tensor, factor: float) -> Tensor:
    """``x`` forward, gradient times ``factor`` backward."""
    return straight_through(x, x * factor)

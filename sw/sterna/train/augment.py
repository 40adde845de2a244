"""Augmentation: every epoch sees each image a little turned, zoomed, moved, mirrored and noisy."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from sterna.spec.errors import ConfigurationError
from sterna.spec.values import is_number

PART = 1000
"""Images that are turned, zoomed and moved at a time: few enough to stay in a processor's cache."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How far images are changed at most; all zero changes nothing.

    Raises :class:`ConfigurationError` naming the bad value.
    """

    rotation: float = 0.0
    """Degrees either way."""
    zoom: float = 0.0
    """Share by which height, width and shear change, each by itself."""
    shift: float = 0.0
    """Pixels, up, down and sideways."""
    noise: float = 0.0
    """Standard deviation of every pixel's noise, as a share of the range of pixels."""
    flip: bool = False
    """Mirrors half of the images left to right."""

    def __post_init__(self) -> None:
        for name, most in (("rotation", 180), ("zoom", 1), ("shift", math.inf), ("noise", math.inf)):
            value = getattr(self, name)
            if not (is_number(value) and 0 <= value <= most):
                allowed = "0 or more" if most == math.inf else f"0…{most}"
                raise ConfigurationError(f"{name} of the augmentation is {value!r}; allowed: {allowed}")
        if not isinstance(self.flip, bool):
            raise ConfigurationError(f"flip of the augmentation is {self.flip!r}; allowed: True, False")


def augmented(
    images: Tensor, by: Augmentation, *, low: float, high: float, generator: torch.Generator
) -> Tensor:  # fmt: skip
    """Changes every image by its own random amounts.

    ``images``: float (n, height, width, channels), in ``low … high``, like the result. Bilinear between pixels, ``low``
    beyond the border.
    """
    count, height, width = images.shape[:3]

    def uniform() -> Tensor:
        return torch.rand(count, generator=generator) * 2 - 1

    result = images
    if by.rotation or by.zoom or by.shift:
        angle = uniform() * math.radians(by.rotation)
        sine, cosine = torch.sin(angle), torch.cos(angle)
        across, down, shear = 1 + by.zoom * uniform(), 1 + by.zoom * uniform(), by.zoom * uniform()
        # Grid coordinates reach from -1 to 1, so a pixel is 2 / width.
        right, below = uniform() * by.shift * 2 / width, uniform() * by.shift * 2 / height
        rows = torch.stack([across * cosine, shear - across * sine, right, down * sine, down * cosine, below], dim=1)
        result = torch.empty_like(images)
        for moved, part, row in zip(*(torch.split(each, PART) for each in (result, images, rows)), strict=True):
            grid = functional.affine_grid(row.reshape(-1, 2, 3), [len(row), 1, height, width], align_corners=False)
            planes = part.permute(0, 3, 1, 2) - low
            moved.copy_(functional.grid_sample(planes, grid, align_corners=False).permute(0, 2, 3, 1) + low)
    if by.flip:
        mirrored = torch.rand(count, generator=generator) < 0.5
        result = torch.where(mirrored[:, None, None, None], result.flip(2), result)
    if by.noise:
        result = result + torch.randn(result.shape, generator=generator) * (by.noise * (high - low))
    return result.clamp(low, high)

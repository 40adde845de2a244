"""Augmentation: images moved by whole pixels."""

import torch
from torch import Tensor


def shifted(images: Tensor, by: int) -> Tensor:
    """Every image at every offset of at most ``by`` pixels in one direction, zeros moving in.

    ``images``: (n, height, width, channels). Returns (4·by + 1, n, height, width, channels), unmoved first.
    """
    height, width = images.shape[1:3]
    moves = [(0, 0)]
    for distance in range(1, by + 1):
        moves += [(distance, 0), (-distance, 0), (0, distance), (0, -distance)]
    result = torch.zeros(len(moves), *images.shape, dtype=images.dtype)
    for moved, (down, right) in zip(result, moves, strict=True):
        source = images[:, max(-down, 0) : height - max(down, 0), max(-right, 0) : width - max(right, 0)]
        moved[:, max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = source
    return result

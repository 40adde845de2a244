"""Moved images: every direction, zeros moving in, nothing wrapped."""

import numpy as np
import torch

from sterna.train.augment import shifted


def test_images_move_by_whole_pixels_and_zeros_move_in():
    images = torch.arange(1.0, 25.0).reshape(2, 3, 4, 1)
    moved = shifted(images, 2)
    assert moved.shape == (9, 2, 3, 4, 1)
    assert torch.equal(moved[0], images)
    padded = np.pad(images.numpy(), ((0, 0), (2, 2), (2, 2), (0, 0)))
    windows = {padded[:, 2 + y : 5 + y, 2 + x : 6 + x].tobytes() for y, x in
               [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1), (2, 0), (-2, 0), (0, 2), (0, -2)]}  # fmt: skip
    assert {image.numpy().tobytes() for image in moved} == windows


def test_no_shift_gives_the_images_alone():
    images = torch.rand(2, 3, 3, 1)
    assert torch.equal(shifted(images, 0), images[None])

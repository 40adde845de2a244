"""Augmented images: changed as far as asked, in range, from the given random numbers alone."""

import pytest
import torch

from sterna.train import Augmentation
from sterna.train.augment import augmented


def some_images(count: int = 50) -> torch.Tensor:
    return torch.rand(count, 8, 6, 2, generator=torch.Generator().manual_seed(0)) * 16


def run(images: torch.Tensor, by: Augmentation, seed: int = 1, low: float = 0.0) -> torch.Tensor:
    return augmented(images, by, low=low, high=16.0, generator=torch.Generator().manual_seed(seed))


def test_no_augmentation_changes_nothing():
    images = some_images()
    assert torch.equal(run(images, Augmentation()), images)


@pytest.mark.parametrize(
    "by", [Augmentation(rotation=20), Augmentation(zoom=0.2), Augmentation(shift=2), Augmentation(noise=0.5)]
)
def test_each_kind_changes_every_image_within_the_range_and_repeats_with_its_seed(by):
    images = some_images()
    changed = run(images, by)
    assert changed.shape == images.shape
    assert changed.min() >= 0
    assert changed.max() <= 16
    assert (changed != images).flatten(1).any(1).all()
    assert torch.equal(changed, run(images, by))
    assert not torch.equal(changed, run(images, by, seed=2))


def test_a_shift_moves_the_ink_by_at_most_its_pixels():
    images = torch.zeros(200, 9, 9, 1)
    images[:, 4, 4] = 16
    moved = run(images, Augmentation(shift=2.0))
    ink = moved.sum((1, 2, 3))
    index = torch.arange(9.0)
    rows = (moved.sum((2, 3)) * index).sum(1) / ink - 4
    columns = (moved.sum((1, 3)) * index).sum(1) / ink - 4
    assert ink == pytest.approx(torch.full((200,), 16.0), rel=1e-4)
    for offsets in (rows, columns):
        assert offsets.abs().max() <= 2.001
        assert offsets.min() < -1.5
        assert offsets.max() > 1.5


def test_a_rotation_keeps_the_centre_and_its_distance():
    images = torch.zeros(100, 9, 9, 1)
    images[:, 4, 7] = 16
    turned = run(images, Augmentation(rotation=90.0))
    index = torch.arange(9.0) - 4
    ink = turned.sum((1, 2, 3))
    rows = (turned.sum((2, 3)) * index).sum(1) / ink
    columns = (turned.sum((1, 3)) * index).sum(1) / ink
    assert torch.hypot(rows, columns) == pytest.approx(torch.full((100,), 3.0), abs=0.3)
    assert rows.abs().max() > 2.5


def test_what_moves_in_is_the_lowest_value():
    moved = run(torch.full((20, 8, 8, 1), -3.0), Augmentation(shift=3, rotation=30), low=-3.0)
    assert moved == pytest.approx(torch.full((20, 8, 8, 1), -3.0))


def test_a_flip_mirrors_about_half_of_the_images_and_leaves_the_others():
    images = some_images(400)
    flipped = run(images, Augmentation(flip=True))
    same = (flipped == images).flatten(1).all(1)
    mirrored = (flipped == images.flip(2)).flatten(1).all(1)
    assert (same ^ mirrored).all()
    assert 150 < mirrored.sum() < 250

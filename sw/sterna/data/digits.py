"""The 8×8 digits that scikit-learn bundles: 1,797 real handwritten digits, no download.

Half of UCI's "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak 1998); pixels count the ink in 4×4 cells,
0…16, and are taken as integers.
"""

import numpy as np

from sterna.data.dataset import Dataset
from sterna.spec.errors import DataError

HELD_OUT_EVERY = 4
"""Of each class, every fourth image is held out."""


def load_digits() -> Dataset:
    """The digits, a quarter of each class held out; the split needs no random numbers, so it never changes."""
    try:
        from sklearn import datasets  # type: ignore[import-untyped]
    except ImportError as error:
        raise DataError("digits come with scikit-learn; get it with: pip install 'sterna[train]'") from error
    bunch = datasets.load_digits()
    images = np.asarray(bunch.images).astype(np.uint8)[..., np.newaxis]
    labels = np.asarray(bunch.target).astype(np.int64)
    held_out = np.zeros(len(labels), np.bool_)
    for digit in range(10):
        held_out[np.flatnonzero(labels == digit)[::HELD_OUT_EVERY]] = True
    return Dataset(
        name="digits",
        train_images=images[~held_out],
        train_labels=labels[~held_out],
        test_images=images[held_out],
        test_labels=labels[held_out],
        classes=tuple("0123456789"),
        low=0.0,
        high=16.0,
        scale=1.0,
    )

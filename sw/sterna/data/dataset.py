"""What a loader returns: labelled images, split into training and held-out test parts."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sterna.spec.network import InputSpec


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Labelled images. Nothing in the test part may choose a hyperparameter or stop a training run."""

    name: str
    train_images: npt.NDArray[np.uint8]
    """uint8 (n, height, width, channels)."""
    train_labels: npt.NDArray[np.int64]
    """int64 (n,), 0 … len(classes) - 1."""
    test_images: npt.NDArray[np.uint8]
    test_labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    low: float
    """Smallest pixel value."""
    high: float
    scale: float
    """Pixel value of one step of the network's integer input."""

    @property
    def input(self) -> InputSpec:
        """How a network takes these images."""
        height, width, channels = self.train_images.shape[1:]
        shape = (height, width, channels)
        return InputSpec(name="input", shape=shape, low=self.low, high=self.high, scale=self.scale)

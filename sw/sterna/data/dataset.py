"""What loaders return: labelled images, or text, split into training and held-out test parts."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sterna.data.metric import ACCURACY, Metric
from sterna.spec.network import InputSpec

Images = npt.NDArray[np.uint8] | npt.NDArray[np.int8]


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Labelled images. Nothing in the test part may choose a hyperparameter or stop a training run.

    What is no image is made one by its loader: features of speech are frames by bands, windows of sensors rows by
    sensors.
    """

    name: str
    train_images: Images
    """Bytes (n, height, width, channels)."""
    train_labels: npt.NDArray[np.int64]
    """int64 (n,), 0 … len(classes) - 1."""
    test_images: Images
    test_labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    low: float
    """Smallest pixel value."""
    high: float
    scale: float
    """Pixel value of one step of the network's integer input."""
    metric: Metric = field(default=ACCURACY)
    """What a network is held to, which also says what it is trained for."""

    @property
    def input(self) -> InputSpec:
        """How a network takes these images."""
        height, width, channels = self.train_images.shape[1:]
        shape = (height, width, channels)
        return InputSpec(name="input", shape=shape, low=self.low, high=self.high, scale=self.scale)


@dataclass(frozen=True, kw_only=True, eq=False)
class Text:
    """Bytes in a row, cut into three pieces that lie one after the other."""

    name: str
    train: npt.NDArray[np.uint8]
    """uint8 (n,), like all."""
    validation: npt.NDArray[np.uint8]
    test: npt.NDArray[np.uint8]

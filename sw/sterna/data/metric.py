"""What a model is held to on the held-out part: one interface, whatever the task.

A metric takes a network's real-valued outputs for the test images; higher is better.
"""

from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from sterna.spec.errors import DataError

if TYPE_CHECKING:
    from sterna.data.dataset import Dataset


class Metric(Protocol):
    """How good outputs are."""

    @property
    def name(self) -> str:
        """What the value is."""

    def outputs(self, dataset: "Dataset") -> int:
        """How many values a network gives for each image."""

    def __call__(self, outputs: npt.NDArray[np.floating], dataset: "Dataset") -> float:
        """The value over the test part; ``outputs`` (n, …), real, in its order."""


class Accuracy:
    """Share of images whose largest output is their class's."""

    name = "accuracy"

    def outputs(self, dataset: "Dataset") -> int:
        return len(dataset.classes)

    def __call__(self, outputs: npt.NDArray[np.floating], dataset: "Dataset") -> float:
        return float((outputs.reshape(len(outputs), -1).argmax(1) == dataset.test_labels).mean())


class ReconstructionAuc:
    """Area under the ROC curve when an image is called the more anomalous, the worse it is reproduced.

    A network gives the image back, in shares of the largest pixel; its error is the mean square of the difference.
    """

    name = "AUC"

    def outputs(self, dataset: "Dataset") -> int:
        return int(np.prod(dataset.train_images.shape[1:]))

    def __call__(self, outputs: npt.NDArray[np.floating], dataset: "Dataset") -> float:
        count = len(dataset.test_images)
        wanted = dataset.test_images.reshape(count, -1) / dataset.high
        errors = ((outputs.reshape(count, -1).astype(np.float64) - wanted) ** 2).mean(1)
        return area_under_curve(errors, dataset.test_labels == 1)


def area_under_curve(scores: npt.NDArray[np.float64], positive: npt.NDArray[np.bool_]) -> float:
    """Probability that a positive has a larger score than a negative, equal ones counted half (Mann and Whitney 1947).

    ``scores``, ``positive``: (n,). Raises :class:`DataError` if all are positive, or none is.
    """
    wanted, others = np.sort(scores[positive]), np.sort(scores[~positive])
    if not len(wanted) or not len(others):
        raise DataError(f"{len(wanted)} positives and {len(others)} negatives: a curve needs both")
    below = np.searchsorted(others, wanted, "left").sum()
    up_to = np.searchsorted(others, wanted, "right").sum()
    return float((below + up_to) / 2 / len(wanted) / len(others))


def bits_per_byte(nats: float) -> float:
    """Bits per byte of a mean cross-entropy in nats a byte; lower is better."""
    return nats / float(np.log(2))


ACCURACY = Accuracy()
RECONSTRUCTION_AUC = ReconstructionAuc()

"""What a model is trained for: its data set's metric says so."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from sterna.data import Dataset
from sterna.data.metric import ReconstructionAuc
from sterna.train.distillation import softened_divergence


@dataclass(frozen=True, kw_only=True)
class Objective:
    """Loss of a batch: cross-entropy of classes, or the mean square of what is not reproduced.

    ``reproduces``: images are given back, in shares of ``high``, their largest pixel.
    """

    reproduces: bool
    high: float

    def loss(self, outputs: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        """Of ``outputs`` (n, …) for ``images`` (n, height, width, channels) and ``labels`` (n,)."""
        if self.reproduces:
            return functional.mse_loss(outputs.flatten(1), images.flatten(1) / self.high)
        return functional.cross_entropy(outputs, labels)

    def distance(self, outputs: Tensor, teachers: Tensor, temperature: float) -> Tensor:
        """How far a student's outputs are from its teacher's; see :mod:`sterna.train.distillation`."""
        if self.reproduces:
            return functional.mse_loss(outputs.flatten(1), teachers.flatten(1))
        return softened_divergence(outputs, teachers, temperature)


def objective_of(dataset: Dataset) -> Objective:
    """The objective that goes with the data set's metric."""
    return Objective(reproduces=isinstance(dataset.metric, ReconstructionAuc), high=dataset.high)

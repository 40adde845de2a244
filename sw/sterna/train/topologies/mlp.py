"""Multilayer perceptron."""

from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Literal

from torch import nn

from sterna.spec.errors import ConfigurationError
from sterna.spec.network import Shape
from sterna.spec.values import is_count

ACTIVATIONS = {"relu": nn.ReLU, "hardtanh": nn.Hardtanh}


@dataclass(frozen=True, kw_only=True)
class Mlp:
    """Flatten, then Linear, BatchNorm1d and activation for each hidden width, then Linear.

    Raises :class:`ConfigurationError` naming the bad value.
    """

    hidden: tuple[int, ...]
    activation: Literal["relu", "hardtanh"] = "relu"
    """Hardtanh is for ternary activations: three levels, where a ReLU would leave two."""

    def __post_init__(self) -> None:
        if not all(map(is_count, self.hidden)):
            raise ConfigurationError(f"hidden is {self.hidden!r}; allowed: widths of 1 or more")
        if self.activation not in tuple(ACTIVATIONS):
            raise ConfigurationError(f"activation is {self.activation!r}; allowed: {', '.join(ACTIVATIONS)}")

    def build(self, shape: Shape, outputs: int) -> nn.Sequential:
        """See :class:`sterna.train.topologies.Topology`."""
        widths = [prod(shape), *self.hidden]
        layers: list[nn.Module] = [nn.Flatten()]
        for features, width in pairwise(widths):
            layers += [nn.Linear(features, width, bias=False), nn.BatchNorm1d(width), ACTIVATIONS[self.activation]()]
        return nn.Sequential(*layers, nn.Linear(widths[-1], outputs))

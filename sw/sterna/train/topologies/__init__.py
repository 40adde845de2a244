"""Topologies: small float networks as plain values; ``build`` makes the torch module.

A module takes images as torch does, (n, channels, height, width), and returns (n, outputs); that of a
``ByteTransformer`` takes bytes.
"""

from typing import Protocol

from torch import nn

from sterna.spec.network import Shape
from sterna.train.topologies.autoencoder import Autoencoder
from sterna.train.topologies.cnn import Cnn
from sterna.train.topologies.ds_cnn import DsCnn
from sterna.train.topologies.mlp import Mlp
from sterna.train.topologies.resnet8 import ResNet8
from sterna.train.topologies.transformer import ByteTransformer

__all__ = ["Autoencoder", "ByteTransformer", "Cnn", "DsCnn", "Mlp", "ResNet8", "Topology"]


class Topology(Protocol):
    """What every topology over images offers."""

    def build(self, shape: Shape, outputs: int) -> nn.Module:
        """A fresh module for inputs of ``shape``, (height, width, channels)."""

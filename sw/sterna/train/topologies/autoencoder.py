"""Autoencoder for anomaly detection: what it cannot reproduce is not normal (Hinton and Salakhutdinov 2006)."""

from dataclasses import dataclass

from torch import nn

from sterna.spec.network import Shape
from sterna.train.topologies.mlp import Mlp


@dataclass(frozen=True, kw_only=True)
class Autoencoder:
    """Dense layers down to a code and, mirrored, up again; the defaults are MLPerf Tiny's widths.

    ``outputs`` is as many as inputs, normally.
    """

    hidden: tuple[int, ...] = (128, 128, 128, 128)
    code: int = 8

    def build(self, shape: Shape, outputs: int) -> nn.Module:
        """See :class:`sterna.train.topologies.Topology`."""
        return Mlp(hidden=(*self.hidden, self.code, *reversed(self.hidden))).build(shape, outputs)

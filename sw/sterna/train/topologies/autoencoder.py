"""Autoencoder for anomaly detection: what it cannot reproduce is not normal (Hinton and Salakhutdinov 2006)."""

from dataclasses import dataclass

from torch import nn

from sterna.spec.errors import ConfigurationError
from sterna.spec.network import Shape
from sterna.spec.values import is_count
from sterna.train.topologies.mlp import Mlp


@dataclass(frozen=True, kw_only=True)
class Autoencoder:
    """Dense layers down to a code and, mirrored, up again; the defaults are MLPerf Tiny's widths.

    ``outputs`` is as many as inputs, normally. Raises :class:`ConfigurationError` naming the bad value.
    """

    hidden: tuple[int, ...] = (128, 128, 128, 128)
    code: int = 8

    def __post_init__(self) -> None:
        if not all(map(is_count, self.hidden)):
            raise ConfigurationError(f"hidden is {self.hidden!r}; allowed: widths of 1 or more")
        if not is_count(self.code):
            raise ConfigurationError(f"code is {self.code!r}; allowed: 1 or more")

    def build(self, shape: Shape, outputs: int) -> nn.Module:
        """See :class:`sterna.train.topologies.Topology`."""
        return Mlp(hidden=(*self.hidden, self.code, *reversed(self.hidden))).build(shape, outputs)

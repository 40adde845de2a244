"""Lowering: each layer of the network becomes one op over flat tensors, or is refused by name."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sterna.spec.arithmetic import SUM_BITS, max_activation
from sterna.spec.configuration import Configuration
from sterna.spec.errors import FitError
from sterna.spec.network import IntegerNetwork, Layer


@dataclass(frozen=True, eq=False)
class DenseOp:
    """One dense layer: ``trits`` int8 (outputs, inputs), inputs in channel-last order of the source."""

    layer: Layer
    source: str
    trits: npt.NDArray[np.int8]
    multiplier: npt.NDArray[np.int64]


def lower(network: IntegerNetwork, configuration: Configuration) -> list[DenseOp]:
    """The network's ops in order. Raises :class:`FitError` naming the layer that the configuration cannot run."""
    if network.act_bits > configuration.act_bits:
        raise FitError(
            f"network has {network.act_bits}-bit activations; {configuration.name} has {configuration.act_bits}"
        )
    ranges = {network.input.name: _input_range(network)}
    ops = []
    for layer in network.layers:
        where = f"layer {layer.name!r}"
        if len(layer.planes) != 1:
            raise FitError(f"{where} has {len(layer.planes)} planes; {configuration.name} runs layers of one plane")
        (plane,) = layer.planes
        if plane.trits.shape[1:] != network.shape(plane.source) or any(plane.padding):
            raise FitError(f"{where} is a convolution; {configuration.name} runs dense layers")
        op = DenseOp(layer, plane.source, plane.trits.reshape(plane.trits.shape[0], -1), plane.multiplier)
        _check_bounds(op, ranges[plane.source], configuration)
        ranges[layer.name] = (layer.minimum, layer.maximum)
        ops.append(op)
    return ops


def _input_range(network: IntegerNetwork) -> tuple[int, int]:
    spec = network.input
    low, high = (int(np.floor(value / spec.scale + 0.5)) for value in (spec.low, spec.high))
    limit = max_activation(network.act_bits)
    return max(low, -limit), min(high, limit)


def accumulator_bounds(
    trits: npt.NDArray[np.int8], low: int, high: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Smallest and largest sum of each output over inputs in ``low … high``; ``trits`` (outputs, inputs)."""
    positive = (trits > 0).sum(axis=1, dtype=np.int64)
    negative = (trits < 0).sum(axis=1, dtype=np.int64)
    return positive * low - negative * high, positive * high - negative * low


def _check_bounds(op: DenseOp, source_range: tuple[int, int], configuration: Configuration) -> None:
    least, most = accumulator_bounds(op.trits, *source_range)
    limit = 1 << (configuration.acc_bits - 1)
    channel = int(np.argmax(np.maximum(most, -least)))
    if most.max() >= limit or least.min() < -limit:
        raise FitError(
            f"layer {op.layer.name!r} channel {channel} sums to {least[channel]}…{most[channel]}; "
            f"{configuration.name} accumulates {configuration.acc_bits} bits"
        )
    totals = np.stack([op.multiplier * least + op.layer.bias, op.multiplier * most + op.layer.bias])
    if (totals >= 1 << (SUM_BITS - 1)).any() or (totals < -(1 << (SUM_BITS - 1))).any():
        channel = int(np.argmax(np.abs(totals).max(axis=0)))
        raise FitError(f"layer {op.layer.name!r} channel {channel}: m·acc + b exceeds {SUM_BITS} bits")

"""Lowering: each layer of the network becomes one op over stored tensors, or is refused by name."""

from dataclasses import dataclass
from math import gcd

import numpy as np
import numpy.typing as npt

from sterna.spec.arithmetic import SUM_BITS, SUM_LIMIT, Int64, accumulator_bounds
from sterna.spec.configuration import CHUNK, Configuration
from sterna.spec.errors import FitError
from sterna.spec.layout import BankedBlocks, TensorLayout, bank_rows, words
from sterna.spec.network import IntegerNetwork, Layer, Plane

MAX_POSITIONS = 1 << 26
"""Trits of one plane with the zeros of its groups: several times what the largest configuration stores."""


@dataclass(frozen=True, eq=False)
class OpPlane:
    """One plane's walk: ``rows`` int8 (window rows, outputs, run), the trits over the source as it is stored."""

    source: str
    rows: npt.NDArray[np.int8]
    multiplier: Int64
    element: int
    """Activation number where the first window begins, from the source's first word."""
    pitch: int
    """Activation words from one window row to the next."""
    step_x: int
    """Activations from one window to the next in a row …"""
    step_y: int
    """… and activation words to the next row's first."""

    def start(self, simd: int, phase: int) -> int:
        """Bank in which the windows of a phase begin."""
        return (self.element + phase * self.step_x) % simd

    def positions(self, simd: int, phases: int) -> int:
        """Words that a window row reaches over, the same for all phases."""
        return words(max(self.start(simd, phase) for phase in range(phases)) + self.rows.shape[2], simd)


@dataclass(frozen=True, eq=False)
class Op:
    """One layer, or some of its channels, as the core runs it: ``height × width`` pixels before pooling, ``channels``
    stored for each."""

    layer: Layer
    planes: tuple[OpPlane, ...]
    height: int
    width: int
    channels: int
    phases: int
    """Pixels after which the windows begin in the same bank again."""
    first: int = 0
    """The layer's first channel that this op computes."""

    def tiles(self, pe: int) -> int:
        return -(-self.channels // pe)


def lower(network: IntegerNetwork, configuration: Configuration) -> tuple[list[Op], dict[str, TensorLayout]]:
    """The network's ops in order, and how each tensor is stored.

    Raises :class:`FitError` naming the layer that the configuration cannot run.
    """
    if network.act_bits > configuration.act_bits:
        raise FitError(
            f"network has {network.act_bits}-bit activations; {configuration.name} has {configuration.act_bits}"
        )
    layouts = _layouts(network, configuration.simd)
    ops = []
    for layer in network.layers:
        _check_bounds(network, layer, configuration)
        ops.append(_lower_layer(network, layer, layouts, configuration))
    return ops, layouts


def _layouts(network: IntegerNetwork, simd: int) -> dict[str, TensorLayout]:
    """Tensors of ops have whole words for pixels, so that every window begins in bank 0. The input is stored as it is,
    since it often has one or three channels, unless a layer looks at it at two paces: an op has one fraction."""
    paces = [{p.stride[1] for p in layer.planes if p.source == network.input.name} for layer in network.layers]
    dense_input = max(map(len, paces)) <= 1
    border = {name: [0, 0, 0] for name in (network.input.name, *(layer.name for layer in network.layers))}
    for layer in network.layers:
        height, width = _extent(network, layer)
        for plane in layer.planes:
            rows, columns, _ = network.shape(plane.source)
            top, _, left, _ = plane.padding
            below = (height - 1) * plane.stride[0] - top + plane.trits.shape[1] - rows
            right = (width - 1) * plane.stride[1] - left + plane.trits.shape[2] - columns
            needed = border[plane.source]
            border[plane.source] = [max(needed[0], top), max(needed[1], below), max(needed[2], left, right)]
    layouts = {}
    for name, (top, bottom, side) in border.items():
        height, width, channels = network.shape(name)
        pixel = channels if name == network.input.name and dense_input else words(channels, simd) * simd
        layouts[name] = TensorLayout(
            height=height, width=width, channels=channels, simd=simd, pixel=pixel, top=top, bottom=bottom, side=side
        )
    return layouts


def _extent(network: IntegerNetwork, layer: Layer) -> tuple[int, int]:
    """Rows and columns that have to be computed before pooling; what no whole window covers is not."""
    height, width, _ = network.shape(layer.name)
    return height * layer.pool[0], width * layer.pool[1]


def _lower_layer(
    network: IntegerNetwork, layer: Layer, layouts: dict[str, TensorLayout], configuration: Configuration
) -> Op:
    simd = configuration.simd
    height, width = _extent(network, layer)
    # Windows that begin in different banks have to begin there together: all start at the leftmost's padding.
    fractional = [plane for plane in layer.planes if layouts[plane.source].pixel % simd]
    left = max((plane.padding[2] for plane in fractional), default=0)
    planes = tuple(
        _lower_plane(layer.name, plane, layouts[plane.source], left if plane in fractional else plane.padding[2])
        for plane in layer.planes
    )
    phases = max(simd // gcd(plane.step_x, simd) for plane in planes) if width > 1 else 1
    return Op(layer, planes, height, width, layouts[layer.name].pixel, phases)


def _lower_plane(name: str, plane: Plane, layout: TensorLayout, left: int) -> OpPlane:
    outputs, kernel_height, kernel_width, depth = plane.trits.shape
    if outputs * kernel_height * (left + kernel_width) * layout.pixel > MAX_POSITIONS:
        raise FitError(
            f"layer {name!r} has {outputs} outputs over windows of {kernel_height}×{kernel_width}×{layout.pixel}; "
            f"the compiler lays out at most {MAX_POSITIONS} trits of one plane"
        )
    grown = np.zeros((outputs, kernel_height, left - plane.padding[2] + kernel_width, layout.pixel), np.int8)
    window = grown[:, :, left - plane.padding[2] :, :]
    size = outputs // plane.groups
    for group in range(plane.groups):
        of_group = slice(group * size, (group + 1) * size)
        window[of_group, :, :, group * depth : (group + 1) * depth] = plane.trits[of_group]
    rows = grown.reshape(outputs, kernel_height, -1).transpose(1, 0, 2)
    if rows.shape[2] == layout.row_words * layout.simd:  # each window row is a whole row: one run
        rows = rows.transpose(1, 0, 2).reshape(1, outputs, -1)
    return OpPlane(
        source=plane.source,
        rows=rows,
        multiplier=plane.multiplier,
        element=layout.element(-plane.padding[0], -left),
        pitch=layout.row_words,
        step_x=plane.stride[1] * layout.pixel,
        step_y=plane.stride[0] * layout.row_words,
    )


def phase_tiles(
    op: Op, plane: OpPlane, phase: int, configuration: Configuration, *, block_skip: bool = True
) -> list[BankedBlocks]:
    """The plane's blocks and masks in one phase, tile by tile; see :func:`bank_rows`."""
    c = configuration
    run = plane.positions(c.simd, op.phases) * c.simd
    shifted = np.zeros((*plane.rows.shape[:2], run), np.int8)
    start = plane.start(c.simd, phase)
    shifted[:, :, start : start + plane.rows.shape[2]] = plane.rows
    return [
        bank_rows(shifted[:, k * c.pe : (k + 1) * c.pe], c.simd, c.pe, block_skip=block_skip)
        for k in range(op.tiles(c.pe))
    ]


def _check_bounds(network: IntegerNetwork, layer: Layer, configuration: Configuration) -> None:
    limit = 1 << (configuration.acc_bits - 1)
    least_total, most_total = layer.bias, layer.bias
    for index, plane in enumerate(layer.planes):
        least, most = accumulator_bounds(plane.trits, *network.levels(plane.source), plane.padding)
        if most.max() >= limit or least.min() < -limit:
            channel = int(np.argmax(np.maximum(most, -least)))
            raise FitError(
                f"layer {layer.name!r} plane {index} channel {channel} sums to {least[channel]}…{most[channel]}; "
                f"{configuration.name} accumulates {configuration.acc_bits} bits"
            )
        least_total, most_total = least_total + plane.multiplier * least, most_total + plane.multiplier * most
    if (most_total >= SUM_LIMIT).any() or (least_total < -SUM_LIMIT).any():
        channel = int(np.argmax(np.maximum(most_total, -least_total)))
        raise FitError(f"layer {layer.name!r} channel {channel}: Σ m·acc + b exceeds {SUM_BITS} bits")


def chunk_count(positions: int) -> int:
    """Mask words of a window row."""
    return -(-positions // CHUNK)

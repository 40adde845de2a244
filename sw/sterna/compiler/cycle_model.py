"""Cycle model of the feeder/lane core, on a network's own weights and activations.

Feeders run independently inside an output and meet at its end; a chunk costs ``max(1, issued blocks)``; an output costs
at least ``pe / requantisers``. Descriptors and the pipeline's filling and draining between ops are not in it: the
gateware's own count is held against it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sterna.compiler.lowering import Op, OpPlane, chunk_count, lower, phase_tiles
from sterna.golden import trace
from sterna.spec.configuration import CHUNK, Configuration
from sterna.spec.layout import TensorLayout
from sterna.spec.network import IntegerNetwork
from sterna.spec.skips import ALL_SKIPS, Skips

Flags = npt.NDArray[np.bool_]

_MAX_ELEMENTS = 1 << 24
"""Window positions that are looked at together."""


@dataclass(frozen=True)
class CycleEstimate:
    """Cycles of each layer, mean over the images, and their sum."""

    layers: dict[str, float]

    @property
    def total(self) -> float:
        return sum(self.layers.values())


def model_cycles(
    network: IntegerNetwork, configuration: Configuration, images: npt.ArrayLike, skips: Skips = ALL_SKIPS
) -> CycleEstimate:
    """Mean cycles per image of each layer on a batch of images as :meth:`IntegerNetwork.predict` takes them, with the
    skips with which the network is compiled (:class:`Skips`)."""
    tensors = trace(network, images)
    ops, layouts = lower(network, configuration)
    cycles = {}
    for op in ops:
        floor = configuration.pe // configuration.requantisers
        total = 0.0
        for plane in op.planes:
            kept = (tensors[plane.source] != 0) | (not skips.activations)
            active = _stored(kept, layouts[plane.source], configuration.simd)
            if not configuration.activation_skip or (not skips.activations and plane.source == network.input.name):
                active = np.ones_like(active)  # of the input the zeros around it are kept too
            total += _plane_cycles(op, plane, active, configuration, skips.blocks, floor)
        cycles[op.layer.name] = total
    return CycleEstimate(cycles)


def _stored(active: Flags, layout: TensorLayout, simd: int) -> Flags:
    """(n, height, width, channels) as it lies in memory: (simd, n, words)."""
    flat = np.stack([layout.scatter(image.astype(np.int8)) for image in active]).astype(bool)
    return flat.reshape(len(active), -1, simd).transpose(2, 0, 1)


def _plane_cycles(op: Op, plane: OpPlane, active: Flags, c: Configuration, block_skip: bool, floor: int) -> float:
    """Mean cycles of all outputs of one plane."""
    rows, positions = len(plane.rows), plane.positions(c.simd, op.phases)
    chunks = chunk_count(positions)
    run = np.arange(chunks * CHUNK) < positions
    total, images = 0, active.shape[1]
    for phase in range(op.phases):
        tiles = phase_tiles(op, plane, phase, c, block_skip=block_skip)
        masks = np.stack([tile.masks for tile in tiles])  # (tile, bank, row × chunk)
        blocks = np.unpackbits(masks[..., None], axis=-1, bitorder="little").reshape(len(masks), c.simd, rows, -1)
        blocks = blocks.reshape(len(masks), c.simd, rows * chunks, CHUNK).transpose(1, 2, 3, 0).astype(np.float32)
        y, x = np.mgrid[: op.height, phase : op.width : op.phases].reshape(2, -1)
        first = (plane.element + x * plane.step_x) // c.simd + y * plane.step_y
        within = np.arange(rows)[:, None] * plane.pitch + np.arange(chunks * CHUNK)
        step = max(1, _MAX_ELEMENTS // (images * c.simd * within.size))
        for at in range(0, len(first), step):
            words = np.minimum(first[at : at + step, None, None] + within, active.shape[2] - 1)
            windows = (active[:, :, words] & run).reshape(c.simd, -1, rows * chunks, CHUNK)  # (bank, n·pixel, …)
            issued = windows.transpose(0, 2, 1, 3).astype(np.float32) @ blocks  # (bank, row × chunk, n·pixel, tile)
            outputs = np.maximum(issued, 1).sum(axis=1).max(axis=0)
            total += int(np.maximum(outputs, floor).sum())
    return float(total / images)

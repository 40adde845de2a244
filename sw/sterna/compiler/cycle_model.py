"""Cycle model of the feeder/lane core, on a network's own weights and activations.

Feeders run independently inside an output and meet at its end; a chunk costs ``max(1, issued blocks)``; an output costs
at least ``pe / requantisers``. Pipeline filling and draining between ops is not in it: the gateware's own count is held
against it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sterna.compiler.compile import tile_blocks
from sterna.compiler.lowering import DenseOp, lower
from sterna.golden import trace
from sterna.spec.configuration import CHUNK, Configuration
from sterna.spec.layout import words
from sterna.spec.network import IntegerNetwork


@dataclass(frozen=True)
class CycleEstimate:
    """Cycles of each layer, mean over the images, and their sum."""

    layers: dict[str, float]

    @property
    def total(self) -> float:
        return sum(self.layers.values())


def model_cycles(
    network: IntegerNetwork,
    configuration: Configuration,
    images: npt.ArrayLike,
    *,
    activation_skip: bool = True,
    block_skip: bool = True,
) -> CycleEstimate:
    """Mean cycles per image of each layer on a batch of images as :meth:`IntegerNetwork.predict` takes them."""
    tensors = trace(network, images)
    return CycleEstimate({
        op.layer.name: _op_cycles(op, configuration, tensors[op.source] != 0, activation_skip, block_skip)
        for op in lower(network, configuration)
    })  # fmt: skip


def _op_cycles(
    op: DenseOp, c: Configuration, active: npt.NDArray[np.bool_], activation_skip: bool, block_skip: bool
) -> float:
    """``active``: (n, …), where the op's source is not zero."""
    inputs = op.trits.shape[1]
    positions = words(inputs, c.simd)
    chunks = -(-positions // CHUNK)

    def chunked(flags: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
        """(n, inputs) → (bank, chunk, n, CHUNK), positions beyond the run False."""
        padded = np.zeros((len(flags), chunks * CHUNK * c.simd), bool)
        padded[:, :inputs] = flags
        return padded.reshape(-1, chunks, CHUNK, c.simd).transpose(3, 1, 0, 2).astype(np.float32)

    active = active.reshape(len(active), -1)
    if not activation_skip:  # the last word's missing inputs would be issued too, but bank 0 has none and is as full
        active = np.ones_like(active)
    activations = chunked(active)
    masks = np.stack([tile.masks for tile in tile_blocks(op, c)])  # (tile, bank, chunk)
    blocks = np.unpackbits(masks[..., None], axis=-1, bitorder="little").transpose(1, 2, 0, 3).astype(np.float32)
    if not block_skip:
        run = (np.arange(chunks * CHUNK) < positions).reshape(1, chunks, 1, CHUNK)
        blocks = np.broadcast_to(run, blocks.shape).astype(np.float32)
    issued = activations @ blocks.transpose(0, 1, 3, 2)  # (bank, chunk, n, tile)
    per_output = np.maximum(issued, 1).sum(axis=1).max(axis=0)
    return float(np.maximum(per_output, c.pe // c.requantisers).sum(axis=1).mean())

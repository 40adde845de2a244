"""What each op needs in the memories that the link fills, before it is known where."""

from dataclasses import dataclass, replace
from math import lcm

import numpy as np
import numpy.typing as npt

from sterna.compiler.lowering import Op, OpPlane, phase_tiles
from sterna.compiler.placement import Words
from sterna.spec.configuration import CHUNK, Configuration
from sterna.spec.image import PARAMETER_BYTES, Region, Section, pack_parameter, word_bytes
from sterna.spec.layout import TensorLayout

MEMORIES = {
    Region.WEIGHTS: ("weights", "blocks a bank", "weight_depth"),
    Region.MASKS: ("masks", "words a bank", "mask_depth"),
    Region.PARAMETERS: ("parameters", "words", "parameter_depth"),
}
"""Memories that hold what belongs to one op alone: their name, what is counted in them, and the configuration's field
that says how much they hold."""


def depths(configuration: Configuration) -> Words:
    """What each memory holds."""
    return {region: getattr(configuration, field) for region, (_, _, field) in MEMORIES.items()}


@dataclass(frozen=True, eq=False)
class Contents:
    """One op's blocks, masks and parameters."""

    blocks: npt.NDArray[np.int8]
    """int8 (simd, blocks, pe): an op begins at the same block in every bank, so shorter ones are filled up."""
    masks: npt.NDArray[np.uint8]
    """uint8 (simd, mask words)."""
    parameters: bytes

    def size(self, configuration: Configuration) -> Words:
        return {
            Region.WEIGHTS: self.blocks.shape[1],
            Region.MASKS: self.masks.shape[1],
            Region.PARAMETERS: len(self.parameters) // PARAMETER_BYTES // configuration.requantisers,
        }

    def link_bytes(self, configuration: Configuration) -> int:
        """Bytes that it takes to write them."""
        blocks = configuration.simd * self.size(configuration)[Region.WEIGHTS]
        return blocks * word_bytes(Region.WEIGHTS, configuration) + self.masks.size + len(self.parameters)


def contents(op: Op, configuration: Configuration, *, block_skip: bool = True) -> Contents:
    """Of one op: phase by phase, tile by tile, plane by plane; without ``block_skip`` with the blocks that are zero."""
    c = configuration
    banks: list[list[npt.NDArray[np.int8]]] = [[np.zeros((0, c.pe), np.int8)] for _ in range(c.simd)]
    masks = []
    for phase in range(op.phases):
        of_planes = [phase_tiles(op, plane, phase, c, block_skip=block_skip) for plane in op.planes]
        for tile in range(op.tiles(c.pe)):
            for tiles in of_planes:
                masks.append(tiles[tile].masks)
                for j, bank in enumerate(banks):
                    bank.append(tiles[tile].blocks[j])
    joined = [np.concatenate(bank) for bank in banks]
    blocks = np.zeros((c.simd, max(map(len, joined)), c.pe), np.int8)
    for j, stored in enumerate(joined):
        blocks[j, : len(stored)] = stored
    return Contents(blocks, np.concatenate(masks, axis=1), _parameters(op, c.pe))


def _parameters(op: Op, pe: int) -> bytes:
    """Parameter words of all lanes, tile by tile and plane by plane; lanes beyond the last channel get zeros."""
    shift, bias = op.layer.shift[op.first :].tolist(), op.layer.bias[op.first :].tolist()
    multipliers = [plane.multiplier.tolist() for plane in op.planes]
    channels = min(op.channels, len(bias))
    return b"".join(
        pack_parameter(multiplier[k], shift[k], bias[k]) if k < channels else bytes(PARAMETER_BYTES)
        for tile in range(op.tiles(pe))
        for multiplier in multipliers
        for k in range(tile * pe, (tile + 1) * pe)
    )


def sections(group: list[Contents], first: Words, configuration: Configuration) -> tuple[Section, ...]:
    """The sections of ops that lie one behind the other from ``first`` on."""
    c = configuration
    if not group:
        return ()
    blocks = np.concatenate([each.blocks for each in group], axis=1)
    masks = np.concatenate([each.masks for each in group], axis=1)
    found = [
        Section(Region.WEIGHTS, j * c.weight_depth + first[Region.WEIGHTS], c.weight_code.pack(blocks[j]).tobytes())
        for j in range(c.simd)
    ]
    found += [Section(Region.MASKS, j * c.mask_depth + first[Region.MASKS], masks[j].tobytes()) for j in range(c.simd)]
    parameters = b"".join(each.parameters for each in group)
    found.append(Section(Region.PARAMETERS, first[Region.PARAMETERS] * c.requantisers, parameters))
    return tuple(section for section in found if section.data)


def split(op: Op, layout: TensorLayout, parts: int, configuration: Configuration) -> list[Op]:
    """The op as at most ``parts`` ops, each with some of its channels; itself if it cannot be split.

    Only layers of one pixel without zeros around it can: their parts are runs of the same tensor.
    """
    c = configuration
    unit = lcm(c.pe, CHUNK * c.simd)  # a part begins with a tile, and with a chunk of activations
    step = -(-op.channels // (parts * unit)) * unit
    if (layout.height, layout.width, layout.words) != (1, 1, layout.data_words) or op.layer.pool != (1, 1):
        return [op]
    return [_part(op, first, min(step, op.channels - first)) for first in range(0, op.channels, step)]


def _part(op: Op, first: int, channels: int) -> Op:
    of_part = slice(first, first + channels)

    def cut(plane: OpPlane) -> OpPlane:
        return replace(plane, rows=plane.rows[:, of_part], multiplier=plane.multiplier[of_part])

    return replace(op, planes=tuple(map(cut, op.planes)), channels=channels, first=first)

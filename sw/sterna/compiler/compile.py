"""From an integer network to a program image."""

import numpy as np

from sterna.compiler.allocation import Allocation, allocate
from sterna.compiler.fit import FitReport, MemoryUse
from sterna.compiler.lowering import DenseOp, lower
from sterna.spec.configuration import CHUNK, Configuration
from sterna.spec.descriptors import OpDescriptor, PlaneDescriptor, encode_program
from sterna.spec.image import Image, Region, Section, TensorPlace, pack_parameter
from sterna.spec.layout import BankedBlocks, bank_rows, words
from sterna.spec.network import IntegerNetwork
from sterna.spec.trits import pack_trit2

CYCLES_PER_OP = 64
"""Bound of an op's cycles outside its outputs: descriptor, pipeline, drain."""


def compile_network(network: IntegerNetwork, configuration: Configuration) -> Image:
    """Compiles for one configuration.

    Raises :class:`FitError` if a layer cannot run there or a memory is too small, naming all that are.
    The same network and configuration give the same image.
    """
    image, report = _compile(network, configuration)
    report.check()
    return image


def fit_report(network: IntegerNetwork, configuration: Configuration) -> FitReport:
    """Use of every memory, whether the network fits or not. Raises :class:`FitError` only for layers it cannot run."""
    return _compile(network, configuration)[1]


def _compile(network: IntegerNetwork, configuration: Configuration) -> tuple[Image, FitReport]:
    c = configuration
    ops = lower(network, c)
    allocation = allocate(network, ops, c)
    banks: list[list[np.ndarray]] = [[] for _ in range(c.simd)]
    masks: list[np.ndarray] = []
    parameters = bytearray()
    descriptors: list[OpDescriptor] = []
    cycles = 0
    for index, op in enumerate(ops):
        tiles = tile_blocks(op, c)
        for tile in tiles:
            masks.append(tile.masks)
            for j in range(c.simd):
                banks[j].append(tile.blocks[j])
        parameters += _parameters(op, len(tiles) * c.pe)
        descriptors.append(_descriptor(op, len(tiles), index == len(ops) - 1, allocation, c))
        positions = descriptors[-1].planes[0].chunks * CHUNK
        cycles += len(tiles) * max(positions, c.pe // c.requantisers) + CYCLES_PER_OP

    program = encode_program(descriptors)
    blocks = [np.concatenate(bank) for bank in banks]
    mask_words = np.concatenate(masks, axis=1)
    sections = [
        Section(Region.WEIGHTS, j * c.weight_depth, pack_trit2(blocks[j]).tobytes())
        for j in range(c.simd)
        if len(blocks[j])
    ]
    sections += [Section(Region.MASKS, j * c.mask_depth, mask_words[j].tobytes()) for j in range(c.simd)]
    sections += [
        Section(Region.PARAMETERS, 0, bytes(parameters)),
        Section(Region.PROGRAM, 0, np.array(program, "<u2").tobytes()),
    ]
    report = FitReport(c.name, (
        MemoryUse("weights", "blocks a bank", max(map(len, blocks)), c.weight_depth),
        MemoryUse("masks", "words a bank", mask_words.shape[1], c.mask_depth),
        MemoryUse("activations", "words a bank", allocation.used, c.activation_depth),
        MemoryUse("parameters", "words", -(-len(parameters) // 7 // c.requantisers), c.parameter_depth),
        MemoryUse("program", "words", len(program), c.program_depth),
    ))  # fmt: skip

    def place(tensor: str) -> TensorPlace:
        return TensorPlace(tensor, allocation.word[tensor], int(np.prod(network.shape(tensor))))

    image = Image(
        digest=c.digest, entry=0, slot_offset=allocation.slot_offset, input=place(network.input.name),
        outputs=tuple(map(place, network.outputs)), ops=tuple(place(op.layer.name) for op in ops),
        estimated_cycles=cycles, sections=tuple(sections),
    )  # fmt: skip
    return image, report


def tile_blocks(op: DenseOp, configuration: Configuration) -> list[BankedBlocks]:
    """The op's blocks and masks, tile by tile."""
    c = configuration
    return [bank_rows(op.trits[None, first : first + c.pe], c.simd, c.pe) for first in range(0, len(op.trits), c.pe)]


def _parameters(op: DenseOp, lanes: int) -> bytes:
    """Parameter words of all lanes; lanes beyond the last channel get zeros."""
    channels = len(op.trits)
    packed = b"".join(
        pack_parameter(int(op.multiplier[k]), int(op.layer.shift[k]), int(op.layer.bias[k])) for k in range(channels)
    )
    return packed + pack_parameter(0, 0, 0) * (lanes - channels)


def _descriptor(
    op: DenseOp, tiles: int, last: bool, allocation: Allocation, configuration: Configuration
) -> OpDescriptor:
    c = configuration
    channels, inputs = op.trits.shape
    positions = words(inputs, c.simd)
    name = op.layer.name
    return OpDescriptor(
        planes=(
            PlaneDescriptor(
                source=allocation.word[op.source],
                slotted=op.source in allocation.slotted,
                chunks=-(-positions // CHUNK),
                tail=(positions - 1) % CHUNK + 1,
            ),
        ),
        last=last,
        slotted=name in allocation.slotted,
        tiles=tiles,
        tail_groups=-(-(channels - (tiles - 1) * c.pe) // c.requantisers),
        destination=allocation.word[name],
        minimum=op.layer.minimum,
        maximum=op.layer.maximum,
    )

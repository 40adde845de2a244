"""From an integer network to a program image."""

import numpy as np

from sterna.compiler.allocation import Allocation, allocate
from sterna.compiler.fit import FitReport, MemoryUse
from sterna.compiler.lowering import Op, OpPlane, chunk_count, lower, phase_tiles
from sterna.spec.configuration import CHUNK, Configuration
from sterna.spec.descriptors import OpDescriptor, PlaneDescriptor
from sterna.spec.errors import EncodingError, FitError
from sterna.spec.image import PARAMETER_BYTES, Image, OpPlace, Region, Section, TensorPlace, pack_parameter
from sterna.spec.layout import TensorLayout
from sterna.spec.network import IntegerNetwork
from sterna.spec.trits import pack_trit2

CYCLES_PER_OP = 64
"""Bound of an op's cycles outside its outputs: descriptor, pipeline, drain."""
CYCLES_PER_PLANE = 16
"""Bound of an output's cycles outside its window and its drain: the descriptor of a plane."""


def compile_network(network: IntegerNetwork, configuration: Configuration) -> Image:
    """Compiles for one configuration.

    Raises :class:`FitError` if a layer cannot run there or a memory is too small, naming all that are.
    The same network and configuration give the same image.
    """
    ops, layouts = lower(network, configuration)
    allocation = allocate(network, ops, layouts)
    sections, entries, report = _sections(ops, layouts, allocation, configuration)
    report.check()

    def place(tensor: str) -> TensorPlace:
        return TensorPlace(tensor, allocation.word[tensor], layouts[tensor])

    return Image(
        digest=configuration.digest,
        entry=0,
        slot_offset=allocation.slot_offset,
        input=place(network.input.name),
        outputs=tuple(map(place, network.outputs)),
        ops=tuple(
            OpPlace(place(op.layer.name), entry, tuple(plane.source for plane in op.planes))
            for op, entry in zip(ops, entries, strict=True)
        ),
        estimated_cycles=sum(_cycle_bound(op, layouts[op.layer.name], configuration) for op in ops),
        sections=sections,
    )


def fit_report(network: IntegerNetwork, configuration: Configuration) -> FitReport:
    """Use of every memory, whether the network fits or not. Raises :class:`FitError` only for layers it cannot run."""
    ops, layouts = lower(network, configuration)
    return _sections(ops, layouts, allocate(network, ops, layouts), configuration)[2]


def _sections(
    ops: list[Op], layouts: dict[str, TensorLayout], allocation: Allocation, configuration: Configuration
) -> tuple[tuple[Section, ...], list[int], FitReport]:
    """Sections, the program word where each op begins, and what they take."""
    c = configuration
    banks = [np.zeros((0, c.pe), np.int8) for _ in range(c.simd)]
    masks = [np.zeros((c.simd, 0), np.uint8)]
    parameters = b""
    program: list[int] = []
    entries: list[int] = []
    for index, op in enumerate(ops):
        fits = max(allocation.used, sum(m.shape[1] for m in masks), len(banks[0])) < 1 << 16  # else no address would do
        entries.append(len(program))
        if fits:
            first = {
                "weights": len(banks[0]),
                "masks": sum(words.shape[1] for words in masks),
                "parameters": len(parameters) // PARAMETER_BYTES // c.requantisers,
            }
            try:
                program += _descriptor(op, index == len(ops) - 1, layouts, allocation, c, first).encode()
            except EncodingError as error:
                raise FitError(f"layer {op.layer.name!r} cannot be described: {error}") from None
        blocks: list[list[np.ndarray]] = [[] for _ in range(c.simd)]
        for phase in range(op.phases):
            of_planes = [phase_tiles(op, plane, phase, c) for plane in op.planes]
            for tile in range(op.tiles(c.pe)):
                for tiles in of_planes:
                    masks.append(tiles[tile].masks)
                    for j in range(c.simd):
                        blocks[j].append(tiles[tile].blocks[j])
        # An op begins at the same block in every bank.
        longest = max(sum(map(len, bank)) for bank in blocks)
        for j, bank in enumerate(blocks):
            missing = longest - sum(map(len, bank))
            banks[j] = np.concatenate([banks[j], *bank, np.zeros((missing, c.pe), np.int8)])
        parameters += _parameters(op, c.pe)
    mask_words = np.concatenate(masks, axis=1)
    sections = [
        Section(Region.WEIGHTS, j * c.weight_depth, pack_trit2(bank).tobytes())
        for j, bank in enumerate(banks)
        if len(bank)
    ]
    sections += [Section(Region.MASKS, j * c.mask_depth, mask_words[j].tobytes()) for j in range(c.simd)]
    sections += [
        Section(Region.PARAMETERS, 0, parameters),
        Section(Region.PROGRAM, 0, np.array(program, "<u2").tobytes()),
    ]
    pools = [layouts[op.layer.name] for op in ops if op.layer.pool != (1, 1)]
    report = FitReport(c.name, (
        MemoryUse("weights", "blocks a bank", len(banks[0]), c.weight_depth),
        MemoryUse("masks", "words a bank", mask_words.shape[1], c.mask_depth),
        MemoryUse("activations", "words a bank", allocation.used, c.activation_depth),
        MemoryUse("parameters", "words", len(parameters) // PARAMETER_BYTES // c.requantisers, c.parameter_depth),
        MemoryUse("pool", "groups", max((p.width * p.pixel // c.requantisers for p in pools), default=0), c.pool_depth),
        MemoryUse("program", "words", len(program), c.program_depth),
    ))  # fmt: skip
    return tuple(sections), entries, report


def _parameters(op: Op, pe: int) -> bytes:
    """Parameter words of all lanes, tile by tile and plane by plane; lanes beyond the last channel get zeros."""
    shift, bias = op.layer.shift.tolist(), op.layer.bias.tolist()
    multipliers = [plane.multiplier.tolist() for plane in op.planes]
    return b"".join(
        pack_parameter(multiplier[k], shift[k], bias[k]) if k < len(bias) else bytes(PARAMETER_BYTES)
        for tile in range(op.tiles(pe))
        for multiplier in multipliers
        for k in range(tile * pe, (tile + 1) * pe)
    )


def _descriptor(
    op: Op,
    last: bool,
    layouts: dict[str, TensorLayout],
    allocation: Allocation,
    c: Configuration,
    first: dict[str, int],
) -> OpDescriptor:
    """``first``: the op's first block, mask word and parameter word."""
    name = op.layer.name
    layout = layouts[name]
    (pool_height, pool_width) = op.layer.pool
    fractional = [plane for plane in op.planes if plane.step_x % c.simd or plane.element % c.simd]
    lead = fractional[0] if fractional else op.planes[0]
    return OpDescriptor(
        planes=tuple(_plane_descriptor(op, plane, plane in fractional, allocation, c) for plane in op.planes),
        last=last,
        slotted=name in allocation.slotted,
        tiles=op.tiles(c.pe),
        width=op.width,
        height=op.height,
        tail_groups=(op.channels - (op.tiles(c.pe) - 1) * c.pe) // c.requantisers,
        pool_width=pool_width,
        pool_height=pool_height,
        destination=allocation.word[name],
        minimum=op.layer.minimum,
        maximum=op.layer.maximum,
        lead=layout.lead,
        gap=layout.side_words,
        trail=layout.trail,
        phases=op.phases,
        fraction=lead.element % c.simd,
        fraction_step=lead.step_x % c.simd,
        **first,
    )


def _plane_descriptor(
    op: Op, plane: OpPlane, fractional: bool, allocation: Allocation, c: Configuration
) -> PlaneDescriptor:
    positions = plane.positions(c.simd, op.phases)
    first, last = plane.element // c.simd, (plane.element + (op.width - 1) * plane.step_x) // c.simd
    return PlaneDescriptor(
        source=allocation.word[plane.source] + first,
        slotted=plane.source in allocation.slotted,
        fractional=fractional,
        rows=len(plane.rows),
        chunks=chunk_count(positions),
        tail=(positions - 1) % CHUNK + 1,
        pitch=plane.pitch,
        step_x=plane.step_x // c.simd,
        step_row=plane.step_y - (last - first),
    )


def _cycle_bound(op: Op, destination: TensorLayout, c: Configuration) -> int:
    outputs = op.height * op.width * op.tiles(c.pe)
    window = sum(
        max(len(plane.rows) * (chunk_count(plane.positions(c.simd, op.phases)) * CHUNK + 2), c.pe // c.requantisers)
        + CYCLES_PER_PLANE
        for plane in op.planes
    )
    return outputs * window + destination.words + CYCLES_PER_OP

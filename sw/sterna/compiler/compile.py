"""From an integer network to a program image."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate
from math import ceil, lcm
from typing import Self

import numpy as np

from sterna.compiler.allocation import Allocation, allocate
from sterna.compiler.channels import share_channels
from sterna.compiler.contents import MEMORIES, Contents, contents, depths, sections, split
from sterna.compiler.fit import FitReport, MemoryUse
from sterna.compiler.lowering import Op, OpPlane, chunk_count, lower
from sterna.compiler.placement import Placement, Words, place
from sterna.spec.configuration import CHUNK, Configuration
from sterna.spec.descriptors import OpDescriptor, PlaneDescriptor
from sterna.spec.errors import EncodingError, FitError, ModelError
from sterna.spec.image import MAX_SEGMENT_OPS, Image, OpPlace, Region, Section, Segment, TensorPlace
from sterna.spec.layout import TensorLayout
from sterna.spec.limits import op_limits
from sterna.spec.network import IntegerNetwork
from sterna.spec.skips import ALL_SKIPS, Skips

_FINENESSES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
"""Parts of layers that have room in a memory, as they are tried out."""
CYCLES_PER_OP = 64
"""Bound of an op's cycles outside its outputs: descriptor, pipeline, drain."""
CYCLES_PER_PLANE = 16
"""Bound of an output's cycles outside its window and its drain: the descriptor of a plane."""


def compile_network(network: IntegerNetwork, configuration: Configuration, skips: Skips = ALL_SKIPS) -> Image:
    """Compiles for one configuration. What the memories do not hold at once is streamed in every run.

    Raises :class:`FitError` if a layer cannot run there or a memory is too small, naming all that are.
    The same network, configuration and skips give the same image.
    """
    plan = _Plan.of(network, configuration, skips)
    plan.report().check()
    c, layouts, allocation = configuration, plan.layouts, plan.allocation

    def place(tensor: str) -> TensorPlace:
        return TensorPlace(plan.layer_of.get(tensor, tensor), allocation.word[tensor], layouts[tensor])

    def written(op: Op) -> TensorPlace:
        whole = place(op.layer.name)
        if op.channels == whole.layout.pixel:
            return whole
        part = replace(whole.layout, channels=min(op.channels, whole.layout.channels - op.first), pixel=op.channels)
        return TensorPlace(whole.name, whole.word + op.first // c.simd, part)

    program = [word for words in plan.descriptors for word in words]
    stays = [each for each, moves in zip(plan.contents, plan.placement.streamed, strict=True) if not moves]
    return Image(
        digest=c.digest,
        slot_offset=allocation.slot_offset,
        input=place(network.input.name),
        outputs=tuple(map(place, plan.network.outputs)),
        ops=tuple(
            OpPlace(written(op), entry, tuple(place(plane.source).name for plane in op.planes))
            for op, entry in zip(plan.ops, accumulate(map(len, plan.descriptors), initial=0), strict=False)
        ),
        segments=tuple(_segments(plan)),
        estimated_cycles=sum(_cycle_bound(op, layouts[op.layer.name], c) for op in plan.ops),
        sections=(
            *sections(stays, dict.fromkeys(MEMORIES, 0), c),
            Section(Region.PROGRAM, 0, np.array(program, "<u2").tobytes()),
        ),
    )


def fit_report(network: IntegerNetwork, configuration: Configuration, skips: Skips = ALL_SKIPS) -> FitReport:
    """Use of every memory, whether the network fits or not. Raises :class:`FitError` only for layers it cannot run."""
    return _Plan.of(network, configuration, skips).report()


@dataclass(frozen=True)
class _Plan:
    """A network's ops, with everything that they need and where it lies."""

    configuration: Configuration
    network: IntegerNetwork
    """With layers in parts where one does not fit alone."""
    layer_of: dict[str, str]
    """The layer that each of its layers is, or is a part of."""
    ops: list[Op]
    layouts: dict[str, TensorLayout]
    allocation: Allocation
    contents: list[Contents]
    placement: Placement
    descriptors: list[list[int]]
    """Words of each op's; empty where activations do not fit any address, which the report tells."""

    @classmethod
    def of(cls, network: IntegerNetwork, configuration: Configuration, skips: Skips) -> Self:
        """Where a layer alone is too large for a memory, its channels are shared out until its parts fit. If all that
        leads nowhere, the plan is that of whole layers, whose report tells what is too large."""
        plan = cls._streamed(network, {}, configuration, skips)
        parts: dict[str, int] = {}
        unit = lcm(configuration.pe, configuration.simd)
        while (large := plan.too_large()) and parts.get(large[0], 1) * unit < network.shape(large[0])[2]:
            name, times = large
            parts[name] = max(parts.get(name, 1) + 1, ceil(times * parts.get(name, 1)))
            try:
                shared, layer_of = share_channels(network, parts, unit)
            except ModelError as error:
                raise FitError(f"layer {name!r} fits {configuration.name} only in parts, but {error}") from None
            plan = cls._streamed(shared, layer_of, configuration, skips)
        if plan.report().fits:
            return plan
        return cls._made(network, {}, *lower(network, configuration), configuration, skips)

    @classmethod
    def _streamed(
        cls, network: IntegerNetwork, layer_of: dict[str, str], configuration: Configuration, skips: Skips
    ) -> Self:
        """If not everything fits at once, fully connected layers are split: until one part can be written while another
        is read, and as finely as it takes to stream least."""
        ops, layouts = lower(network, configuration)
        whole = cls._made(network, layer_of, ops, layouts, configuration, skips)
        if not whole.streamed_bytes:
            return whole
        plans = [whole]
        for fineness in _FINENESSES:
            parts = [
                part
                for op, each in zip(ops, whole.contents, strict=True)
                for part in split(op, layouts[op.layer.name], _parts(each, configuration, fineness), configuration)
            ]
            if len(parts) > len(plans[-1].ops):
                plans.append(cls._made(network, layer_of, parts, layouts, configuration, skips))
        return min(plans, key=lambda plan: (not plan.report().fits, not plan.placement.in_pairs, plan.streamed_bytes))

    @classmethod
    def _made(
        cls,
        network: IntegerNetwork,
        layer_of: dict[str, str],
        ops: list[Op],
        layouts: dict[str, TensorLayout],
        configuration: Configuration,
        skips: Skips,
    ) -> Self:
        c = configuration
        of_ops = [contents(op, c, block_skip=skips.blocks) for op in ops]
        placement = place([each.size(c) for each in of_ops], [each.link_bytes(c) for each in of_ops], depths(c))
        allocation = allocate(network, ops, layouts, c.activation_depth)
        descriptors = [
            _descriptor(op, op is ops[-1], not skips.activations, layouts, allocation, c, first)
            for op, first in zip(ops, placement.first, strict=True)
        ]
        return cls(c, network, layer_of, ops, layouts, allocation, of_ops, placement, descriptors)

    def too_large(self) -> tuple[str, float] | None:
        """A layer that does not fit alone, if there is one, and how many times it takes a memory."""
        for op, each in zip(self.ops, self.contents, strict=True):
            size = each.size(self.configuration)
            times = max(size[region] / depth for region, depth in depths(self.configuration).items())
            if times > 1:
                return self.layer_of.get(op.layer.name, op.layer.name), times
        return None

    @property
    def streamed_bytes(self) -> int:
        moving = (each for each, moves in zip(self.contents, self.placement.streamed, strict=True) if moves)
        return sum(each.link_bytes(self.configuration) for each in moving)

    def report(self) -> FitReport:
        c = self.configuration
        pools = [self.layouts[op.layer.name] for op in self.ops if op.layer.pool != (1, 1)]
        groups = max((layout.width * layout.pixel // c.requantisers for layout in pools), default=0)
        return FitReport(
            c.name,
            (
                *(self._use(region) for region in MEMORIES),
                MemoryUse("activations", "words a bank", self.allocation.used, c.activation_depth),
                MemoryUse("pool", "groups", groups, c.pool_depth),
                MemoryUse("program", "words", sum(map(len, self.descriptors)), c.program_depth),
            ),
            self.streamed_bytes,
        )

    def _use(self, region: Region) -> MemoryUse:
        name, unit, _ = MEMORIES[region]
        used, available = self.placement.used[region], depths(self.configuration)[region]
        if used > available:  # which is one layer's fault: a network of small ones is streamed
            sizes = [each.size(self.configuration)[region] for each in self.contents]
            largest = self.ops[sizes.index(max(sizes))].layer.name
            name += f" of layer {self.layer_of.get(largest, largest)!r}"
        return MemoryUse(name, unit, used, available)


def _parts(of_op: Contents, configuration: Configuration, fineness: int) -> int:
    """Into how many parts a layer is split so that ``fineness`` of them have room in each memory."""
    size, available = of_op.size(configuration), depths(configuration)
    return max(-(-fineness * size[region] // available[region]) for region in available)


def _segments(plan: _Plan) -> Iterator[Segment]:
    """What stays in place runs on as far as it goes; each op that is streamed is a segment of its own."""
    waiting = 0
    for each, first, moves in zip(plan.contents, plan.placement.first, plan.placement.streamed, strict=True):
        if waiting and (moves or waiting == MAX_SEGMENT_OPS):
            yield Segment(waiting)
            waiting = 0
        if moves:
            yield Segment(1, sections([each], first, plan.configuration))
        else:
            waiting += 1
    if waiting:
        yield Segment(waiting)


def _descriptor(
    op: Op,
    last: bool,
    keeps_zeros: bool,
    layouts: dict[str, TensorLayout],
    allocation: Allocation,
    c: Configuration,
    first: Words,
) -> list[int]:
    """Words of an op whose blocks, masks and parameters begin at ``first``; none if tensors lie beyond any address.

    Raises :class:`FitError` for what a descriptor does not hold.
    """
    name = op.layer.name
    if allocation.used > 1 << 16:
        return []
    layout = layouts[name]
    (pool_height, pool_width) = op.layer.pool
    fractional = [plane for plane in op.planes if plane.step_x % c.simd or plane.element % c.simd]
    lead = fractional[0] if fractional else op.planes[0]
    descriptor = OpDescriptor(
        planes=tuple(_plane_descriptor(op, plane, plane in fractional, allocation, c) for plane in op.planes),
        last=last,
        keeps_zeros=keeps_zeros,
        slotted=name in allocation.slotted,
        tiles=op.tiles(c.pe),
        width=op.width,
        height=op.height,
        tail_groups=(op.channels - (op.tiles(c.pe) - 1) * c.pe) // c.requantisers,
        pool_width=pool_width,
        pool_height=pool_height,
        destination=allocation.word[name] + op.first // c.simd,
        minimum=op.layer.minimum,
        maximum=op.layer.maximum,
        lead=layout.lead,
        gap=layout.side_words,
        trail=layout.trail,
        phases=op.phases,
        fraction=lead.element % c.simd,
        fraction_step=lead.step_x % c.simd,
        # Behind a full memory lies what has no words, or does not fit, which the report tells.
        **{name: first[region] % depths(c)[region] for region, (name, _, _) in MEMORIES.items()},
    )
    limits = op_limits(c)
    beyond = [f"its {field} is {getattr(descriptor, field)}; at most {limits[field]}" for field in ("width", "height")
              if getattr(descriptor, field) > limits[field]]  # fmt: skip
    if beyond:
        raise FitError(f"layer {name!r} cannot be described: {beyond[0]}")
    try:
        return descriptor.encode()
    except EncodingError as error:
        raise FitError(f"layer {name!r} cannot be described: {error}") from None


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

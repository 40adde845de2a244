"""Requantiser: sums become activations, ``y = clamp((m · acc + b) >> s, minimum, maximum)``."""

from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from sterna.gateware.compute.capture import sum_group
from sterna.gateware.memory.ram import Ram, ReadPort, WritePort
from sterna.gateware.part import is_ice40, is_ultraplus
from sterna.spec.arithmetic import MULTIPLIER_BITS, SHIFT_BITS, SUM_BITS
from sterna.spec.configuration import Configuration
from sterna.spec.limits import bits, op_limits

PARAMETER = data.StructLayout(
    {"multiplier": unsigned(MULTIPLIER_BITS), "shift": unsigned(SHIFT_BITS), "bias": signed(SUM_BITS)}
)
"""One parameter word, as ``sterna.spec.image.pack_parameter`` packs it."""


STAGES = 5
BLOCK_BITS = 16
MOST_IN_FLIP_FLOPS = 24


def activation_group(configuration: Configuration) -> data.StructLayout:
    """Neighbouring activations on their way to memory, and where they stand in their op."""
    return data.StructLayout({
        "values": data.ArrayLayout(signed(configuration.act_bits), configuration.requantisers),
        "flags": group_flags(),
    })  # fmt: skip


def group_flags() -> data.StructLayout:
    """Flags of a group of activations."""
    return data.StructLayout({
        "write": 1,      # low beyond the op's last channel: the values do not count, the ends below do
        "pixel_end": 1,
        "row_end": 1,    # of a row that another follows (counts with pixel_end)
        "op_end": 1,
        "pool_first": 1, # first and last pixel of a pooling window
        "pool_last": 1,
        "pool_column_end": 1,
    })  # fmt: skip


class Requantiser(wiring.Component):
    """``requantisers`` multipliers side by side, five stages: parameters, product, sum over planes, shift, clamp. With
    a ``read_latency`` of two, parameters stand in a register before the product, and groups wait as long.

    Parameters are read in order, a word a group, from ``first_parameter`` on with an output that rewinds. Sums of
    planes before the last go to a memory of one output's groups and come back with the next plane: ``b`` is that of the
    first plane's parameter word, ``s`` that of the last's.
    Latency: five cycles, or six. Throughput: one group a cycle. Flow: all stages move together, and only while
    ``activations`` is ready, which may not wait for what comes.
    """

    def __init__(self, *, configuration: Configuration):
        self.configuration = c = configuration
        super().__init__({
            "groups": In(stream.Signature(sum_group(c))),
            "first_parameter": In((c.parameter_depth - 1).bit_length()),
            "tail_groups": In(bits(op_limits(c)["tail_groups"])),  # minus one
            "minimum": In(signed(c.act_bits)),
            "maximum": In(signed(c.act_bits)),
            "parameters": Out(ReadPort(c.parameter_depth, data.ArrayLayout(PARAMETER, c.requantisers))),
            "activations": Out(stream.Signature(activation_group(c))),
        })  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        c = self.configuration
        go = Signal()
        asked = self.groups.payload
        parameters = self.parameters.data
        if c.read_latency == 1:
            group, there = asked, self.groups.valid
        else:
            group, there = Signal(asked.shape(), reset_less=True), Signal()
            parameters = Signal(parameters.shape(), reset_less=True)
            with m.If(go):
                m.d.sync += [group.eq(asked), there.eq(self.groups.valid), parameters.eq(self.parameters.data)]
        tags = group.tags
        stage = data.StructLayout(
            {"group": group.group.shape(), "plane_first": 1, "plane_last": 1, "flags": group_flags()}
        )
        valid = [Signal(name=f"valid_{k}") for k in range(STAGES)]
        at = [Signal(stage, name=f"stage_{k}", reset_less=True) for k in range(STAGES)]
        m.d.comb += [
            go.eq(self.activations.ready),
            self.groups.ready.eq(go),
            self.activations.valid.eq(valid[-1]),
            self.activations.payload.flags.eq(at[-1].flags),
        ]
        with m.If(go):
            m.d.sync += [
                valid[0].eq(there),
                at[0].group.eq(group.group),
                at[0].plane_first.eq(group.plane_first),
                at[0].plane_last.eq(tags.plane_last),
                at[0].flags.write.eq(~tags.last_tile | (group.group <= self.tail_groups)),
                at[0].flags.pixel_end.eq(tags.last_tile & group.last),
                at[0].flags.row_end.eq(tags.row_end),
                at[0].flags.op_end.eq(tags.op_last & group.last),
                at[0].flags.pool_first.eq(tags.pool_first),
                at[0].flags.pool_last.eq(tags.pool_last),
                at[0].flags.pool_column_end.eq(tags.pool_column_end),
                valid[1].eq(valid[0]),
                valid[2].eq(valid[1]),
                valid[3].eq(valid[2] & at[2].plane_last),
                valid[4].eq(valid[3]),
            ]
            m.d.sync += [at[k + 1].eq(at[k]) for k in range(STAGES - 1)]

        pointer = Signal((c.parameter_depth - 1).bit_length(), reset_less=True)
        m.d.comb += [
            self.parameters.enable.eq(go & self.groups.valid),
            self.parameters.address.eq(Mux(asked.first & asked.rewind, self.first_parameter, pointer)),
        ]
        with m.If(self.parameters.enable):
            m.d.sync += pointer.eq(self.parameters.address + 1)

        # Sums of planes: read a cycle before the product, written with the total. A group comes again four groups later
        # at the soonest (`requantisers` ≤ pe / 4), just after its sum is written.
        totals = data.ArrayLayout(signed(SUM_BITS), c.requantisers)
        m.submodules.partial_sums = partial_sums = PartialSums(shape=totals, depth=c.pe // c.requantisers)
        total = Signal(totals, reset_less=True)
        m.d.comb += [
            partial_sums.read.enable.eq(go & there),
            partial_sums.read.address.eq(group.group),
            partial_sums.write.enable.eq(go & valid[2]),
            partial_sums.write.address.eq(at[2].group),
            partial_sums.write.data.eq(total),
        ]

        factors = _factors(platform)
        for r in range(c.requantisers):
            parameter = parameters[r]
            # The multiplier's registers have no reset, so that they can be those of a DSP block.
            accumulated = Signal(signed(c.acc_bits), name=f"accumulated_{r}", reset_less=True)
            products = [
                Signal(signed(min(c.acc_bits + high, SUM_BITS) - low), name=f"product_{r}_{low}", reset_less=True)
                for low, high in factors
            ]
            addend = Signal(signed(SUM_BITS), name=f"addend_{r}", reset_less=True)
            shift = [Signal(SHIFT_BITS, name=f"shift_{r}_{k}", reset_less=True) for k in range(2)]
            near, far = _shifted(total[r], shift[1], c.act_bits)
            shifted = Signal(signed(c.act_bits), name=f"shifted_{r}", reset_less=True)
            beyond = Signal(name=f"beyond_{r}", reset_less=True)
            negative = Signal(name=f"negative_{r}", reset_less=True)
            below = Mux(beyond, negative, shifted < self.minimum)
            above = Mux(beyond, ~negative, shifted > self.maximum)
            with m.If(go):
                m.d.sync += [
                    accumulated.eq(group.sums[r]),
                    *(
                        product.eq(accumulated * parameter.multiplier[low:high])
                        for product, (low, high) in zip(products, factors, strict=True)
                    ),
                    addend.eq(Mux(at[0].plane_first, parameter.bias, partial_sums.read.data[r])),
                    shift[0].eq(parameter.shift),
                    total[r].eq(sum((p << low for p, (low, _) in zip(products, factors, strict=True)), addend)),
                    shift[1].eq(shift[0]),
                    shifted.eq(near),
                    beyond.eq(far),
                    negative.eq(total[r][-1]),
                    self.activations.payload.values[r].eq(Mux(below, self.minimum, Mux(above, self.maximum, shifted))),
                ]
        return m


class PartialSums(wiring.Component):
    """As :class:`Ram`. On UltraPlus parts, whose block RAM all is in use, words of which a few bits reach into another
    16-bit block have these in flip-flops, if that takes no more than ``MOST_IN_FLIP_FLOPS``."""

    def __init__(self, *, shape: data.ArrayLayout, depth: int):
        self.shape = shape
        self.depth = depth
        super().__init__({"read": In(ReadPort(depth, shape)), "write": In(WritePort(depth, shape))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        width = self.shape.size
        few = width % BLOCK_BITS if is_ultraplus(platform) else 0
        if few * self.depth > MOST_IN_FLIP_FLOPS:
            few = 0
        m.submodules.low = low = Ram(shape=width - few, depth=self.depth)
        read, write = self.read, self.write
        value = write.data.as_value()
        found = Signal(few)
        m.d.comb += [
            low.read.enable.eq(read.enable),
            low.read.address.eq(read.address),
            low.write.enable.eq(write.enable),
            low.write.address.eq(write.address),
            low.write.data.eq(value),
            read.data.as_value().eq(Cat(low.read.data, found)),
        ]
        if few:
            rows = Array(Signal(few, name=f"row_{k}", reset_less=True) for k in range(self.depth))
            with m.If(read.enable):
                m.d.sync += found.eq(rows[read.address])
            with m.If(write.enable):
                m.d.sync += rows[write.address].eq(value[width - few :])
        return m


def _factors(platform: Any) -> list[tuple[int, int]]:
    """Parts of the multiplier, by their bits: one where DSP blocks multiply, two where logic does, whose products are
    summed a stage later."""
    if is_ice40(platform) and not is_ultraplus(platform):
        return [(0, MULTIPLIER_BITS // 2), (MULTIPLIER_BITS // 2, MULTIPLIER_BITS)]
    return [(0, MULTIPLIER_BITS)]


def _shifted(value: Value, amount: Value, width: int) -> tuple[Value, Value]:
    """``value >> amount`` in ``width`` bits, and whether it lies beyond them (above or below, as ``value``'s sign).

    Each stage keeps only the bits that the stages after it can bring down: about half the cells of a shift in full.
    """
    last = len(amount) - 1
    sign, near = value[-1], value
    beyond: Value = Const(0)
    for k in reversed(range(last)):
        kept = width + (1 << k) - 1
        near = Mux(amount[k], near.as_signed() >> (1 << k), near.as_signed())
        beyond |= Cat(bit ^ sign for bit in near[kept - 1 :]).any()
        near = near[:kept]
    # By the highest bit nearly everything is shifted out: its stage comes last, where it is narrowest.
    far = value[1 << last :].as_signed() >> amount[:last].any()
    return Mux(amount[last], far, near.as_signed()).as_signed(), beyond & ~amount[last]

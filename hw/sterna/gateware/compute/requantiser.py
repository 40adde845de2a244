"""Requantiser: sums become activations, ``y = clamp((m · acc + b) >> s, minimum, maximum)``."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from sterna.gateware.compute.capture import sum_group
from sterna.gateware.memory.ram import ReadPort
from sterna.spec.arithmetic import MULTIPLIER_BITS, SHIFT_BITS, SUM_BITS
from sterna.spec.configuration import Configuration
from sterna.spec.descriptors import OP_FIELDS, Pointer

PARAMETER = data.StructLayout(
    {"multiplier": unsigned(MULTIPLIER_BITS), "shift": unsigned(SHIFT_BITS), "bias": signed(SUM_BITS)}
)
"""One parameter word, as ``sterna.spec.image.pack_parameter`` packs it."""


def activation_group(configuration: Configuration) -> data.StructLayout:
    """Neighbouring activations on their way to memory; ``write`` low: none, only ``first`` and ``last`` count."""
    return data.StructLayout({
        "values": data.ArrayLayout(signed(configuration.act_bits), configuration.requantisers),
        "write": 1,
        "first": 1,  # of the op: begins at the destination
        "last": 1,   # of the op: what is still held is written
    })  # fmt: skip


class Requantiser(wiring.Component):
    """``requantisers`` multipliers side by side, four stages: parameters, product, sum, shift and clamp.

    Parameters are read by a pointer that goes on with every group and rewinds as the output's ``Pointer`` says.
    Latency: four cycles. Throughput: one group a cycle. Flow: valid/ready at both ends; all stages hold together.
    """

    def __init__(self, *, configuration: Configuration):
        self.configuration = c = configuration
        super().__init__({
            "groups": In(stream.Signature(sum_group(c))),
            "tail_groups": In(OP_FIELDS["tail_groups"].width),  # minus one
            "minimum": In(signed(c.act_bits)),
            "maximum": In(signed(c.act_bits)),
            "parameters": Out(ReadPort(c.parameter_depth, data.ArrayLayout(PARAMETER, c.requantisers))),
            "activations": Out(stream.Signature(activation_group(c))),
        })  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        c = self.configuration
        go = Signal()
        group = self.groups.payload
        valid = [Signal(name=f"valid_{stage}") for stage in range(4)]
        flags = [Signal(data.StructLayout({"write": 1, "first": 1, "last": 1}), name=f"flags_{k}") for k in range(4)]
        m.d.comb += [
            go.eq(~valid[3] | self.activations.ready),
            self.groups.ready.eq(go),
            self.activations.valid.eq(valid[3]),
            self.activations.payload.write.eq(flags[3].write),
            self.activations.payload.first.eq(flags[3].first),
            self.activations.payload.last.eq(flags[3].last),
        ]
        with m.If(go):
            m.d.sync += [
                valid[0].eq(self.groups.valid),
                flags[0].write.eq(~group.tags.last_tile | (group.group <= self.tail_groups)),
                flags[0].first.eq(group.tags.op_first & group.first),
                flags[0].last.eq(group.tags.op_last & group.last),
            ]
            for stage in range(3):
                m.d.sync += [valid[stage + 1].eq(valid[stage]), flags[stage + 1].eq(flags[stage])]

        # Parameters: the pointer's move belongs to the output's first group.
        pointer = Signal((c.parameter_depth - 1).bit_length())
        base = Signal.like(pointer)
        m.d.comb += [
            self.parameters.enable.eq(go & self.groups.valid),
            self.parameters.address.eq(pointer),
        ]
        with m.If(group.first), m.Switch(group.tags.pointer):
            with m.Case(Pointer.REWIND):
                m.d.comb += self.parameters.address.eq(base)
            with m.Case(Pointer.RESET):
                m.d.comb += self.parameters.address.eq(0)
        with m.If(self.parameters.enable):
            m.d.sync += pointer.eq(self.parameters.address + 1)
            with m.If(group.first & ((group.tags.pointer == Pointer.REBASE) | (group.tags.pointer == Pointer.RESET))):
                m.d.sync += base.eq(self.parameters.address)

        product_bits = c.acc_bits + MULTIPLIER_BITS
        for r in range(c.requantisers):
            parameter = self.parameters.data[r]
            accumulated = Signal(signed(c.acc_bits), name=f"accumulated_{r}")
            product = Signal(signed(min(product_bits, SUM_BITS)), name=f"product_{r}")
            bias = Signal(signed(SUM_BITS), name=f"bias_{r}")
            shift = [Signal(SHIFT_BITS, name=f"shift_{r}_{k}") for k in range(2)]
            total = Signal(signed(SUM_BITS), name=f"total_{r}")
            shifted = total >> shift[1]
            with m.If(go):
                m.d.sync += [
                    accumulated.eq(group.sums[r]),
                    product.eq(accumulated * parameter.multiplier),
                    bias.eq(parameter.bias),
                    shift[0].eq(parameter.shift),
                    total.eq(product + bias),
                    shift[1].eq(shift[0]),
                    self.activations.payload.values[r].eq(
                        Mux(shifted < self.minimum, self.minimum, Mux(shifted > self.maximum, self.maximum, shifted))
                    ),
                ]
        return m

"""Capture: takes an output's sums from the lanes at once and hands them on in groups; the next output can start."""

from typing import Any

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from sterna.gateware.control.tags import output_tags
from sterna.spec.configuration import Configuration


def sum_group(configuration: Configuration) -> data.StructLayout:
    """``requantisers`` neighbouring sums of one output, and the output's tags and what follows from the one before."""
    return data.StructLayout({
        "sums": data.ArrayLayout(signed(configuration.acc_bits), configuration.requantisers),
        "tags": output_tags(),
        "plane_first": 1,
        "rewind": 1,  # a pixel's first: the parameters begin again
        "first": 1,  # first and last group of the output
        "last": 1,
        "group": range(max(2, configuration.pe // configuration.requantisers)),
    })  # fmt: skip


class Capture(wiring.Component):
    """Shift register of ``pe`` sums, loaded in one cycle, emptied ``requantisers`` a cycle, lane 0 first.

    ``load`` is taken when ``ready``: while empty, or in the cycle in which the last group leaves.
    """

    def __init__(self, *, configuration: Configuration):
        self.configuration = c = configuration
        super().__init__({
            "load": In(1),
            "ready": Out(1),
            "sums": In(data.ArrayLayout(signed(c.acc_bits), c.pe)),
            "tags": In(output_tags()),
            "groups": Out(stream.Signature(sum_group(c))),
        })  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        c = self.configuration
        count = c.pe // c.requantisers
        held = Signal(data.ArrayLayout(signed(c.acc_bits), c.pe), reset_less=True)
        tags = Signal(output_tags(), init={"plane_last": 1, "last_tile": 1})
        plane_first, rewind = Signal(reset_less=True), Signal(reset_less=True)
        group = Signal(range(max(2, count)))
        first = Signal(reset_less=True)
        valid, last = Signal(), Signal()  # flip-flops, because `ready` holds up the whole pipeline before it
        leaving = self.groups.valid & self.groups.ready
        m.d.comb += [
            self.groups.valid.eq(valid),
            self.groups.payload.tags.eq(tags),
            self.groups.payload.plane_first.eq(plane_first),
            self.groups.payload.rewind.eq(rewind),
            self.groups.payload.group.eq(group),
            self.groups.payload.first.eq(first),
            self.groups.payload.last.eq(last),
            self.ready.eq(~valid | (leaving & last)),
        ]
        m.d.comb += [self.groups.payload.sums[r].eq(held[r]) for r in range(c.requantisers)]
        with m.If(leaving):
            m.d.sync += [held[p].eq(held[p + c.requantisers]) for p in range(c.pe - c.requantisers)]
            m.d.sync += [group.eq(group + 1), first.eq(0), last.eq(group == count - 2)]
            with m.If(last):
                m.d.sync += [valid.eq(0), group.eq(0)]
        with m.If(self.load & self.ready):
            m.d.sync += [held.eq(self.sums), tags.eq(self.tags), first.eq(1), valid.eq(1)]
            m.d.sync += [plane_first.eq(tags.plane_last), rewind.eq(tags.plane_last & tags.last_tile)]
        return m

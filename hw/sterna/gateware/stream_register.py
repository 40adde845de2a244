"""Stream register: ends what goes through a stream in one cycle, both ways."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out


class StreamRegister(wiring.Component):
    """An item goes from ``i`` into a register, and from there to ``o``; all that either side sees are flip-flops.

    Latency: a cycle. Throughput: an item in two cycles.
    """

    def __init__(self, shape: Any):
        self.shape = shape
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        full = Signal()
        m.d.comb += [self.i.ready.eq(~full), self.o.valid.eq(full)]
        with m.If(full):
            m.d.sync += full.eq(~self.o.ready)
        with m.Else():
            m.d.sync += [full.eq(self.i.valid), self.o.payload.eq(self.i.payload)]
        return m

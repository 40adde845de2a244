"""Stream buffer: ends a path of ``ready`` through a pipeline."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out


class StreamBuffer(wiring.Component):
    """``i.ready`` is a flip-flop: what comes while ``o`` is not ready is held, and goes first.

    Latency: none while nothing is held. Throughput: one item a cycle.
    """

    def __init__(self, shape: Any):
        self.shape = shape
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        holding = Signal()
        held = Signal(self.shape)
        m.d.comb += [
            self.i.ready.eq(~holding),
            self.o.valid.eq(holding | self.i.valid),
            self.o.payload.eq(Mux(holding, held, self.i.payload)),
        ]
        m.d.sync += holding.eq(self.o.valid & ~self.o.ready)
        with m.If(~holding):
            m.d.sync += held.eq(self.i.payload)
        return m

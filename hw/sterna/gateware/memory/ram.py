"""One memory interface for every store of the core: one write port, one read port."""

from typing import Any

from amaranth.hdl import Module, ShapeLike
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out


class ReadPort(wiring.Signature):
    """As seen by the reader: ``data`` follows ``address`` one cycle after ``enable`` and holds while it is low."""

    def __init__(self, depth: int, shape: ShapeLike):
        super().__init__({"enable": Out(1), "address": Out((depth - 1).bit_length()), "data": In(shape)})


class WritePort(wiring.Signature):
    """As seen by the writer."""

    def __init__(self, depth: int, shape: ShapeLike):
        super().__init__({"enable": Out(1), "address": Out((depth - 1).bit_length()), "data": Out(shape)})


class Ram(wiring.Component):
    """Synchronous memory of ``depth`` words.

    Latency: data one cycle after ``read.enable``, held until the next. A read of a word written in the same cycle gives
    its old value. Contents at power-up are not defined and nothing may depend on them.
    Cost: block RAM of the part (iCE40: 4 kbit each, 256×16 … 2048×2).
    """

    def __init__(self, *, shape: ShapeLike, depth: int):
        self.shape = shape
        self.depth = depth
        super().__init__({"read": In(ReadPort(depth, shape)), "write": In(WritePort(depth, shape))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.memory = store = memory.Memory(shape=self.shape, depth=self.depth, init=[])
        write = store.write_port()
        read = store.read_port()
        m.d.comb += [
            write.en.eq(self.write.enable),
            write.addr.eq(self.write.address),
            write.data.eq(self.write.data),
            read.en.eq(self.read.enable),
            read.addr.eq(self.read.address),
            self.read.data.eq(read.data),
        ]
        return m

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

    Latency: data one cycle after ``read.enable``, held until the next. What a read of a word that is written in the
    same cycle gives is not defined, and neither are contents at power-up: nothing may depend on them.
    Cost: block RAM of the part (iCE40: 4 kbit each, 256×16 … 2048×2).
    """

    def __init__(self, *, shape: ShapeLike, depth: int):
        self.shape = shape
        self.depth = depth
        super().__init__({"read": In(ReadPort(depth, shape)), "write": In(WritePort(depth, shape))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        # Without the attribute yosys builds what block RAM does not do: the old value when read and written at once.
        m.submodules.memory = store = memory.Memory(
            shape=self.shape, depth=self.depth, init=[], attrs={"no_rw_check": 1}
        )
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

"""One memory interface for every store of the core: one write port, one read port."""

from typing import Any

from amaranth.hdl import Module, Shape, ShapeLike
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from sterna.gateware.memory.spram import SpramArray
from sterna.spec.configuration import Primitive


class ReadPort(wiring.Signature):
    """As seen by the reader: ``data`` follows ``address`` one cycle after ``enable`` and holds while it is low."""

    def __init__(self, depth: int, shape: ShapeLike):
        super().__init__({"enable": Out(1), "address": Out((depth - 1).bit_length()), "data": In(shape)})


class WritePort(wiring.Signature):
    """As seen by the writer."""

    def __init__(self, depth: int, shape: ShapeLike):
        super().__init__({"enable": Out(1), "address": Out((depth - 1).bit_length()), "data": Out(shape)})


def attributes(primitive: Primitive) -> dict[str, int | str]:
    """Of a memory that lies in ``BLOCK`` or ``LUT``."""
    # Without the first, yosys builds what block RAM does not do: the old value when read and written at once.
    return {"no_rw_check": 1} | ({"ram_style": "distributed"} if primitive is Primitive.LUT else {})


class Ram(wiring.Component):
    """Synchronous memory of ``depth`` words.

    Latency: data one cycle after ``read.enable``, held until the next. What a read of a word that is written in the
    same cycle gives is not defined, and neither are contents at power-up: nothing may depend on them.

    ``primitive`` says what holds the words. ``BLOCK``: block RAM of the part (iCE40: 4 kbit each, 256×16 … 2048×2;
    ECP5: 18 kbit, 512×36 … 16384×1). ``SPRAM``: UP5K's 256 kbit memories of 16384×16, which have one port: a cycle
    that writes cannot read, and leaves nothing defined at ``read.data`` until the next read. Whoever uses one takes
    what it has read, and reads nothing, in the cycles in which it writes.
    """

    def __init__(self, *, shape: ShapeLike, depth: int, primitive: Primitive = Primitive.BLOCK):
        self.shape = shape
        self.depth = depth
        self.primitive = primitive
        super().__init__({"read": In(ReadPort(depth, shape)), "write": In(WritePort(depth, shape))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        if self.primitive is Primitive.SPRAM:
            m.submodules.memory = array = SpramArray(width=Shape.cast(self.shape).width, depth=self.depth)
            m.d.comb += [
                array.write.eq(self.write.enable),
                array.read.eq(self.read.enable),
                array.write_address.eq(self.write.address),
                array.read_address.eq(self.read.address),
                array.write_data.eq(self.write.data),
                self.read.data.eq(array.read_data),
            ]
            return m
        m.submodules.memory = store = memory.Memory(
            shape=self.shape, depth=self.depth, init=[], attrs=attributes(self.primitive)
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

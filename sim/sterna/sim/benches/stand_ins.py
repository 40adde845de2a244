"""Small components with the accelerator's ports, for testing what lies around it: harness, runner, agents."""

from amaranth.hdl import Module, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

BYTES = {"rx": In(stream.Signature(8)), "tx": Out(stream.Signature(8))}


class Echo(wiring.Component):
    """Sends each byte XOR ``key``, in order, through a FIFO."""

    def __init__(self, *, key: int = 0) -> None:
        self._key = key
        super().__init__(BYTES)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.fifo = fifo = SyncFIFOBuffered(width=8, depth=16)
        m.d.comb += [
            fifo.w_data.eq(self.rx.payload ^ self._key), fifo.w_en.eq(self.rx.valid), self.rx.ready.eq(fifo.w_rdy),
            self.tx.payload.eq(fifo.r_data), self.tx.valid.eq(fifo.r_rdy), fifo.r_en.eq(self.tx.ready),
        ]  # fmt: skip
        return m


class Delay(wiring.Component):
    """Sends each byte back ``cycles`` cycles after it came."""

    def __init__(self, *, cycles: int) -> None:
        self._cycles = cycles
        super().__init__(BYTES)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        left = Signal(range(self._cycles + 1))
        held = Signal()
        m.d.comb += [self.rx.ready.eq(~held), self.tx.valid.eq(held & (left == 0))]
        with m.If(self.rx.valid & self.rx.ready):
            m.d.sync += [self.tx.payload.eq(self.rx.payload), held.eq(1), left.eq(self._cycles)]
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        with m.Elif(self.tx.valid & self.tx.ready):
            m.d.sync += held.eq(0)
        return m


class Remember(wiring.Component):
    """Sends, for each byte, the low bits of a memory's word at that address: its contents at power-up."""

    def __init__(self, width: int = 8) -> None:
        self._width = width
        super().__init__(BYTES)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = words = memory.Memory(shape=self._width, depth=256, init=[])
        port = words.read_port()
        words.write_port()
        full = Signal()
        m.d.comb += [
            port.addr.eq(self.rx.payload), self.rx.ready.eq(~full | self.tx.ready), port.en.eq(self.rx.ready),
            self.tx.valid.eq(full), self.tx.payload.eq(port.data),
        ]  # fmt: skip
        with m.If(self.rx.ready):
            m.d.sync += full.eq(self.rx.valid)
        return m


class Impatient(wiring.Component):
    """Breaks the rules of streams: drops ``tx.valid``, or changes the payload, in a cycle in which nobody was ready."""

    def __init__(self, *, drops: bool) -> None:
        self._drops = drops
        super().__init__(BYTES)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        tick = Signal(8)
        m.d.sync += tick.eq(tick + 1)
        m.d.comb += [self.rx.ready.eq(1), self.tx.valid.eq(tick[1] if self._drops else 1)]
        m.d.comb += self.tx.payload.eq(0 if self._drops else tick)
        return m

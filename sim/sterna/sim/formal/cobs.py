"""COBS: the decoder against the definition of the stuffing, from power-up and from any state."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal

from sterna.gateware.link.cobs import CobsDecoder
from sterna.sim.formal.opened import Opened
from sterna.sim.formal.property import Property, always, free, given, held, implies

FULL = 255
"""Code byte of a block that no zero follows."""


class CobsStuffing(Property):
    """Whatever bytes come, the decoder gives those of the definition and no others, each once, under any stall.

    The definition counts up: a block begins with its code byte c, and after c - 1 more bytes the next code byte is due;
    in its place leaves the zero that the block stood for, if c is not 255. A delimiter ends the frame, with ``error``
    if no code byte was due.
    """

    depth = 2

    def __init__(self, decoder: Any = CobsDecoder) -> None:
        super().__init__()
        self.decoder = decoder()

    def build(self, m: Module) -> None:
        i, o = self.decoder.i, self.decoder.o
        m.submodules.decoder = opened = Opened(self.decoder)
        free(m, i.valid, i.payload, o.ready)
        given(m, held(m, i, "i"))

        code, count = Signal(8, init=1), Signal(8)  # of the block; bytes of it that came after the code byte
        begun = Signal()
        due = count == code - 1
        delimiter = i.payload == 0
        zero = begun & due & (code != FULL)
        gives = Mux(delimiter, begun, ~due | zero)
        with m.If(i.valid & i.ready):
            m.d.sync += begun.eq(~delimiter)
            with m.If(delimiter):
                m.d.sync += [code.eq(1), count.eq(0)]
            with m.Elif(due):
                m.d.sync += [code.eq(i.payload), count.eq(0)]
            with m.Else():
                m.d.sync += count.eq(count + 1)
        always(m, o.valid == (i.valid & gives), i.ready == (o.ready | ~gives))
        always(m, held(m, o, "o"))
        always(m, implies(o.valid, o.payload.end == delimiter))
        always(m, implies(o.valid & delimiter, o.payload.error == ~due))
        always(m, implies(o.valid & ~delimiter, o.payload.data == Mux(due, 0, i.payload)))

        always(m, code != 0, count <= code - 1, implies(~begun, code == 1))
        always(m, opened["left"] == code - count, opened["begun"] == begun, opened["code"] == (opened["left"] == 1))
        always(m, opened["zero"] == (begun & (code != FULL)))


class CobsAnew(Property):
    """After a delimiter two decoders agree for ever, whatever states they were in before: nothing that came earlier
    has a say in what a frame decodes to."""

    depth = 2

    def __init__(self, decoder: Any = CobsDecoder) -> None:
        super().__init__()
        self.decoders = decoder(), decoder()

    def build(self, m: Module) -> None:
        one, other = self.decoders
        opened = [Opened(one), Opened(other)]
        m.submodules += opened
        agree = Signal()
        free(m, one.i.valid, one.i.payload, one.o.ready, other.i.valid, other.i.payload, other.o.ready)
        given(m, implies(agree, (one.i.valid == other.i.valid) & (one.i.payload == other.i.payload)
                         & (one.o.ready == other.o.ready)))  # fmt: skip
        ended = [each.i.valid & each.i.ready & (each.i.payload == 0) for each in self.decoders]
        with m.If(ended[0] & ended[1]):
            m.d.sync += agree.eq(1)
        with m.If(agree):
            always(m, one.o.valid == other.o.valid, one.i.ready == other.i.ready)
            always(m, implies(one.o.valid, one.o.payload == other.o.payload))
            always(m, *(opened[0][name] == opened[1][name] for name in ("left", "code", "zero", "begun")))

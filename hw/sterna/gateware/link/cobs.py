"""COBS (Cheshire and Baker 1999): byte stuffing that frees 0x00 to delimit frames."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out


def unstuffed_byte() -> data.StructLayout:
    """A byte of a frame, or its end; at the end ``data`` means nothing and ``error`` tells that it was cut short."""
    return data.StructLayout({"data": 8, "end": 1, "error": 1})


class CobsDecoder(wiring.Component):
    """Takes the stuffing out of a byte stream.

    A stuffed frame is a run of blocks: a code byte ``c``, then ``c - 1`` bytes other than 0x00, then, unless ``c`` is
    255 or the frame ends, one 0x00 that was left out. That zero leaves the decoder in place of the next code byte, so
    no byte that comes in gives more than one that goes out.

    Latency: none, ``o`` follows ``i`` in the same cycle. Throughput: one byte per cycle. Flow control: valid/ready
    both ways; ``ready`` passes through. Bad input: a delimiter inside a block ends the frame with ``error``; every
    delimiter starts anew. Frames without a single byte leave no trace. Cost: 34 LUT4, 11 FF on iCE40.

    Members
    -------
    i : ``In(stream(8))``
        Stuffed bytes; 0x00 ends a frame.
    o : ``Out(stream(unstuffed_byte))``
        Bytes of the frame, then one ``end``.
    """

    i: In(stream.Signature(8))
    o: Out(stream.Signature(unstuffed_byte()))

    def elaborate(self, platform: object) -> Module:
        m = Module()

        left = Signal(8, init=1)  # bytes of the block still to come, the next code byte counted
        zero = Signal()  # the block before the next code byte ended in a zero
        begun = Signal()  # something came since the last delimiter

        delimiter = Signal()
        code = Signal(init=1)  # left == 1
        emits = Signal()
        m.d.comb += [
            delimiter.eq(self.i.payload == 0),
            emits.eq(Mux(delimiter, begun, ~code | zero)),
            self.o.valid.eq(self.i.valid & emits),
            self.i.ready.eq(self.o.ready | ~emits),
            self.o.payload.data.eq(Mux(code, 0, self.i.payload)),
            self.o.payload.end.eq(delimiter),
            self.o.payload.error.eq(~code),
        ]

        with m.If(self.i.valid & self.i.ready):
            m.d.sync += begun.eq(~delimiter)
            with m.If(delimiter):
                m.d.sync += [left.eq(1), code.eq(1), zero.eq(0)]
            with m.Else():
                keep = Signal()
                m.d.comb += keep.eq(~code)  # a cell a bit: all ones are added unless a byte is loaded
                m.d.sync += [
                    left.eq(Mux(keep, left + keep.replicate(8), self.i.payload)),
                    code.eq(Mux(keep, left == 2, self.i.payload == 1)),
                ]
                with m.If(code):
                    m.d.sync += zero.eq(self.i.payload != 255)

        return m

"""Frames to the host: CRC appended, stuffed, delimited."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from sterna.gateware.link.crc import Crc32c
from sterna.gateware.link.layouts import response_byte
from sterna.spec.frames import CRC_BYTES

RING_BYTES = 512
LONGEST_BLOCK = 255
"""Bytes of a COBS block, its code included."""


class FrameTransmitter(wiring.Component):
    """Makes a frame of each content: ``encode_frame`` of ``sterna.spec.frames``.

    A block's code, its length, goes out before the block. So the block's bytes go into a ring as they come, behind a
    gap; at a zero, at the block's greatest length and at the frame's end the code is written into the gap and the
    block goes out. The zero itself is not written: its place is the next block's gap.

    Latency: a block's first byte leaves 3 cycles after its last came. Throughput: one byte in two cycles; 12 per
    frame on top. Flow control: valid/ready both ways; ``i`` stalls while the ring is full, which it is only while
    whole blocks wait for ``o``. Bad input: contents of any length are sent, their receiver drops what is out of range.
    Cost: 172 LUT4, 70 FF, 1 EBR on iCE40.

    Members
    -------
    i : ``In(stream(response_byte))``
        Contents, ``last`` at the end of each.
    o : ``Out(stream(8))``
        Bytes to the host.
    """

    i: In(stream.Signature(response_byte()))
    o: Out(stream.Signature(8))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.crc = crc = Crc32c()
        m.submodules.ring = ring = memory.Memory(shape=8, depth=RING_BYTES, init=[], attrs={"no_rw_check": 1})
        write, read = ring.write_port(), ring.read_port()

        # From `reader` up to `gap` the ring holds whole blocks; at `gap` there is room for the code of the block whose
        # bytes lie behind it, up to `writer`. Empty: reader = gap; full: reader = writer.
        pointer = range(RING_BYTES)
        reader, gap, writer = Signal(pointer), Signal(pointer), Signal(pointer, init=1)
        # What the pointers and the byte say stands in flip-flops, and counts in a cycle in which they have not moved.
        steady, room, longest = Signal(), Signal(), Signal()
        there, zero = Signal(), Signal()
        code = Signal(8)
        m.d.comb += code.eq(writer - gap)

        # A CRC register fed with its own low byte shifts that byte out, inverted as it is wanted.
        data = Signal(8)
        of_crc = Signal()
        m.d.comb += [data.eq(Mux(of_crc, crc.crc[:8], self.i.payload.data)), crc.data.eq(data ^ of_crc.replicate(8))]

        append, close = Signal(), Signal()
        free = steady & room
        m.d.comb += [write.en.eq(append | close), write.addr.eq(Mux(append, writer, gap))]
        m.d.sync += [
            steady.eq(~write.en),
            room.eq(writer != reader),
            longest.eq(code == LONGEST_BLOCK),
            there.eq(of_crc | self.i.valid),
            zero.eq(data == 0),
        ]
        with m.If(write.en):
            m.d.sync += writer.eq(writer + 1)
        with m.If(close):
            m.d.sync += gap.eq(writer)

        def put() -> None:
            """One byte of the frame, which the CRC takes when it is written; a full block delays that."""
            m.d.comb += [
                crc.valid.eq(free & there & ~longest),
                close.eq(free & (longest | (there & zero))),
                append.eq(crc.valid & ~zero),
                write.data.eq(Mux(close, code, data)),
            ]

        index = Signal(range(CRC_BYTES))
        with m.FSM():
            with m.State("CONTENT"):
                m.d.comb += self.i.ready.eq(crc.valid)
                put()
                with m.If(crc.valid & self.i.payload.last):
                    m.next = "CRC"
            with m.State("CRC"):
                m.d.comb += of_crc.eq(1)
                put()
                with m.If(crc.valid):
                    m.d.sync += index.eq(index + 1)
                    with m.If(index == CRC_BYTES - 1):
                        m.next = "CLOSE"
            with m.State("CLOSE"):
                m.d.comb += [crc.start.eq(1), close.eq(free), write.data.eq(code)]
                with m.If(free):
                    m.next = "DELIMITER"
            with m.State("DELIMITER"):
                m.d.comb += [close.eq(free), write.data.eq(0)]
                with m.If(free):
                    m.next = "CONTENT"

        unread = Signal()  # in a flip-flop: never in two cycles running
        m.d.sync += unread.eq((reader != gap) & ~read.en)
        with m.If(read.en):
            m.d.sync += reader.eq(reader + 1)
        with m.If(read.en | self.o.ready):
            m.d.sync += self.o.valid.eq(read.en)
        m.d.comb += [
            read.addr.eq(reader),
            read.en.eq(unread & (~self.o.valid | self.o.ready)),
            self.o.payload.eq(read.data),
        ]

        return m

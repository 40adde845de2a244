"""Frames from the host: unstuffed, checked, and only then shown."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from sterna.gateware.bounds import at_least
from sterna.gateware.link.cobs import CobsDecoder, unstuffed_byte
from sterna.gateware.link.crc import Crc32c
from sterna.gateware.link.layouts import received_byte
from sterna.gateware.stream_register import StreamRegister
from sterna.spec.frames import CRC_BYTES, MAX_CONTENT, WINDOW_BYTES, WINDOW_FRAMES

RING_BYTES = 1024
PREFIX_BYTES = 2
BEFORE_CONTENT = -CRC_BYTES % (1 << MAX_CONTENT.bit_length())
START_BYTES = 8 + CRC_BYTES
SPARE = 2
"""Bytes of the ring that stay free: one tells full from empty, one may be taken before a flip-flop tells of it."""
# While the first frame of a full window waits (a START, at worst), its bytes have left the ring; the others and the
# prefix of the frame after them must fit.
assert WINDOW_BYTES - START_BYTES + WINDOW_FRAMES * PREFIX_BYTES + SPARE <= RING_BYTES


class FrameReceiver(wiring.Component):
    """Finds whole frames in a byte stream: ``decode_frame`` of ``sterna.spec.frames``, delimiters found.

    The bytes of a frame go into a ring as they come, behind a gap of two bytes. If the frame ends with the right CRC
    and a length in range, the length is written into the gap and the frame becomes visible downstream; else the ring
    forgets it. So nothing downstream ever sees a damaged frame, and knows a frame's length from its first byte on.

    Latency: a frame's first byte leaves 9 cycles after its delimiter. Throughput: one byte in two cycles; about 6
    cycles per frame on top. Flow control: valid/ready both ways; ``i`` stalls while the ring is full, then only until
    ``o`` is taken: a frame that is still open never fills it. Bad input: frames with wrong stuffing, length or CRC are
    dropped and counted; the next delimiter starts anew. Cost: 305 LUT4, 180 FF, 2 EBR on iCE40.

    Members
    -------
    i : ``In(stream(8))``
        Bytes from the host.
    o : ``Out(stream(received_byte))``
        Contents of good frames, without CRC.
    good_frames, bad_frames : ``Out(32)``
        Frames kept and dropped since power-up, modulo 2**32.
    """

    i: In(stream.Signature(8))
    o: Out(stream.Signature(received_byte()))
    good_frames: Out(32)
    bad_frames: Out(32)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.decoder = decoder = CobsDecoder()
        m.submodules.crc = crc = Crc32c()
        m.submodules.ring = ring = memory.Memory(shape=8, depth=RING_BYTES, init=[], attrs={"no_rw_check": 1})
        write, read = ring.write_port(), ring.read_port()
        m.submodules.unstuffed = unstuffed = StreamRegister(unstuffed_byte())
        wiring.connect(m, wiring.flipped(self.i), decoder.i)
        wiring.connect(m, decoder.o, unstuffed.i)
        byte, byte_ready = unstuffed.o, Signal()
        m.d.comb += byte.ready.eq(byte_ready)

        # The ring holds, from `reader` on, whole frames as `length u16 · content · CRC`, up to `committed`; then the
        # open frame up to `writer`. At the end of a good frame the two pointers change places: the length is written
        # where the frame began, and the writer comes back to where it ended.
        pointer = range(RING_BYTES)
        reader = Signal(pointer)
        writer = Signal(pointer)
        committed = Signal(pointer)
        spare = Signal(pointer)
        room = Signal()
        advance, recall = Signal(), Signal()
        m.d.comb += [spare.eq(reader + ~writer), write.addr.eq(writer)]
        m.d.sync += room.eq(at_least(spare, SPARE) & ~recall)
        with m.If(recall):
            m.d.sync += writer.eq(committed)
        with m.Elif(advance):
            m.d.sync += writer.eq(writer + 1)

        # Content bytes so far. Starts below zero, so that the CRC does not count, and stays one above the maximum in
        # frames that are too long: their further bytes go nowhere.
        length = Signal(MAX_CONTENT.bit_length(), reset_less=True)
        too_long = Signal(reset_less=True)
        clear = Signal()  # before each frame
        m.d.comb += [crc.start.eq(clear), crc.data.eq(byte.payload.data)]
        with m.If(clear):
            m.d.sync += [length.eq(BEFORE_CONTENT), too_long.eq(0)]
        # Whether the frame is good if it ends: a cycle late, but no byte comes in the cycle after another.
        good = Signal()
        m.d.sync += good.eq(crc.matched & at_least(length, 2) & ~at_least(length, MAX_CONTENT + 1))

        publishing = Signal()  # the committed pointer runs ahead of the length
        with m.FSM():
            for state, following in (("GAP LOW", "GAP HIGH"), ("GAP HIGH", "TAKE")):
                with m.State(state):
                    m.d.comb += clear.eq(state == "GAP LOW")
                    with m.If(room):
                        m.d.comb += advance.eq(1)
                        m.next = following
            with m.State("TAKE"):
                m.d.comb += [
                    byte_ready.eq(room | too_long | byte.payload.end),
                    write.data.eq(byte.payload.data),
                ]
                with m.If(byte.valid):
                    with m.If(byte.payload.end):
                        m.d.comb += recall.eq(1)
                        with m.If(good & ~byte.payload.error):
                            m.d.sync += committed.eq(writer)
                            m.next = "LENGTH LOW"
                        with m.Else():
                            m.d.sync += self.bad_frames.eq(self.bad_frames + 1)
                            m.next = "GAP LOW"
                    with m.Elif(room & ~too_long):
                        m.d.comb += [advance.eq(1), write.en.eq(1), crc.valid.eq(1)]
                        m.d.sync += [length.eq(length + 1), too_long.eq(length == MAX_CONTENT)]
            with m.State("LENGTH LOW"):
                m.d.comb += [publishing.eq(1), advance.eq(1), write.en.eq(1), write.data.eq(length[:8])]
                m.next = "LENGTH HIGH"
            with m.State("LENGTH HIGH"):
                m.d.comb += [publishing.eq(1), recall.eq(1), write.en.eq(1), write.data.eq(length[8:])]
                m.d.sync += self.good_frames.eq(self.good_frames + 1)
                m.next = "GAP LOW"

        # The memory's output register is the output's register: `loaded` tells that a byte waits in it.
        loaded = Signal()
        left = Signal(len(self.o.payload.left), reset_less=True)
        take, took = Signal(), Signal()
        there = Signal()  # a byte to load, in a flip-flop: never in two cycles running
        m.d.sync += there.eq((reader != committed) & ~publishing & ~read.en)
        m.d.comb += [
            read.addr.eq(reader),
            read.en.eq(there & ~loaded),
            self.o.payload.data.eq(read.data),
            self.o.payload.left.eq(left),
            self.o.payload.last.eq(left == 1),
        ]
        m.d.sync += [loaded.eq(read.en | (loaded & ~take)), took.eq(take)]
        with m.If(read.en):
            m.d.sync += reader.eq(reader + 1)

        # What counts bytes moves a cycle after each was taken: none follows at once. `left` goes down by one, for a
        # cell a bit: all ones are added unless a byte is loaded.
        keep_low, keep_high = Signal(init=1), Signal(init=1)
        less = left + Cat(keep_low.replicate(8), keep_high.replicate(len(left) - 8))
        with m.If(took):
            m.d.sync += left[8:].eq(Mux(keep_high, less[8:], read.data))
        with m.If(took & keep_high):
            m.d.sync += left[:8].eq(Mux(keep_low, less[:8], read.data))

        content = Signal()  # the state in which bytes go out
        m.d.comb += [self.o.valid.eq(loaded & content), take.eq(loaded & (~content | self.o.ready))]
        with m.If(content & took & self.o.payload.last):
            m.d.sync += content.eq(0)
        with m.FSM():
            with m.State("LENGTH LOW"):
                m.d.comb += keep_low.eq(0)
                with m.If(took):
                    m.next = "LENGTH HIGH"
            with m.State("LENGTH HIGH"):
                m.d.comb += keep_high.eq(0)
                with m.If(took):
                    m.d.sync += content.eq(1)
                    m.next = "CRC"
            with m.State("CRC"):
                # After the content four bytes are dropped like those of the length.
                with m.If(~content & took & (left[:2] == (1 - CRC_BYTES) % 4)):
                    m.next = "LENGTH LOW"

        return m

"""Scanner: walks the windows of all banks at once and reads their masks."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from sterna.gateware.memory.ram import ReadPort
from sterna.spec.configuration import CHUNK, Configuration
from sterna.spec.descriptors import PLANE_FIELDS, Pointer

OFFSET_BITS = (CHUNK - 1).bit_length()


def output_request(configuration: Configuration) -> data.StructLayout:
    """One output to accumulate: where its window begins, how it is walked, what the weight and mask pointers do.

    Counts are stored minus one, as in the descriptor.
    """
    return data.StructLayout({
        "word": (configuration.activation_depth - 1).bit_length(),
        "pointer": max(Pointer).bit_length(),
        "rows": PLANE_FIELDS["rows"].width,
        "chunks": PLANE_FIELDS["chunks"].width,
        "tail": PLANE_FIELDS["tail"].width,
        "pitch": (configuration.activation_depth - 1).bit_length(),
    })  # fmt: skip


def fetched_chunk(configuration: Configuration) -> data.StructLayout:
    """A chunk whose masks stand at the memories' outputs, the same for all feeders.

    ``half``: only the lower half of an unaligned window row; it is kept and gives no chunk of its own.
    """
    return data.StructLayout({
        "half": 1,
        "word": (configuration.activation_depth - 1).bit_length(),
        "positions": CHUNK,  # those of the window: all but in a row's last chunk
        "last": 1,  # of the output
        "pointer": max(Pointer).bit_length(),
    })  # fmt: skip


class Scanner(wiring.Component):
    """For each output, the chunks of its window rows, one a cycle; all banks have them at the same addresses.

    A window may begin at any word: the feeders then shift each activation mask together from two words, of which the
    row's first costs a read of its own. The mask pointer runs through an output's planes and tiles and rewinds as
    ``Pointer`` says. Reading ahead goes on over the end of an output, so its few cycles of latency do not show.

    Latency: two cycles from request to the first chunk. Throughput: one chunk a cycle. Flow: valid/ready at both ends;
    the memories hold their data while a chunk waits.
    """

    def __init__(self, *, configuration: Configuration):
        self.configuration = c = configuration
        super().__init__({
            "outputs": In(stream.Signature(output_request(c))),
            "activation_masks": Out(ReadPort(c.activation_depth // CHUNK, 0)),
            "block_masks": Out(ReadPort(c.mask_depth, 0)),
            "chunks": Out(stream.Signature(fetched_chunk(c))),
        })  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        c = self.configuration
        busy = Signal()
        word = Signal((c.activation_depth - 1).bit_length())
        row_word = Signal.like(word)
        rows_left = Signal(PLANE_FIELDS["rows"].width)
        chunks, chunks_left = Signal(PLANE_FIELDS["chunks"].width), Signal(PLANE_FIELDS["chunks"].width)
        tail = Signal(PLANE_FIELDS["tail"].width)
        pitch = Signal.like(word)
        pointer = Signal(Pointer)
        halfway = Signal()  # the lower half of this unaligned row is read
        mask_pointer = Signal((c.mask_depth - 1).bit_length())
        mask_base = Signal.like(mask_pointer)  # where the op began

        unaligned = word[:OFFSET_BITS].any()
        half = unaligned & ~halfway
        row_end = chunks_left == 0
        scan = Signal()
        m.d.comb += [
            scan.eq(busy & (~self.chunks.valid | self.chunks.ready)),
            self.outputs.ready.eq(~busy),
            self.activation_masks.enable.eq(scan),
            self.activation_masks.address.eq(word[OFFSET_BITS:] + (unaligned & halfway)),
            self.block_masks.enable.eq(scan & ~half),
            self.block_masks.address.eq(mask_pointer),
        ]
        with m.If(~busy):
            request = self.outputs.payload
            m.d.sync += [
                busy.eq(self.outputs.valid),
                halfway.eq(0),
                word.eq(request.word),
                row_word.eq(request.word),
                pointer.eq(request.pointer),
                rows_left.eq(request.rows),
                chunks.eq(request.chunks),
                chunks_left.eq(request.chunks),
                tail.eq(request.tail),
                pitch.eq(request.pitch),
            ]
            with m.If(self.outputs.valid), m.Switch(request.pointer):
                with m.Case(Pointer.REWIND):
                    m.d.sync += mask_pointer.eq(mask_base)
                with m.Case(Pointer.REBASE):
                    m.d.sync += mask_base.eq(mask_pointer)
                with m.Case(Pointer.RESET):
                    m.d.sync += [mask_pointer.eq(0), mask_base.eq(0)]
        with m.If(scan):
            m.d.sync += halfway.eq(half | (unaligned & ~row_end))
            with m.If(~half):
                m.d.sync += [mask_pointer.eq(mask_pointer + 1), pointer.eq(Pointer.CONTINUE)]
                with m.If(row_end):
                    m.d.sync += [
                        row_word.eq(row_word + pitch),
                        word.eq(row_word + pitch),
                        chunks_left.eq(chunks),
                        rows_left.eq(rows_left - 1),
                        busy.eq(rows_left != 0),
                    ]
                with m.Else():
                    m.d.sync += [word.eq(word + CHUNK), chunks_left.eq(chunks_left - 1)]

        chunk = self.chunks.payload
        with m.If(~self.chunks.valid | self.chunks.ready):
            m.d.sync += [
                self.chunks.valid.eq(scan),
                chunk.half.eq(half),
                chunk.word.eq(word),
                chunk.positions.eq(Mux(row_end, (2 << tail) - 1, (1 << CHUNK) - 1)),
                chunk.last.eq(row_end & (rows_left == 0)),
                chunk.pointer.eq(pointer),
            ]
        return m

"""Scanner: walks the windows of all banks at once and reads their masks."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from sterna.gateware.memory.ram import ReadPort
from sterna.spec.configuration import CHUNK, Configuration
from sterna.spec.descriptors import PLANE_FIELDS
from sterna.spec.limits import bits, plane_limits

OFFSET_BITS = (CHUNK - 1).bit_length()


def output_request(configuration: Configuration) -> data.StructLayout:
    """One output to accumulate: where its window begins, how it is walked, whether weights and masks begin again.

    Counts are stored minus one, as in the descriptor.
    """
    return data.StructLayout({
        "word": (configuration.activation_depth - 1).bit_length(),
        "rewind": 1,
        "rows": PLANE_FIELDS["rows"].width,
        "chunks": bits(plane_limits(configuration)["chunks"]),
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
        "rewind": 1,  # the weights begin again
    })  # fmt: skip


class Scanner(wiring.Component):
    """For each output, the chunks of its window rows, one a cycle; all banks have them at the same addresses.

    A window may begin at any word: the feeders then shift each activation mask together from two words, of which the
    row's first costs a read of its own. Block masks are read in order, from ``first_mask`` on with an output that
    rewinds. Reading ahead goes on over the end of an output, so its few cycles of latency do not show.

    Latency: two cycles from request to the first chunk. Throughput: one chunk a cycle. Flow: valid/ready at both ends;
    the memories hold their data while a chunk waits.
    """

    def __init__(self, *, configuration: Configuration):
        self.configuration = c = configuration
        super().__init__({
            "outputs": In(stream.Signature(output_request(c))),
            "first_mask": In((c.mask_depth - 1).bit_length()),
            "activation_masks": Out(ReadPort(c.activation_depth // CHUNK, 0)),
            "block_masks": Out(ReadPort(c.mask_depth, 0)),
            "chunks": Out(stream.Signature(fetched_chunk(c))),
        })  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        c = self.configuration
        request = self.outputs.payload
        busy = Signal()
        word = Signal((c.activation_depth - 1).bit_length(), reset_less=True)
        row_word = Signal.like(word)
        rows_left = Signal(PLANE_FIELDS["rows"].width, reset_less=True)
        chunks = Signal.like(request.chunks, reset_less=True)
        chunks_left = Signal.like(chunks)
        tail = Signal(PLANE_FIELDS["tail"].width, reset_less=True)
        pitch = Signal.like(word)
        rewind = Signal(reset_less=True)
        halfway = Signal()  # the lower half of this unaligned row is read
        mask_pointer = Signal((c.mask_depth - 1).bit_length(), reset_less=True)

        unaligned = word[:OFFSET_BITS].any()
        half = unaligned & ~halfway
        row_end = chunks_left == 0
        # What hangs on the pace of the feeders comes last in each term.
        ready = self.chunks.ready
        free, moves, counts = Signal(), Signal(), Signal()
        whole = busy & ~half
        rewinds = ~busy & self.outputs.valid & request.rewind
        m.d.comb += [
            free.eq(~self.chunks.valid | ready),
            moves.eq((~busy | (~half & ~self.chunks.valid)) | (~half & ready)),
            counts.eq((rewinds | (whole & ~self.chunks.valid)) | (whole & ready)),
            self.outputs.ready.eq(~busy),
            self.activation_masks.enable.eq(busy & free),
            self.activation_masks.address.eq(word[OFFSET_BITS:] + (unaligned & halfway)),
            self.block_masks.enable.eq(whole & free),
            self.block_masks.address.eq(mask_pointer),
        ]
        # Registers that load or count: subtracting the bit that chooses puts both into the cells of the carry chain.
        on = Signal()  # to the next chunk of this row
        start = Signal.like(word)  # of the next row
        lower, upper = word[:OFFSET_BITS], word[OFFSET_BITS:]
        m.d.comb += [on.eq(busy & ~row_end), start.eq(Mux(busy, row_word + pitch, request.word))]
        with m.If(~busy):
            m.d.sync += [
                busy.eq(self.outputs.valid),
                halfway.eq(0),
                rewind.eq(request.rewind),
                chunks.eq(request.chunks),
                tail.eq(request.tail),
                pitch.eq(request.pitch),
            ]
        with m.If(busy & free):
            m.d.sync += halfway.eq(half | (unaligned & ~row_end))
            with m.If(~half):
                m.d.sync += rewind.eq(0)
                with m.If(row_end):
                    m.d.sync += busy.eq(rows_left != 0)
        with m.If(counts):
            m.d.sync += mask_pointer.eq(Mux(busy, mask_pointer - busy.replicate(len(mask_pointer)), self.first_mask))
        with m.If(moves):
            m.d.sync += [
                upper.eq(Mux(on, upper - on.replicate(len(upper)), start[OFFSET_BITS:])),
                chunks_left.eq(
                    Mux(on, chunks_left + on.replicate(len(chunks_left)), Mux(busy, chunks, request.chunks))
                ),
            ]
            with m.If(~on):
                m.d.sync += [
                    lower.eq(start),
                    row_word.eq(start),
                    rows_left.eq(Mux(busy, rows_left + busy.replicate(len(rows_left)), request.rows)),
                ]

        chunk = self.chunks.payload
        with m.If(free):
            m.d.sync += [
                self.chunks.valid.eq(busy),
                chunk.half.eq(half),
                chunk.word.eq(word),
                chunk.positions.eq(Mux(row_end, (2 << tail) - 1, (1 << CHUNK) - 1)),
                chunk.last.eq(row_end & (rows_left == 0)),
                chunk.rewind.eq(rewind),
            ]
        return m

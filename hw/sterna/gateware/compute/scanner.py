"""Scanner: walks the windows of all banks at once and reads their masks."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from sterna.gateware.arithmetic import down_or, up_or
from sterna.gateware.kept import KEPT
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
    ``shift``: of the masks of this memory word and, before it, all but the first of the word before, which its are.
    """
    return data.StructLayout({
        "half": 1,
        "word": (configuration.activation_depth - 1).bit_length(),
        "shift": OFFSET_BITS,
        "positions": CHUNK,  # those of the window: all but in a row's last chunk
        "last": 1,  # of the output
        "rewind": 1,  # the weights begin again
    })  # fmt: skip


class Scanner(wiring.Component):
    """For each output, the chunks of its window rows, one a cycle; all banks have them at the same addresses.

    A window may begin at any word: the feeders then shift each activation mask together from two words, of which the
    row's first costs a read of its own (unless activations are not skipped). Block masks are read in order, from
    ``first_mask`` on with an output that rewinds. Reading ahead goes on over the end of an output, so its few cycles of
    latency do not show.

    Latency: two cycles from request to the first chunk. Throughput: one chunk a cycle. Flow: moves only while
    ``chunks`` is ready, which may not wait for what comes; the memories hold their data meanwhile.
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
        mask_pointer = Signal((c.mask_depth - 1).bit_length(), reset_less=True)
        # What is true of `word`, `chunks_left`, `rows_left` and `chunks`, in flip-flops beside them: what the walk does
        # next hangs on all of these, and on the pace of the feeders.
        unaligned = Signal(reset_less=True)  # the row
        half = Signal(reset_less=True)  # nothing of this unaligned row is read yet
        row_end = Signal(reset_less=True)
        last_row = Signal(reset_less=True)
        single = Signal(reset_less=True)  # chunk in each row

        whole = Signal(attrs=KEPT)
        m.d.comb += whole.eq(busy & ~half)
        # The pace of the feeders comes late, so that all registers are enabled by what would be with it and without.
        ready = self.chunks.ready
        names = "rewinds", "counts", "moves", "turns", "ends"
        rewinds, counts, moves, turns, ends = (Signal(name=name, attrs=KEPT) for name in names)
        m.d.comb += [
            rewinds.eq(~busy & self.outputs.valid & request.rewind),
            counts.eq(rewinds | whole),
            moves.eq(~busy | whole),
            turns.eq(~busy | (whole & row_end)),
            ends.eq(whole & row_end & last_row),
            self.outputs.ready.eq(~busy),
            self.activation_masks.enable.eq(busy & ready),
            self.activation_masks.address.eq(word[OFFSET_BITS:] + (unaligned & ~half)),
            self.block_masks.enable.eq(busy & ready),
            self.block_masks.address.eq(mask_pointer),
        ]
        on = Signal()  # to the next chunk of this row
        elsewhere = Signal(attrs=KEPT)
        start = Signal.like(word)  # of the next row
        lower, upper = word[:OFFSET_BITS], word[OFFSET_BITS:]
        m.d.comb += [on.eq(busy & ~row_end), elsewhere.eq(~on), start.eq(Mux(busy, row_word + pitch, request.word))]
        m.d.sync += busy.eq(Mux(busy, ~(ready & ends), self.outputs.valid))
        with m.If(~busy):
            m.d.sync += [
                chunks.eq(request.chunks),
                single.eq(request.chunks == 0),
                tail.eq(request.tail),
                pitch.eq(request.pitch),
            ]
        # Without a reset and an enable, which synthesis would make of `turns` and a row's second cycle: two cells more
        # behind what comes late.
        begins_half, half_moving, half_held = Signal(), Signal(attrs=KEPT), Signal(attrs=KEPT)
        m.d.comb += [
            begins_half.eq(start[:OFFSET_BITS].any() & c.activation_skip),
            half_moving.eq(turns & begins_half),
            half_held.eq((busy & half) | (~busy & begins_half)),
        ]
        m.d.sync += half.eq((ready & half_moving) | (~ready & half_held))
        with m.If(Mux(ready, counts, rewinds)):
            m.d.sync += mask_pointer.eq(up_or(~busy, self.first_mask, mask_pointer))
        row_turns = Signal(attrs=KEPT)  # `turns`, or what there is without the pace, from flip-flops
        m.d.comb += row_turns.eq(~busy | (ready & ~half & row_end))
        with m.If(Mux(ready, moves, ~busy)):
            m.d.sync += [
                rewind.eq(~busy & request.rewind),
                upper.eq(up_or(elsewhere, start[OFFSET_BITS:], upper)),
                chunks_left.eq(down_or(on, chunks_left, Mux(busy, chunks, request.chunks))),
                row_end.eq(Mux(on, chunks_left == 1, Mux(busy, single, request.chunks == 0))),
            ]
        with m.If(row_turns):
            m.d.sync += [
                lower.eq(start),
                unaligned.eq(begins_half),
                row_word.eq(start),
                rows_left.eq(down_or(busy, rows_left, request.rows)),
                last_row.eq(Mux(busy, rows_left == 1, request.rows == 0)),
            ]

        chunk = Signal(self.chunks.payload.shape(), reset_less=True)
        m.d.comb += self.chunks.payload.eq(chunk)
        with m.If(ready):
            m.d.sync += [
                self.chunks.valid.eq(busy),
                chunk.half.eq(half),
                chunk.word.eq(word),
                chunk.shift.eq(lower - 1),
                chunk.positions.eq(Mux(row_end, (2 << tail) - 1, (1 << CHUNK) - 1)),
                chunk.last.eq(row_end & last_row),
                chunk.rewind.eq(rewind),
            ]
        return m

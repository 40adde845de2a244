"""Scanner: which chunks it gives of an output's window, and which masks stand at the memories meanwhile."""

from dataclasses import replace
from typing import Any

from amaranth.hdl import Module, Mux, Signal

from sterna.gateware.compute.scanner import OFFSET_BITS, Scanner, output_request
from sterna.sim.formal.opened import Opened
from sterna.sim.formal.property import Property, always, constant, free, given, held, implies
from sterna.spec.configuration import CHUNK, Configuration

CONFIGURATION = Configuration(
    name="scanner", simd=1, pe=4, weight_depth=16, mask_depth=16, activation_depth=32, parameter_depth=16,
)  # fmt: skip


class ScannerWalk(Property):
    """Of each output, in the order of requests, every chunk of every row once and in order; an unaligned row is led by
    its half chunk. Chunk k of row r begins at ``word + r · pitch + k · CHUNK``, its activation masks come from that
    address, its block mask from the address after that of the chunk before, or from ``first_mask`` at a rewind. While a
    chunk waits, its masks stay. Without ``activation_skip`` there are no half chunks.
    """

    depth = 2

    def __init__(self, scanner: Any = Scanner, *, activation_skip: bool = True) -> None:
        super().__init__()
        self.skips = activation_skip
        self.scanner = scanner(configuration=replace(CONFIGURATION, activation_skip=activation_skip))

    def build(self, m: Module) -> None:
        s = self.scanner
        m.submodules.scanner = opened = Opened(s)
        free(m, s.outputs.valid, s.outputs.payload, s.chunks.ready)
        constant(m, s.first_mask)
        given(m, held(m, s.outputs, "outputs"))
        chunk = s.chunks.payload
        accepted, taken = s.outputs.valid & s.outputs.ready, s.chunks.valid & s.chunks.ready

        # The request whose chunks come out, how far they are, and the request behind it, of which nothing came yet.
        layout = output_request(CONFIGURATION)
        front = Signal(layout)
        back = Signal(layout)
        front_valid, back_valid = Signal(), Signal()
        row, column = Signal.like(front.rows), Signal.like(front.chunks)
        halfway = Signal()
        mask = Signal.like(s.first_mask)
        place = self._place(
            front, row, column, halfway, Mux(front.rewind & (row == 0) & (column == 0), s.first_mask, mask)
        )
        final = ~place.half & (row == front.rows) & (column == front.chunks)
        row_end = column == front.chunks
        with m.If(taken):
            m.d.sync += halfway.eq(place.half)
            with m.If(~place.half):
                m.d.sync += [mask.eq(place.mask + 1), column.eq(Mux(row_end, 0, column + 1)), row.eq(row + row_end)]
        with m.If(taken & final):
            m.d.sync += [front.eq(back), front_valid.eq(back_valid), back_valid.eq(0), row.eq(0)]
        with m.If(accepted):
            with m.If(front_valid & ~(taken & final)):
                m.d.sync += [back.eq(s.outputs.payload), back_valid.eq(1)]
            with m.Else():
                m.d.sync += [front.eq(s.outputs.payload), front_valid.eq(1)]

        activation_read, block_read = Signal.like(s.activation_masks.address), Signal.like(s.block_masks.address)
        with m.If(s.activation_masks.enable):
            m.d.sync += activation_read.eq(s.activation_masks.address)
        with m.If(s.block_masks.enable):
            m.d.sync += block_read.eq(s.block_masks.address)

        late = Signal()  # there was a request, and it was asked for a chunk
        m.d.sync += late.eq(front_valid & ~s.chunks.valid & s.chunks.ready)
        always(m, held(m, s.chunks, "chunks"), implies(s.chunks.valid, front_valid), implies(late, s.chunks.valid))
        always(m, implies(accepted, ~back_valid), implies(~front_valid, s.outputs.ready))
        with m.If(s.chunks.valid):
            always(m, chunk.half == place.half, chunk.word == place.word)
            always(m, chunk.shift == (place.word - 1)[:OFFSET_BITS])
            always(m, activation_read == place.activation_word)
            with m.If(~chunk.half):
                always(m, chunk.positions == Mux(row_end, (2 << front.tail) - 1, (1 << CHUNK) - 1))
                always(m, chunk.last == final, chunk.rewind == (front.rewind & (row == 0) & (column == 0)))
                always(m, block_read == place.mask)

        # The walk is at the chunk behind the one that waits at the output.
        always(m, row <= front.rows, column <= front.chunks, implies(halfway, place.unaligned & (column == 0)))
        always(m, implies(back_valid, front_valid & s.chunks.valid & final))
        always(m, implies(~front_valid, (row == 0) & (column == 0) & ~halfway))
        following = self._place(
            front, Mux(row_end & ~place.half, row + 1, row)[: len(row)],
            Mux(place.half, column, Mux(row_end, 0, column + 1))[: len(column)], place.half,
            Mux(place.half, place.mask, place.mask + 1)[: len(mask)],
        )  # fmt: skip
        start = self._place(back, 0, 0, 0, Mux(back.rewind, s.first_mask, place.mask + 1)[: len(mask)])
        busy = opened["busy"]
        with m.If(~s.chunks.valid):
            always(m, busy == front_valid)
            with m.If(busy):
                _at(m, opened, place)
        with m.Elif(final):
            always(m, busy == back_valid)
            with m.If(busy):
                _at(m, opened, start)
        with m.Else():
            always(m, busy)
            _at(m, opened, following)
        with m.If(~busy):
            always(m, opened["mask_pointer"] == Mux(s.chunks.valid, place.mask + 1, mask)[: len(mask)])

    def _place(self, request: Any, row: Any, column: Any, halfway: Any, mask: Any) -> "_Place":
        return _Place(request, row, column, halfway, mask, self.skips)


class _Place:
    """A chunk of a request, and whether the half before it came."""

    def __init__(self, request: Any, row: Any, column: Any, halfway: Any, mask: Any, skips: bool) -> None:
        bits = len(request.word)
        self.request, self.row, self.column, self.mask = request, row, column, mask
        self.row_word = (request.word + row * request.pitch)[:bits]
        self.word = (self.row_word + column * CHUNK)[:bits]
        self.unaligned = (self.word[:OFFSET_BITS] != 0) & skips
        self.half = self.unaligned & (column == 0) & (halfway == 0)
        self.activation_word = (self.word[OFFSET_BITS:] + (self.unaligned & ~self.half))[: bits - OFFSET_BITS]


def _at(m: Module, opened: Opened, place: _Place) -> None:
    """The walk's registers stand at ``place``."""
    request = place.request
    always(m, opened["row_word"] == place.row_word, opened["word"] == place.word)
    always(m, opened["rows_left"] == request.rows - place.row, opened["chunks_left"] == request.chunks - place.column)
    always(m, opened["chunks"] == request.chunks, opened["tail"] == request.tail, opened["pitch"] == request.pitch)
    always(m, opened["rewind"] == (request.rewind & (place.row == 0) & (place.column == 0)))
    always(m, opened["half"] == place.half, opened["unaligned"] == place.unaligned)
    always(m, opened["row_end"] == (place.column == request.chunks), opened["last_row"] == (place.row == request.rows))
    always(m, opened["single"] == (request.chunks == 0), opened["mask_pointer"] == place.mask)

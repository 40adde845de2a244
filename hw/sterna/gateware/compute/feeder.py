"""Feeder: turns one bank's masks into the addresses of the blocks that have to be issued."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from sterna.gateware.memory.ram import ReadPort
from sterna.spec.configuration import CHUNK, Configuration
from sterna.spec.descriptors import PLANE_FIELDS, Pointer

OFFSET_BITS = (CHUNK - 1).bit_length()
COUNT_BITS = CHUNK.bit_length()


def output_request(configuration: Configuration) -> data.StructLayout:
    """One output to accumulate: activation word of its window, and what its pointers do (:class:`Pointer`)."""
    return data.StructLayout({"word": (configuration.activation_depth - 1).bit_length(), "pointer": Pointer_bits})


Pointer_bits = unsigned(max(Pointer).bit_length())


def walk_layout(configuration: Configuration) -> data.StructLayout:
    """How a plane's windows are walked; counts are stored minus one, as in the descriptor."""
    return data.StructLayout({
        "rows": PLANE_FIELDS["rows"].width,
        "chunks": PLANE_FIELDS["chunks"].width,
        "tail": PLANE_FIELDS["tail"].width,
        "pitch": (configuration.activation_depth - 1).bit_length(),
    })  # fmt: skip


def _population(bits: Any) -> Any:
    return sum(bits[1:], bits[0])


class Feeder(wiring.Component):
    """Walks the windows of one bank and issues each position whose activation and block are both non-zero.

    For each output it reads the masks of ``rows`` window rows of ``chunks`` chunks. A chunk is issued lowest position
    first, one a cycle, ``activation mask AND block mask``; an empty chunk takes one cycle. The weight pointer advances
    by the population count of the block mask, so zero blocks take no storage and no pointer table; both pointers go on
    through an output's planes and tiles and rewind as ``Pointer`` says. Windows may begin at any word: the activation
    mask is then shifted together from two words, which costs one more read per window row.

    Two chunks are held between mask memories and issue (``fetched`` and ``current``), so reading ahead goes on over the
    end of an output. At that end the feeder waits (``complete``) until all feeders have come there (``advance``).

    Flow: issue and the stages behind it move with ``step``. ``blocks.address`` and ``activations.address`` come two
    cycles after the decision, with ``enable`` in the same cycle; ``present`` accompanies the data read.
    Throughput: one issue, or one empty chunk, a cycle. Sources: zero-skip masks, SparTen (Gondimalla 2019).
    """

    def __init__(self, *, configuration: Configuration):
        self.configuration = c = configuration
        super().__init__({
            "outputs": In(stream.Signature(output_request(c))),
            "walk": In(walk_layout(c)),
            "no_activation_skip": In(1),
            "no_block_skip": In(1),
            "activation_masks": Out(ReadPort(c.activation_depth // CHUNK, CHUNK)),
            "block_masks": Out(ReadPort(c.mask_depth, CHUNK)),
            # decision
            "step": In(1),
            "advance": In(1),
            "complete": Out(1),   # nothing is left of this output after this cycle
            "holding": Out(1),    # a chunk is current
            "issuing": Out(1),    # a position is chosen (and taken if step)
            # a cycle later: the address stage
            "read": Out(1),
            "block": Out((c.weight_depth - 1).bit_length()),
            "word": Out((c.activation_depth - 1).bit_length()),
            "present": Out(1),    # the block is stored; else it counts as zeros
            # counters: chunk entered, its positions and stored blocks
            "entered": Out(1),
            "positions": Out(COUNT_BITS),
            "stored": Out(COUNT_BITS),
            "scanning": Out(1),
        })  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        # Why two pointers each: `_base` remembers where the op began, so that every pixel can rewind there; the end of
        # one op is the start of the next, and no descriptor needs an address.
        m = Module()
        c = self.configuration
        word_shape = (c.activation_depth - 1).bit_length()

        # Scan: which mask words to read.
        busy = Signal()
        word = Signal(word_shape)
        row_word = Signal(word_shape)
        rows_left = Signal(PLANE_FIELDS["rows"].width)
        chunks_left = Signal(PLANE_FIELDS["chunks"].width)
        first = Signal()  # no chunk of this output read yet
        halfway = Signal()  # lower half of an unaligned row is read
        pointer = Signal(Pointer)
        mask_pointer = Signal((c.mask_depth - 1).bit_length())
        mask_base = Signal.like(mask_pointer)

        fetched = Signal()
        fetched_half = Signal()  # only the lower half of an unaligned row: never becomes current
        fetched_word = Signal(word_shape)
        fetched_row_end = Signal()
        fetched_last = Signal()
        fetched_pointer = Signal(Pointer)
        fetched_ready = Signal()

        unaligned = word[:OFFSET_BITS].any()
        half = unaligned & ~halfway
        scan = Signal()
        row_end = Signal()
        m.d.comb += [
            scan.eq(busy & fetched_ready),
            row_end.eq(chunks_left == 0),
            self.scanning.eq(busy),
            self.outputs.ready.eq(~busy),
            self.activation_masks.enable.eq(scan),
            self.activation_masks.address.eq(word[OFFSET_BITS:] + (unaligned & halfway)),
            self.block_masks.enable.eq(scan & ~half),
            self.block_masks.address.eq(mask_pointer),
        ]
        with m.If(self.outputs.valid & self.outputs.ready):
            m.d.sync += [
                busy.eq(1),
                first.eq(1),
                halfway.eq(0),
                word.eq(self.outputs.payload.word),
                row_word.eq(self.outputs.payload.word),
                pointer.eq(self.outputs.payload.pointer),
                rows_left.eq(self.walk.rows),
                chunks_left.eq(self.walk.chunks),
            ]
            with m.Switch(self.outputs.payload.pointer):
                with m.Case(Pointer.REWIND):
                    m.d.sync += mask_pointer.eq(mask_base)
                with m.Case(Pointer.REBASE):
                    m.d.sync += mask_base.eq(mask_pointer)
                with m.Case(Pointer.RESET):
                    m.d.sync += [mask_pointer.eq(0), mask_base.eq(0)]
        with m.If(scan):
            m.d.sync += halfway.eq(half | (unaligned & ~row_end))
            with m.If(~half):
                m.d.sync += [mask_pointer.eq(mask_pointer + 1), first.eq(0)]
                with m.If(row_end):
                    m.d.sync += [
                        row_word.eq(row_word + self.walk.pitch),
                        word.eq(row_word + self.walk.pitch),
                        chunks_left.eq(self.walk.chunks),
                        rows_left.eq(rows_left - 1),
                        busy.eq(rows_left != 0),
                    ]
                with m.Else():
                    m.d.sync += [word.eq(word + CHUNK), chunks_left.eq(chunks_left - 1)]

        # Fetched: both masks stand at the memories' outputs.
        current_ready = Signal()
        lower = Signal(CHUNK)
        shift = fetched_word[:OFFSET_BITS]
        activation_mask = Signal(CHUNK)
        in_run = Signal(CHUNK)
        fetched_mask = Signal(CHUNK)
        stored = Signal(COUNT_BITS)
        m.d.comb += [
            fetched_ready.eq(~fetched | fetched_half | current_ready),
            activation_mask.eq(
                Mux(shift.any(), Cat(lower, self.activation_masks.data) >> shift, self.activation_masks.data)
            ),
            in_run.eq(Mux(fetched_row_end, (2 << self.walk.tail) - 1, (1 << CHUNK) - 1)),
            fetched_mask.eq(
                (activation_mask | self.no_activation_skip.replicate(CHUNK))
                & (self.block_masks.data | (in_run & self.no_block_skip.replicate(CHUNK)))
            ),
            stored.eq(_population(self.block_masks.data)),
        ]
        with m.If(fetched_ready):
            m.d.sync += [
                fetched.eq(scan),
                fetched_half.eq(half),
                fetched_word.eq(word),
                fetched_row_end.eq(row_end),
                fetched_last.eq(row_end & (rows_left == 0)),
                fetched_pointer.eq(Mux(first, pointer, Pointer.CONTINUE)),
            ]
            with m.If(fetched):
                m.d.sync += lower.eq(self.activation_masks.data)

        # Current: issue one position a cycle.
        enter = fetched & ~fetched_half & current_ready
        current = Signal()
        mask = Signal(CHUNK)
        blocks = Signal(CHUNK)
        blocks_count = Signal(COUNT_BITS)
        current_word = Signal(word_shape)
        last = Signal()
        weight_pointer = Signal((c.weight_depth - 1).bit_length())
        weight_base = Signal.like(weight_pointer)
        weight_after = Signal.like(weight_pointer)

        rest = Signal(CHUNK)
        lowest = Signal(CHUNK)
        index = Signal(OFFSET_BITS)
        done = Signal()
        m.d.comb += [
            rest.eq(mask & (mask - 1)),
            lowest.eq(mask & ~rest),
            index.eq(Cat(*((lowest & _index_bit(k)).any() for k in range(OFFSET_BITS)))),
            done.eq(rest == 0),
            self.complete.eq(current & last & done),
            self.holding.eq(current),
            self.issuing.eq(current & mask.any()),
            current_ready.eq(~current | (self.step & done & (~last | self.advance))),
            weight_after.eq(weight_pointer + Mux(current, blocks_count, 0)),
            self.entered.eq(enter),
            self.stored.eq(stored),
            self.positions.eq(Mux(fetched_row_end, self.walk.tail + 1, CHUNK)),
        ]
        with m.If(self.step):
            m.d.sync += mask.eq(rest)
        with m.If(current_ready):
            m.d.sync += [
                current.eq(enter),
                mask.eq(Mux(enter, fetched_mask, 0)),
                blocks.eq(self.block_masks.data),
                blocks_count.eq(stored),
                current_word.eq(fetched_word),
                last.eq(fetched_last),
                weight_pointer.eq(weight_after),
            ]
            with m.If(enter):
                with m.Switch(fetched_pointer):
                    with m.Case(Pointer.REWIND):
                        m.d.sync += weight_pointer.eq(weight_base)
                    with m.Case(Pointer.REBASE):
                        m.d.sync += weight_base.eq(weight_after)
                    with m.Case(Pointer.RESET):
                        m.d.sync += [weight_pointer.eq(0), weight_base.eq(0)]

        # Address: a stage of its own, since popcount and adder together would set the clock.
        below = Signal(CHUNK)
        pointer_issued = Signal.like(weight_pointer)
        rank = Signal(OFFSET_BITS)
        word_issued = Signal(word_shape)
        index_issued = Signal(OFFSET_BITS)
        m.d.comb += [
            below.eq(blocks & (lowest - 1)),
            self.block.eq(pointer_issued + rank),
            self.word.eq(word_issued + index_issued),
        ]
        with m.If(self.step):
            m.d.sync += [
                self.read.eq(self.issuing),
                pointer_issued.eq(weight_pointer),
                rank.eq(_population(below[: CHUNK - 1])),
                word_issued.eq(current_word),
                index_issued.eq(index),
                self.present.eq((blocks & lowest).any()),
            ]
        return m


def _index_bit(k: int) -> int:
    """Positions of a chunk whose number has bit ``k`` set."""
    return sum(1 << position for position in range(CHUNK) if position >> k & 1)

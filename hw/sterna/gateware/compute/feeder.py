"""Feeder: turns one bank's masks into the addresses of the blocks that have to be issued."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import C, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from sterna.gateware.arithmetic import sum_or, up_or
from sterna.gateware.compute.scanner import OFFSET_BITS, fetched_chunk
from sterna.gateware.kept import KEPT
from sterna.spec.configuration import CHUNK, Configuration

COUNT_BITS = CHUNK.bit_length()


class Feeder(wiring.Component):
    """Issues, of each chunk, the positions whose activation and block are both non-zero: lowest first, one a cycle.

    Three chunks wait here: ``current``, of which positions are issued; ``arrived``, the last that came; and ``queued``,
    the one before it if that is not current yet. A chunk with nothing to issue is dropped when it has arrived, and
    takes no cycle unless it ends its output. The weight pointer advances by the population count of each chunk's block
    mask (without activation skip, by one with each block), so zero blocks take no storage and no pointer table; it
    begins again at ``first_block`` with an output that rewinds. After an output's last position the feeder waits
    (``complete``) until all feeders are there (``advance``).

    Flow: everything moves with ``step``. A chunk counts when all feeders have it (``take``), which wants ``room`` in
    each. Addresses follow decisions: everything that only they are made from is kept a cycle later than the masks, so
    that ``block`` and ``word`` come two steps after the decision, with ``read``. Others may use the memories: with
    ``lend`` their addresses come next, in place of a decision that issued nothing or in a cycle without a step.
    Throughput: one position a cycle. Sources: zero-skip masks, SparTen (Gondimalla 2019); queues, EIE (Han 2016).
    """

    def __init__(self, *, configuration: Configuration):
        self.configuration = c = configuration
        super().__init__({
            "chunk": In(fetched_chunk(c)),
            "take": In(1),     # only with step
            "room": Out(1),    # for a chunk with a step, even if no output ends
            "activation_mask": In(CHUNK),
            "block_mask": In(CHUNK),
            "first_block": In((c.weight_depth - 1).bit_length()),
            "stored": Out(COUNT_BITS),  # blocks of the chunk that was taken last, two steps later; with activation skip
            # decision
            "step": In(1),       # only with flow
            "advance": In(1),    # all feeders are complete: with a step, the next output begins
            "complete": Out(1),  # nothing is left of this output after this cycle
            "issuing": Out(1),   # a position is chosen (and taken if step)
            # a step later
            "issued": Out(1),
            "held": Out(1),      # a chunk was current
            # a step later; these move with flow
            "flow": In(1),
            "lend": In(1),       # the next address is another's; if there is a flow without step, or nothing was issued
            "others_block": In((c.weight_depth - 1).bit_length()),
            "others_word": In((c.activation_depth - 1).bit_length()),
            "read": Out(1),
            "block": Out((c.weight_depth - 1).bit_length()),
            "word": Out((c.activation_depth - 1).bit_length()),
        })  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        # One position is left at most, and an output ends (`ends`) or does not (`passes`): in flip-flops, because the
        # pace of all feeders hangs on them.
        skips = self.configuration.activation_skip
        members = {"mask": CHUNK, "last": 1} | ({"blocks": CHUNK} if skips else {})
        masks, chunk = data.StructLayout(members), data.StructLayout({**members, "ends": 1, "passes": 1})
        whole = self.take & ~self.chunk.half

        # Arrival: which positions have to be issued.
        fetched = self.chunk
        lower = Signal(CHUNK - 1, reset_less=True)  # of the chunk before, all but its first
        wanted = Signal(CHUNK)
        arrived = Signal(chunk, reset_less=True)  # but for `ends` and `passes`, which are worked out from it
        fresh = Signal()  # it is neither current nor queued nor dropped
        with m.If(whole):
            m.d.sync += [arrived.mask.eq(wanted), arrived.last.eq(fetched.last)]
        if skips:
            m.d.comb += wanted.eq(_window(Cat(lower, self.activation_mask), fetched.shift) & self.block_mask)
            with m.If(self.take):
                m.d.sync += lower.eq(self.activation_mask[1:])
            with m.If(whole):
                m.d.sync += arrived.blocks.eq(self.block_mask)
        else:
            m.d.comb += wanted.eq(self.block_mask)

        # Queue: what has arrived goes to `current` when that is free and nothing is queued. If it is still here when
        # the next comes, it makes place for that in `queued`: so both of these are filled with `take`, in all feeders
        # at once, and what is the same in all of them stands in one register.
        current = Signal(masks, reset_less=True)
        ends = Signal()
        passes = Signal()
        queued = Signal(chunk, reset_less=True)
        holding = Signal()
        waiting = Signal()
        following = data.View(chunk, Mux(waiting, queued, arrived))
        before = [current.mask[:k].any() for k in range(CHUNK + 1)]  # is there one below position k?
        leaving, enters, remains = Signal(), Signal(), Signal()
        nearly = Signal(attrs=KEPT)  # one is left at most after the next is issued
        m.d.comb += [
            nearly.eq(_fewer(current.mask, 3)),
            arrived.ends.eq(fresh & arrived.last & _fewer(arrived.mask, 2)),
            arrived.passes.eq(fresh & ~arrived.last & _one(arrived.mask)),
            self.complete.eq(ends),
            self.room.eq(~waiting | passes),
            leaving.eq(~holding | passes | (ends & self.advance)),
            enters.eq(fresh & (arrived.mask.any() | arrived.last)),
            remains.eq(enters & (waiting | ~leaving)),
        ]
        with m.If(self.step):
            m.d.sync += [
                fresh.eq(whole | remains),
                waiting.eq(Mux(whole, remains, waiting & ~leaving)),
                current.mask.eq(current.mask & Cat(before[:CHUNK])),
                ends.eq(current.last & nearly),
                passes.eq(~current.last & nearly),
            ]
            with m.If(leaving):
                m.d.sync += [
                    *(current[name].eq(following[name]) for name in members),
                    ends.eq(following.ends),
                    passes.eq(following.passes),
                ]
        # Without an enable, which iCE40 would have to make of this one and the reset: a cell more on a long way.
        turns = self.step & leaving
        m.d.sync += holding.eq((turns & (waiting | enters)) | (~turns & holding))
        with m.If(whole):
            m.d.sync += queued.eq(arrived)

        # Decision.
        some, index = _lowest(list(current.mask))
        chosen = Signal(OFFSET_BITS, reset_less=True)
        m.d.comb += self.issuing.eq(holding & some)
        with m.If(self.step):
            m.d.sync += [self.issued.eq(self.issuing), self.held.eq(holding), chosen.eq(Cat(index))]

        # Where chunks begin, a cycle behind the chunks themselves, and the addresses of what is issued.
        word = {name: Signal(self.word.shape(), name=f"{name}_word", reset_less=True) for name in ("current", "queued")}
        arrived_word = [Signal(self.word.shape(), name=f"arrived_word_{k}", reset_less=True) for k in range(2)]
        left = Signal()
        waited = Signal()
        came = Signal()
        with m.If(whole):
            m.d.sync += arrived_word[0].eq(fetched.word)
        with m.If(self.step):
            m.d.sync += [left.eq(leaving), waited.eq(waiting), came.eq(whole)]
            with m.If(came):
                m.d.sync += [word["queued"].eq(arrived_word[1]), arrived_word[1].eq(arrived_word[0])]
            with m.If(left):
                m.d.sync += word["current"].eq(Mux(waited, word["queued"], arrived_word[1]))
        if skips:
            below = (current.blocks & ~Cat(before[1:]))[: CHUNK - 1]  # the chunk's blocks before the one that is issued
            first, others = self._build_pointers(m, below, arrived.blocks, whole, left, waited, came)
        else:
            first, others = self._build_pointer(m, leaving, waiting, whole, enters, remains), C(0, 1)
        with m.If(self.flow):
            m.d.sync += [
                self.read.eq(self.issued & self.step),
                self.block.eq(sum_or(self.lend, self.others_block, first, others)),
                self.word.eq(sum_or(self.lend, self.others_word, word["current"], chosen)),
            ]
        return m

    def _build_pointers(
        self, m: Module, below: Value, blocks: Value, whole: Value, left: Value, waited: Value, came: Value
    ) -> tuple[Value, Value]:
        """First block of the current chunk, and how many of its blocks lie before the one that is issued."""
        shape = self.block.shape()
        pointer = {name: Signal(shape, name=f"{name}_pointer", reset_less=True) for name in ("current", "queued")}
        arrived_pointer = Signal(shape, reset_less=True)
        rewind = Signal(reset_less=True)
        stored = Signal(COUNT_BITS, reset_less=True)
        issue_below = Signal(CHUNK - 1, reset_less=True)
        m.d.comb += self.stored.eq(stored)
        with m.If(whole):
            m.d.sync += rewind.eq(self.chunk.rewind)
        with m.If(self.step):
            m.d.sync += issue_below.eq(below)
            with m.If(came):
                m.d.sync += [
                    pointer["queued"].eq(arrived_pointer),
                    arrived_pointer.eq(sum_or(rewind, self.first_block, arrived_pointer, stored)),
                    stored.eq(_population(blocks)),
                ]
            with m.If(left):
                m.d.sync += pointer["current"].eq(Mux(waited, pointer["queued"], arrived_pointer))
        return pointer["current"], _population(issue_below)[:OFFSET_BITS]

    def _build_pointer(
        self, m: Module, leaving: Value, waiting: Value, whole: Value, enters: Value, remains: Value
    ) -> Value:
        """The next block. Where no activations are skipped every block is issued, so they follow one another; a chunk
        that has none passes on that the weights begin again."""
        pointer = Signal(self.block.shape(), reset_less=True)
        arrived, queued = (Signal(name=f"{name}_again", reset_less=True) for name in ("arrived", "queued"))
        again = Signal(reset_less=True)
        with m.If(self.step):
            m.d.sync += [
                arrived.eq(Mux(whole, self.chunk.rewind | (arrived & ~enters), arrived & (~enters | remains))),
                again.eq(leaving & Mux(waiting, queued, arrived & enters)),
            ]
            with m.If(again | self.issued):
                m.d.sync += pointer.eq(up_or(again, self.first_block, pointer))
        with m.If(whole):
            m.d.sync += queued.eq(arrived)
        return pointer


def all_room(m: Module, feeders: Sequence[Feeder], advance: Value) -> Value:
    """Whether all have room for a chunk with a step: where an output ends, each does."""
    pairs = [Signal(attrs=KEPT, name=f"room_{j}") for j in range(0, len(feeders), 2)]
    for j, pair in enumerate(pairs):
        m.d.comb += pair.eq(Cat(feeder.room for feeder in feeders[2 * j : 2 * j + 2]).all())
    return advance | Cat(pairs).all()


def _lowest(bits: Sequence[Value]) -> tuple[Value, list[Value]]:
    """Whether a bit is set, and the lowest's number, bit by bit."""
    if len(bits) == 1:
        return bits[0], []
    half = len(bits) // 2
    low, low_index = _lowest(bits[:half])
    high, high_index = _lowest(bits[half:])
    index = [Mux(low, a, b) for a, b in zip(low_index, high_index, strict=True)]
    return low | high, [*index, ~low]


def _window(bits: Value, begin: Value) -> Value:
    """``CHUNK`` bits from ``begin`` on; each level keeps what the levels after it can reach."""
    for level in reversed(range(len(begin))):
        step = 1 << level
        reach = CHUNK + step - 1
        bits = Mux(begin[level], bits[step : step + reach], bits[:reach])
    return bits


def _population(bits: Any) -> Any:
    return sum(bits[1:], bits[0])


def _one(bits: Value) -> Value:
    """Whether exactly one bit is set."""
    return _fewer(bits, 2) & bits.any()


def _fewer(bits: Value, than: int) -> Value:
    """Whether fewer than ``than`` bits are set, from what the halves have: few levels of logic."""
    half = len(bits) // 2
    low, high = ([_within(part, most) for most in range(than)] for part in (bits[:half], bits[half:]))
    return Cat(low[k] & high[than - 1 - k] for k in range(than)).any()


def _within(bits: Value, most: int) -> Value:
    """Whether at most so many bits are set, from a table: sums would go through carry chains."""
    table = sum((number.bit_count() <= most) << number for number in range(1 << len(bits)))
    return Const(table, 1 << len(bits)).bit_select(bits, 1)

"""Feeder: turns one bank's masks into the addresses of the blocks that have to be issued."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from sterna.gateware.compute.scanner import OFFSET_BITS, fetched_chunk
from sterna.spec.configuration import CHUNK, Configuration

COUNT_BITS = CHUNK.bit_length()


class Feeder(wiring.Component):
    """Issues, of each chunk, the positions whose activation and block are both non-zero: lowest first, one a cycle.

    Two chunks wait here, ``current`` and ``queued``; a chunk with nothing to issue is dropped as it comes and takes no
    cycle, unless it ends its output. The weight pointer advances by the population count of each chunk's block mask, so
    zero blocks take no storage and no pointer table; it begins again at ``first_block`` with an output that rewinds.
    After an output's last position
    the feeder waits (``complete``) until all feeders are there (``advance``).

    Flow: a chunk counts when all feeders have it (``take``); :func:`all_ready` says when they can. Issue moves with
    ``step``. ``block`` and ``word`` come a cycle after the decision, with ``read``; ``present`` goes with them.
    Throughput: one position a cycle. Sources: zero-skip masks, SparTen (Gondimalla 2019); queues, EIE (Han 2016).
    """

    def __init__(self, *, configuration: Configuration):
        self.configuration = c = configuration
        super().__init__({
            "chunk": In(fetched_chunk(c)),
            "take": In(1),
            "room": Out(1),    # for a chunk, without a step
            "leaves": Out(1),  # a chunk leaves with a step
            "activation_mask": In(CHUNK),
            "block_mask": In(CHUNK),
            "first_block": In((c.weight_depth - 1).bit_length()),
            "no_activation_skip": In(1),
            "no_block_skip": In(1),
            "stored": Out(COUNT_BITS),  # blocks of the chunk that stands at the input
            # decision
            "step": In(1),
            "advance": In(1),    # all feeders are complete: with a step, the next output begins
            "complete": Out(1),  # nothing is left of this output after this cycle
            "holding": Out(1),   # a chunk is current
            "issuing": Out(1),   # a position is chosen (and taken if step)
            # a cycle later
            "read": Out(1),
            "block": Out((c.weight_depth - 1).bit_length()),
            "word": Out((c.activation_depth - 1).bit_length()),
            "present": Out(1),   # activation and block are there; else they are noise and count as zero
        })  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        c = self.configuration
        block_bits = (c.weight_depth - 1).bit_length()
        entry = data.StructLayout({
            "mask": CHUNK, "blocks": CHUNK, "live": CHUNK, "pointer": block_bits, "word": self.word.shape(), "last": 1,
        })  # fmt: skip

        # Arrival: which positions have to be issued, and where their blocks begin.
        fetched = self.chunk
        lower = Signal(CHUNK)
        shift = fetched.word[:OFFSET_BITS]
        activation_mask = Signal(CHUNK)
        # Positions from `shift` on come from the chunk before, if it is not all zero.
        mixed = Cat(Mux(shift.any() & (shift <= k), lower[k], self.activation_mask[k]) for k in range(CHUNK))
        arriving = Signal(entry)
        after = Signal(block_bits)  # weight pointer after the last chunk that came
        begin = Signal(block_bits)
        m.d.comb += [
            self.stored.eq(_population(self.block_mask)),
            activation_mask.eq(_rotated(mixed, shift)),
            begin.eq(Mux(fetched.rewind, self.first_block, after)),
            arriving.mask.eq(
                (activation_mask | self.no_activation_skip.replicate(CHUNK))
                & (self.block_mask | (fetched.positions & self.no_block_skip.replicate(CHUNK)))
            ),
            arriving.blocks.eq(self.block_mask),
            arriving.live.eq(activation_mask & self.block_mask),
            arriving.pointer.eq(begin),
            arriving.word.eq(fetched.word),
            arriving.last.eq(fetched.last),
        ]
        with m.If(self.take):
            m.d.sync += lower.eq(self.activation_mask)
            with m.If(~fetched.half):
                m.d.sync += after.eq(begin + self.stored)

        # Queue: what comes goes to `current` if that is free and nothing is queued, else to `queued`. (Room that only
        # a queue of which nothing is leaving has would shorten the longest path, but cost the demo 7 % of its cycles. A
        # queue that all goes through takes 22 cells less for each feeder, but a convolution at half density 10 % more
        # cycles.)
        current = Signal(entry)
        queued = Signal(entry)
        holding, waiting = Signal(), Signal()
        before = [current.mask[:k].any() for k in range(CHUNK + 1)]  # is there one below position k?
        rest = Signal(CHUNK)
        leaving, enters = Signal(), Signal()
        m.d.comb += [
            rest.eq(current.mask & Cat(before[:CHUNK])),
            self.complete.eq(holding & current.last & (rest == 0)),
            self.leaves.eq((rest == 0) & (~current.last | self.advance)),
            self.room.eq(~waiting | ~holding),
            leaving.eq(~holding | (self.step & self.leaves)),
            enters.eq(self.take & ~fetched.half & (arriving.mask.any() | fetched.last)),
        ]
        with m.If(self.step):
            m.d.sync += current.mask.eq(rest)
        with m.If(leaving):
            m.d.sync += [
                holding.eq(waiting | enters),
                waiting.eq(waiting & enters),
                current.eq(Mux(waiting, queued, arriving)),
            ]
        with m.Elif(enters):
            m.d.sync += waiting.eq(1)
        with m.If(self.take):
            m.d.sync += queued.eq(arriving)

        # Decision. The addresses are registered behind their adders, where a flip-flop takes no cell of its own.
        lowest = Signal(CHUNK)
        rank, index = Signal(OFFSET_BITS), Signal(OFFSET_BITS)
        m.d.comb += [
            lowest.eq(current.mask & ~Cat(before[:CHUNK])),
            rank.eq(_population((current.blocks & ~Cat(before[1:]))[: CHUNK - 1])),
            index.eq(_least(before)),
            self.holding.eq(holding),
            self.issuing.eq(holding & before[CHUNK]),
        ]
        with m.If(self.step):
            m.d.sync += [
                self.read.eq(self.issuing),
                self.block.eq(current.pointer + rank),
                self.word.eq(current.word + index),
                self.present.eq((current.live & lowest).any()),
            ]
        return m


def all_ready(feeders: Sequence[Feeder], step: Value) -> Value:
    """Whether all take a chunk in this cycle, with ``step``, which comes late, as late as can be."""
    can = Cat(feeder.room | feeder.leaves for feeder in feeders).all()
    return can & (step | Cat(feeder.room for feeder in feeders).all())


def _least(before: Any) -> Any:
    """Number of the first position with a bit, from whether there is one below each."""
    bits = []
    for level in range(OFFSET_BITS):
        step = 1 << level
        bits.append(Cat(before[k + step] & ~before[k] for k in range(step, CHUNK, 2 * step)).any())
    return Cat(bits)


def _rotated(bits: Any, by: Any) -> Any:
    """Bit ``k`` is bit ``k + by`` of ``bits``, around their end."""
    for level in range(len(by)):
        step = 1 << level
        bits = Mux(by[level], Cat(bits[step:], bits[:step]), bits)
    return bits


def _population(bits: Any) -> Any:
    return sum(bits[1:], bits[0])

"""Feeder: which positions of the chunks are issued, with which addresses, and where outputs end."""

from dataclasses import replace
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data

from sterna.gateware.compute.feeder import Feeder, all_room
from sterna.sim.formal.opened import Opened
from sterna.sim.formal.order import Follower
from sterna.sim.formal.property import Property, always, constant, free, given, implies, population, some
from sterna.spec.configuration import CHUNK, Configuration

CONFIGURATION = Configuration(
    name="feeder", simd=1, pe=4, weight_depth=32, mask_depth=16, activation_depth=32, parameter_depth=16,
)  # fmt: skip


class FeederIssues(Property):
    """Every position of every chunk whose activation and block are both there is issued once, chunk by chunk and lowest
    first, with the word of its activation and the address of its block; no other is. An output's end is met after its
    last position and before the next output's first; so under any stall, with any masks and windows that begin at any
    word. Without ``activation_skip``: every position whose block is there.
    """

    depth = 2

    def __init__(self, feeder: Any = Feeder, *, activation_skip: bool = True) -> None:
        super().__init__()
        self.skips = activation_skip
        self.feeder = feeder(configuration=replace(CONFIGURATION, activation_skip=activation_skip))

    def build(self, m: Module) -> None:
        f = self.feeder
        m.submodules.feeder = opened = Opened(f)
        chunk = f.chunk
        free(m, chunk, f.take, f.activation_mask, f.block_mask, f.step, f.advance)
        free(m, f.flow, f.lend, f.others_block, f.others_word)
        constant(m, f.first_block)
        ready, advanced = f.step & all_room(m, [f], f.advance), Signal()
        given(m, implies(f.take, ready), implies(f.advance, f.complete))
        given(m, chunk.shift == (chunk.word - 1)[: len(chunk.shift)])
        given(m, f.flow | ~f.step, implies(f.flow, Mux(f.step, ~(f.lend & f.issued), f.lend)))
        m.d.comb += advanced.eq(f.advance & f.step)

        # What has to be issued of the chunk that comes.
        word_bits, block_bits = len(chunk.word), len(f.block)
        before = Signal(CHUNK)  # the activation mask of the word before
        end = Signal(block_bits)  # of the blocks of the chunks that came
        active = (Cat(before, f.activation_mask) >> chunk.word[:3])[:CHUNK]
        shifted = Mux(chunk.word[:3] == 0, f.activation_mask, active)
        begin = Mux(chunk.rewind, f.first_block, end)
        wanted = Signal(CHUNK)
        m.d.comb += wanted.eq(f.block_mask & (shifted if self.skips else -1))
        whole = f.take & ~chunk.half
        with m.If(f.take):
            m.d.sync += before.eq(f.activation_mask)
        with m.If(whole):
            m.d.sync += end.eq(begin + population(f.block_mask))

        # One position of the chunks that come, and how many issues and ends go before it.
        position = some(m, range(CHUNK), "position")
        below = (1 << position) - 1
        issue = data.StructLayout({"word": word_bits, "block": block_bits})
        arriving = Signal(issue)
        lower = Signal(range(CHUNK))
        m.d.comb += [
            lower.eq(population((wanted & below)[:CHUNK])),
            arriving.word.eq(chunk.word + position),
            arriving.block.eq(begin + population((f.block_mask & below)[:CHUNK])),
        ]
        arrived = Signal(range(CHUNK + 1))
        m.d.comb += arrived.eq(Mux(whole, population(wanted), 0))
        can = whole & wanted.bit_select(position, 1)
        issues = Follower(m, item=arriving, arriving=arrived, place=Mux(can, lower, CHUNK), leaving=f.step & f.issuing,
                          capacity=3 * CHUNK)  # fmt: skip
        followed = data.View(issue, issues.item)
        ends = Follower(m, item=0, arriving=whole & chunk.last, leaving=advanced, capacity=3)

        ends_before = Signal(range(4))  # of the issue that is followed
        with m.If(issues.begins):
            m.d.sync += ends_before.eq(ends.inside - advanced)
        with m.Elif(advanced):
            m.d.sync += ends_before.eq(ends_before - 1)
        always(m, implies(issues.leaves, ends_before == 0))
        always(m, implies(issues.following & ~issues.leaves & advanced, ends_before != 0))
        empty = (issues.inside == 0) & (ends.inside == 0)
        always(m, implies(opened["holding"], f.issuing | f.complete), implies(empty & f.step, ready))

        # The addresses come two steps after the decision and stand until the next, or until others' come.
        due, none = Signal(2), Signal(2)
        expected = Signal(data.ArrayLayout(issue, 2))
        lent, others = Signal(), Signal(issue)
        with m.If(f.step):
            m.d.sync += [due[0].eq(issues.leaves), none[0].eq(~f.issuing), expected[0].eq(issues.item)]
        with m.If(f.flow):
            m.d.sync += [
                due[1].eq(due[0] & f.step), none[1].eq(none[0] | ~f.step), expected[1].eq(expected[0]), lent.eq(f.lend),
                others.block.eq(f.others_block), others.word.eq(f.others_word),
            ]  # fmt: skip
        shown = expected[1]
        always(m, implies(due[1], f.read & (f.word == shown.word)))
        always(m, implies(due[1], f.block == shown.block), implies(none[1], ~f.read))
        always(m, implies(lent, (f.block == others.block) & (f.word == others.word) & ~f.read))

        # Where they are: in the chunk that is current, the queued one, and the one that arrived last. Their places are
        # a step behind: what they are about to be counts.
        members = {"mask": CHUNK, "last": 1} | ({"blocks": CHUNK} if self.skips else {})
        chunks = data.StructLayout({**members, "ends": 1, "passes": 1})
        current = data.View(chunks, Cat(opened["current"], opened["ends"], opened["passes"]))
        queued, fresh = (data.View(chunks, opened[name]) for name in ("queued", "arrived"))
        came, left, waited = (opened[name] for name in ("came", "left", "waited"))
        words = {name: opened[f"{name}_word"] for name in ("current", "queued")}
        arrived_word = [opened[f"arrived_word_{k}"] for k in range(2)]
        word = (
            Mux(left, Mux(waited, words["queued"], arrived_word[1]), words["current"]),
            Mux(came, arrived_word[1], words["queued"]), Mux(came, arrived_word[0], arrived_word[1]),
        )  # fmt: skip
        if self.skips:
            pointers, pointer_now = self.pointers_of_chunks(m, opened, fresh.blocks, end)
            always(m, opened["lower"] == before[1:])
        else:
            pointers, pointer_now = self.pointers_of_blocks(m, opened, current, queued, fresh, end)

        held = (
            (opened["holding"], current), (opened["waiting"], queued), (opened["fresh"], fresh),
        )  # fmt: skip
        always(m, implies(opened["waiting"], opened["holding"]), implies(~opened["holding"], ~current.ends))
        for there, chunk_ in held[:2]:
            always(m, implies(there, chunk_.last | chunk_.mask.any()))
            always(m, implies(there, chunk_.ends == (chunk_.last & (population(chunk_.mask) <= 1))))
            always(m, implies(there, chunk_.passes == (~chunk_.last & (population(chunk_.mask) <= 1))))
        counts = [Mux(there, population(chunk_.mask), 0) for there, chunk_ in held]
        always(m, issues.inside == sum(counts[1:], counts[0]))
        closing = [there & chunk_.last for there, chunk_ in held]
        always(m, ends.inside == population(closing))
        ahead, ends_ahead = issues.ahead, 0
        found = 0
        for (_, chunk_), at, pointer, count, closes in zip(held, word, pointers, counts, closing, strict=True):
            here = issues.following & (ahead >= 0) & (ahead < count)
            with m.If(here):
                always(m, chunk_.mask.bit_select(position, 1), population((chunk_.mask & below)[:CHUNK]) == ahead)
                blocks = chunk_.blocks if self.skips else chunk_.mask  # those that are left: all of the ones not issued
                always(m, (at + position)[:word_bits] == followed.word)
                always(m, (pointer + population((blocks & below)[:CHUNK]))[:block_bits] == followed.block)
                always(m, ends_before == ends_ahead)
            ahead, ends_ahead, found = ahead - count, ends_ahead + closes, found | here
        always(m, implies(issues.following, found))

        # Between decision and address: the number within its chunk, whose place is not yet another's.
        with m.If(due[0]):
            always(m, f.issued, (words["current"] + opened["chosen"])[:word_bits] == expected[0].word)
            always(m, pointer_now[:block_bits] == expected[0].block)
        always(m, implies(none[0], ~f.issued))

    def pointers_of_chunks(self, m: Module, opened: Opened, blocks: Value, end: Value) -> tuple[Any, Value]:
        """First block of the current, the queued and the last chunk, and the address of what is issued."""
        f, came, stored = self.feeder, opened["came"], self.feeder.stored
        current, queued, arrived = (opened[f"{name}_pointer"] for name in ("current", "queued", "arrived"))
        last = Mux(came, Mux(opened["rewind"], f.first_block, (arrived + stored)[: len(f.block)]), arrived)
        always(m, (last + Mux(came, population(blocks), stored))[: len(f.block)] == end)
        first = Mux(opened["left"], Mux(opened["waited"], queued, arrived), current)
        return (first, Mux(came, arrived, queued), last), current + population(opened["issue_below"])

    def pointers_of_blocks(
        self, m: Module, opened: Opened, current: Any, queued: Any, fresh: Any, end: Value
    ) -> tuple[Any, Value]:
        """The next block of the current chunk, the first of the others, and the address of what is issued."""
        f, pointer = self.feeder, opened["pointer"]

        def behind(first: Value, there: Value, chunk: Any) -> Value:
            return (first + Mux(there, population(chunk.mask), 0))[: len(f.block)]

        now = Mux(opened["again"], f.first_block, (pointer + f.issued)[: len(f.block)])
        second = Mux(opened["waiting"] & opened["queued_again"], f.first_block, behind(now, opened["holding"], current))
        after = behind(second, opened["waiting"], queued)
        third = Mux(opened["arrived_again"], f.first_block, after)
        always(m, behind(third, opened["fresh"], fresh) == end)
        return (now, second, third), pointer

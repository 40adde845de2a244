"""Feeder: which positions of the chunks are issued, with which addresses, and where outputs end."""

from dataclasses import replace
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
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
        chunks = data.StructLayout({"mask": CHUNK, "blocks": CHUNK, "last": 1, "ends": 1, "passes": 1})
        current = data.View(chunks, Cat(opened["current"], opened["ends"], opened["passes"]))
        queued, fresh = (data.View(chunks, opened[name]) for name in ("queued", "arrived"))
        place = data.StructLayout({"pointer": block_bits, "word": word_bits})
        places = {name: data.View(place, opened[f"{name}_place"]) for name in ("current", "queued", "arrived")}
        last = Signal(place)
        m.d.comb += last.eq(places["arrived"])
        with m.If(opened["came"]):
            m.d.comb += [
                last.word.eq(opened["arrived_word"]),
                last.pointer.eq(Mux(opened["rewind"], f.first_block, places["arrived"].pointer + f.stored)),
            ]
        second, first = Signal(place), Signal(place)
        m.d.comb += [
            second.eq(Mux(opened["came"], places["arrived"], places["queued"])),
            first.eq(
                Mux(opened["left"], Mux(opened["waited"], places["queued"], places["arrived"]), places["current"])
            ),
        ]
        after = Mux(opened["came"], population(fresh.blocks), f.stored)
        always(m, (last.pointer + after)[:block_bits] == end)
        if self.skips:
            always(m, opened["lower"] == before[1:])

        held = (
            (opened["holding"], current, first), (opened["waiting"], queued, second), (opened["fresh"], fresh, last),
        )  # fmt: skip
        always(m, implies(opened["waiting"], opened["holding"]), implies(~opened["holding"], ~current.ends))
        for there, chunk_, _ in held[:2]:
            always(m, implies(there, chunk_.last | chunk_.mask.any()))
            always(m, implies(there, chunk_.ends == (chunk_.last & (population(chunk_.mask) <= 1))))
            always(m, implies(there, chunk_.passes == (~chunk_.last & (population(chunk_.mask) <= 1))))
        counts = [Mux(there, population(chunk_.mask), 0) for there, chunk_, _ in held]
        always(m, issues.inside == sum(counts[1:], counts[0]))
        closing = [there & chunk_.last for there, chunk_, _ in held]
        always(m, ends.inside == population(closing))
        ahead, ends_ahead = issues.ahead, 0
        found = 0
        for (_, chunk_, at), count, closes in zip(held, counts, closing, strict=True):
            here = issues.following & (ahead >= 0) & (ahead < count)
            with m.If(here):
                always(m, chunk_.mask.bit_select(position, 1), population((chunk_.mask & below)[:CHUNK]) == ahead)
                always(m, (at.word + position)[:word_bits] == followed.word)
                always(m, (at.pointer + population((chunk_.blocks & below)[:CHUNK]))[:block_bits] == followed.block)
                always(m, ends_before == ends_ahead)
            ahead, ends_ahead, found = ahead - count, ends_ahead + closes, found | here
        always(m, implies(issues.following, found))

        # Between decision and address: the number within its chunk, whose place is not yet another's.
        between = data.View(data.StructLayout({"below": CHUNK - 1, "index": 3}), opened["issue"])
        with m.If(due[0]):
            always(m, f.issued)
            always(m, (places["current"].word + between.index)[:word_bits] == expected[0].word)
            always(m, (places["current"].pointer + population(between.below))[:block_bits] == expected[0].block)
        always(m, implies(none[0], ~f.issued))

"""Word packer: where the activations of a run go, gathered to words of all banks."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal

from sterna.gateware.memory.word_packer import WordGatherer, WordPacker
from sterna.sim.formal.opened import Opened
from sterna.sim.formal.property import Property, always, free, given, held, implies, some
from sterna.spec.configuration import Configuration

CONFIGURATION = Configuration(
    name="words", simd=8, pe=8, requantisers=2, act_bits=3, weight_depth=16, mask_depth=16, activation_depth=32,
    parameter_depth=16,
)  # fmt: skip


class GathererWords(Property):
    """A word has the activations of the groups that were taken since the one before, in their order, says whether any
    of them writes, and goes on with the group that fills it or ends its row or run, whose ends it tells. Groups are
    taken whenever no word waits."""

    depth = 2

    def __init__(self, gatherer: Any = WordGatherer) -> None:
        super().__init__()
        self.gatherer = gatherer(configuration=CONFIGURATION)

    def build(self, m: Module) -> None:
        g, c = self.gatherer, CONFIGURATION
        m.submodules.gatherer = opened = Opened(g)
        group, word = g.groups.payload, g.words.payload
        free(m, g.groups.valid, group, g.words.ready)
        given(m, held(m, g.groups, "groups"))
        always(m, held(m, g.words, "words"))

        size, lane = c.requantisers, some(m, range(c.simd), "lane")
        count = Signal(range(c.simd))  # of activations in the word that is not whole yet
        value, has, last_has, complete = Signal(c.act_bits), Signal(), Signal(), Signal()
        ends = Signal(2)
        taken = g.groups.valid & g.groups.ready
        whole = (group.write & (count == c.simd - size)) | group.row_end | group.last
        mine = group.write & (lane >= count) & (lane < count + size)
        m.d.sync += complete.eq((complete & ~g.words.ready) | (taken & whole))
        with m.If(taken):
            m.d.sync += [
                count.eq(Mux(whole, 0, count + Mux(group.write, size, 0))),
                has.eq(~whole & (has | mine)),
                last_has.eq(has | mine),
                ends.eq(group.row_end | group.last << 1),
            ]
            with m.If(mine):
                m.d.sync += value.eq(group.values[(lane - count)[: (size - 1).bit_length()]])

        writes = Signal()  # of the word under way, or of the whole one
        with m.If(taken):
            m.d.sync += writes.eq(((count != 0) & writes) | group.write)
        always(m, g.words.valid == complete, implies(~complete | g.words.ready, g.groups.ready))
        with m.If(complete):
            always(m, word.write == writes, (word.row_end | word.last << 1) == ends, count == 0)
            always(m, implies(last_has, writes & (word.values[lane].as_unsigned() == value)))
        always(m, opened["step"] == count // size, opened["begun"] == (count != 0), implies(count != 0, writes))
        always(m, implies(has, (count > lane) & (word.values[lane].as_unsigned() == value)), count % size == 0)


class WordPackerPlaces(Property):
    """Every word of a run that is taken is written in the same cycle, where it is its turn; before, between and after
    rows as many words of zeros as the place says; each word of the run once and in order, all banks or none; a write
    that has to wait stays as it is; and the run's end is told once, with its last write.

    Runs begin when none is under way; word and ``lead`` of their place count then, ``gap`` and ``trail`` where a row
    or the run ends.
    """

    depth = 2

    def __init__(self, packer: Any = WordPacker) -> None:
        super().__init__()
        self.packer = packer(configuration=CONFIGURATION)

    def build(self, m: Module) -> None:
        p = self.packer
        m.submodules.packer = opened = Opened(p)
        run, write = p.run.payload, p.write.payload
        free(m, p.begin, p.place, p.run.valid, run, p.write.ready)
        taken = p.run.valid & p.run.ready
        moved = p.write.valid & p.write.ready
        wrote = moved & write.changes

        open_, under_way = Signal(), Signal()
        word = Signal.like(write.word)  # of the next that is taken; then behind the run's end
        following = Signal.like(write.word)  # of the next write
        given(m, held(m, p.run, "run"), implies(p.run.valid, open_), implies(p.begin, ~under_way))
        after = word + run.write
        with m.If(taken):
            m.d.sync += word.eq(after + Mux(run.last, p.place.trail, Mux(run.row_end, p.place.gap, 0)))
        with m.If(taken & run.last):
            m.d.sync += open_.eq(0)
        with m.If(wrote):
            m.d.sync += following.eq(following + 1)
        with m.If(p.done):
            m.d.sync += under_way.eq(0)
        with m.If(p.begin):
            m.d.sync += [open_.eq(1), under_way.eq(1), word.eq(p.place.word + p.place.lead), following.eq(p.place.word)]

        always(m, implies(taken, moved), implies(moved, under_way))
        always(m, implies(moved, write.banks == (~taken | run.write).replicate(len(write.banks))))
        always(m, write.changes == write.banks.any())
        always(m, implies(write.banks != 0, p.write.valid), implies(wrote, write.word == following))
        always(m, implies(taken & run.write, write.word == word))
        for value, given_value in zip(write.values, run.values, strict=True):
            always(m, implies(wrote, value == Mux(taken, given_value, 0)))
        always(m, implies(p.done, moved & (~open_ | (taken & run.last))))
        behind = Mux(taken, after + p.place.trail, word)
        always(m, implies(p.done, (following + wrote)[: len(word)] == behind[: len(word)]))
        always(m, implies(under_way, open_ | p.write.valid), held(m, p.write, "write"))

        passing, left, at = (opened[name] for name in ("passing", "left", "word"))
        always(m, implies(open_, under_way), implies(passing, under_way & (left != 0)))
        always(m, implies(under_way, at == following), implies(under_way & ~open_, passing))
        always(m, implies(under_way, opened["ending"] == ~open_))
        always(m, implies(under_way, (at + Mux(passing, left, 0))[: len(word)] == word))

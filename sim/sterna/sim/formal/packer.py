"""Packer: where the activations of a run go."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal

from sterna.gateware.memory.packer import Packer
from sterna.sim.formal.opened import Opened
from sterna.sim.formal.property import Property, always, free, given, held, implies, some
from sterna.spec.configuration import CHUNK, Configuration

CONFIGURATION = Configuration(
    name="packer", simd=4, pe=8, act_bits=3, weight_depth=16, mask_depth=16, activation_depth=32, parameter_depth=16,
)  # fmt: skip
GROUP = 2


class PackerPlaces(Property):
    """Every group of a run that is taken is written in the same cycle, into the banks and the word that are its turn,
    and no bank takes anything else; the first write of a run in a chunk makes its masks anew, and no other; a write
    that has to wait stays as it is, as far as it counts; and the run's end is told once.

    Runs begin with a chunk, when none is under way; rows that anything follows end with a word. Word and ``lead`` of
    their place count when they begin, ``gap`` and ``trail`` where a row or the run ends.
    """

    depth = 2

    def __init__(self, packer: Any = Packer) -> None:
        super().__init__()
        self.packer = packer(configuration=CONFIGURATION, group=GROUP)

    def build(self, m: Module) -> None:
        p, c = self.packer, CONFIGURATION
        m.submodules.packer = opened = Opened(p)
        run, write = p.run.payload, p.write.payload
        free(m, p.begin, p.place, p.run.valid, run, p.write.ready)
        taken = p.run.valid & p.run.ready

        # A run is open until its last group is taken, and under way until its end is told.
        open_, under_way = Signal(), Signal()
        steps, bits = c.simd // GROUP, len(write.word)
        word, step = Signal(bits), Signal(range(steps))  # of the next group
        given(m, held(m, p.run, "run"), implies(p.run.valid, open_), implies(p.begin, ~under_way))
        given(m, implies(p.begin, p.place.word % CHUNK == 0))
        given(m, implies(run.write, p.run.valid), implies(run.nonzero != 0, run.write))
        whole = Mux(run.write, step == steps - 1, step == 0)  # no part of a word is left after this group
        given(m, implies(p.run.valid & (run.row_end | (run.last & (p.place.trail != 0))), whole))
        with m.If(taken & run.write):
            m.d.sync += [step.eq(step + 1), word.eq(word + (step == steps - 1))]
        with m.If(taken & ~run.last & run.row_end):
            m.d.sync += word.eq(word + (run.write & (step == steps - 1)) + p.place.gap)
        with m.If(taken & run.last):
            m.d.sync += open_.eq(0)
        with m.If(p.done):
            m.d.sync += under_way.eq(0)
        with m.If(p.begin):
            m.d.sync += [open_.eq(1), under_way.eq(1), step.eq(0), word.eq(p.place.word + p.place.lead)]

        moved = p.write.valid & p.write.ready
        turn = Cat(step == j // GROUP for j in range(c.simd))
        always(m, implies(write.banks != 0, p.write.valid), write.nonzero & ~write.banks == 0)
        always(m, write.changes == write.banks.any())
        always(m, implies(moved, write.banks == Mux(taken & run.write, turn, 0)))
        always(m, implies(taken, moved), implies(taken & run.write, write.word == word))
        for j in range(c.simd):
            always(m, implies(taken & write.banks[j], write.values[j] == run.values[j % GROUP]))
        always(m, implies(p.done, under_way & moved & (~open_ | (taken & run.last))))

        stalled, before = Signal(), Signal.like(write.as_value())
        m.d.sync += [stalled.eq(p.write.valid & ~p.write.ready & ~p.begin), before.eq(write)]
        shown = type(write)(write.shape(), before)
        with m.If(stalled):
            always(m, p.write.valid, write.word == shown.word, write.banks == shown.banks)
            always(m, (write.nonzero ^ shown.nonzero) & write.banks == 0, write.fresh == shown.fresh)
            for j in range(c.simd):
                always(m, implies(write.banks[j], write.values[j] == shown.values[j]))

        # Words of zeros still to go stand between the packer's word and the next group's.
        low = len(opened["rest"])
        passing, at = opened["passing"], opened["word"]
        end = Mux(passing, Cat(opened["rest"], at[low:] + opened["chunks_left"]), at)[:bits]
        goes_on = (opened["chunks_left"] != 0) | (opened["rest"] > at[:low])
        always(m, implies(under_way, opened["opens"] == ((at[:low] == 0) & (opened["step"] == 0))))
        always(m, implies(open_, under_way), implies(passing, under_way & goes_on & (opened["step"] == 0)))
        always(m, implies(under_way, opened["ending"] == ~open_), implies(under_way & ~open_, passing))
        always(m, implies(under_way, opened["word_end"] == (opened["step"] == c.simd // GROUP - 1)))
        with m.If(open_):
            always(m, end == word, opened["step"] == step)

        # A run's first write in a chunk is fresh and no other, so nothing old stays there and nothing new is lost.
        chunk = some(m, range(c.activation_depth // CHUNK), "chunk")
        begun = Signal()  # the last write went there
        here, there = chunk == write.word[low:], chunk == at[low:]
        writes = moved & (passing | run.write)
        with m.If(p.begin):
            m.d.sync += begun.eq(0)
        with m.Elif(writes):
            m.d.sync += begun.eq(here)
        always(m, implies(writes & here, write.fresh != begun))
        always(m, implies(moved & ~writes, ~write.fresh))
        always(m, implies(write.fresh & (write.nonzero != 0), write.word[:low] == 0))
        within = (at[:low] != 0) | (opened["step"] != 0)
        always(m, implies(under_way & there, begun == within))
        always(m, implies(under_way & begun & ~there, ~within & ((chunk + 1)[: len(chunk)] == at[low:])))
        for j in range(c.simd):
            always(m, implies(moved & write.banks[j], write.nonzero[j] == run.nonzero[j % GROUP]))

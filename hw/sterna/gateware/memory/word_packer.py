"""Word packer: writes a run of activations a word of all banks at a time, for banks that cannot be read meanwhile."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from sterna.gateware.arithmetic import down_or, up_or
from sterna.gateware.memory.packer import bank_write, packed_run, run_place
from sterna.spec.configuration import Configuration


class WordGatherer(wiring.Component):
    """Makes groups of ``simd`` activations of groups of ``requantisers``.

    A word goes on with the group that fills it, or with a row's last; banks that this has not reached get what lies
    here.
    Latency: a cycle. Throughput: one group a cycle. ``groups.ready`` does not wait for what comes.
    """

    def __init__(self, *, configuration: Configuration):
        self.configuration = c = configuration
        super().__init__({
            "groups": In(stream.Signature(packed_run(c, c.requantisers))),
            "words": Out(stream.Signature(packed_run(c, c.simd))),
        })  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        c = self.configuration
        steps = c.simd // c.requantisers
        group, word = self.groups.payload, self.words.payload
        step = Signal(range(max(2, steps)))
        begun = Signal()  # a group of this word has come
        fills = group.write & (step == steps - 1)
        goes = fills | group.row_end | group.last
        m.d.comb += self.groups.ready.eq(~self.words.valid | self.words.ready)
        with m.If(self.words.ready):
            m.d.sync += self.words.valid.eq(0)
        with m.If(self.groups.valid & self.groups.ready):
            m.d.sync += [
                self.words.valid.eq(goes),
                begun.eq((begun | group.write) & ~goes),
                word.write.eq(begun | group.write),
                word.row_end.eq(group.row_end),
                word.last.eq(group.last),
            ]
            with m.If(goes):
                m.d.sync += step.eq(0)
            with m.Elif(group.write):
                m.d.sync += step.eq(step + 1)
            for j, value in enumerate(word.values):
                with m.If(step == j // c.requantisers):
                    m.d.sync += value.eq(group.values[j % c.requantisers])
        return m


class WordPacker(wiring.Component):
    """As :class:`~sterna.gateware.memory.packer.Packer` for groups of ``simd``, where no masks are kept: the zeros
    around rows are written as values, a word a cycle."""

    def __init__(self, *, configuration: Configuration):
        self.configuration = c = configuration
        super().__init__({
            "begin": In(1),
            "place": In(run_place(c)),
            "run": In(stream.Signature(packed_run(c, c.simd))),
            "write": Out(stream.Signature(bank_write(c))),
            "done": Out(1),
        })  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        run, write, place = self.run.payload, self.write.payload, self.place
        word = Signal.like(place.word, reset_less=True)
        left = Signal.like(word, reset_less=True)  # words of zeros
        passing = Signal()  # there are some
        ending = Signal()  # they are the run's last
        moved, passed = Signal(), Signal()
        zeros = Mux(run.last & ~self.begin, place.trail, Mux(self.begin, place.lead, place.gap))
        m.d.comb += [
            self.run.ready.eq(~passing & self.write.ready),
            self.write.valid.eq(passing | self.run.valid),
            moved.eq(self.write.valid & self.write.ready),
            passed.eq(left == 1),
            self.done.eq(moved & Mux(passing, passed & ending, run.last & ~place.trail.any())),
            write.word.eq(word),
            write.changes.eq(passing | (self.run.valid & run.write)),
            write.banks.eq(write.changes.replicate(len(write.banks))),
            *(bank.eq(Mux(passing, 0, value)) for bank, value in zip(write.values, run.values, strict=True)),
        ]
        with m.If(self.begin | (moved & (passing | run.write))):
            m.d.sync += word.eq(up_or(self.begin, place.word, word))
        with m.If(~passing | moved):
            m.d.sync += left.eq(down_or(passing, left, zeros))
        with m.If(self.begin):
            m.d.sync += [passing.eq(zeros.any()), ending.eq(0)]
        with m.Elif(moved & passing):
            m.d.sync += passing.eq(~passed)
        with m.Elif(moved):
            m.d.sync += [passing.eq((run.last | run.row_end) & zeros.any()), ending.eq(run.last)]
        return m

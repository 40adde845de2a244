"""Packer: writes a run of activations into the banks, and their masks beside them."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from sterna.gateware.arithmetic import up_or
from sterna.spec.configuration import CHUNK, Configuration


def packed_run(configuration: Configuration, group: int) -> data.StructLayout:
    """``group`` neighbouring activations, and which are not zero; ``write`` low: none, only the ends count. What is not
    valid does not write, and what does not write is not ``nonzero``: neither is looked at twice."""
    return data.StructLayout({
        "values": data.ArrayLayout(signed(configuration.act_bits), group),
        "nonzero": group,
        "write": 1,
        "row_end": 1,
        "last": 1,
    })  # fmt: skip


def run_place(configuration: Configuration) -> data.StructLayout:
    """Where a run goes: first word (a multiple of CHUNK), and words of zeros before, between and after its rows."""
    word = (configuration.activation_depth - 1).bit_length()
    return data.StructLayout({"word": word, "lead": word, "gap": word, "trail": word})


def bank_write(configuration: Configuration) -> data.StructLayout:
    """One word's worth of writes: ``banks`` that take their value and whether there are such (``changes``), which of
    these are not zero, and whether all other masks of the word's chunk become zero (``fresh``). Of what is not valid no
    bank takes anything."""
    c = configuration
    return data.StructLayout({
        "word": (c.activation_depth - 1).bit_length(),
        "banks": c.simd,
        "changes": 1,
        "values": data.ArrayLayout(signed(c.act_bits), c.simd),
        "nonzero": c.simd,
        "fresh": 1,
    })  # fmt: skip


class Packer(wiring.Component):
    """Activation k of a row goes to bank k mod ``simd`` of word k // ``simd`` of the row; its mask with it.

    ``begin`` sets the place of the next run, while none is under way. A chunk's first write makes all its masks zero,
    so words of it that the run does not reach count as zero, and zeros around rows cost one write a chunk, none in a
    chunk that is begun: activations whose mask is clear are never read. Rows that anything follows end with a word.
    Latency: none. Throughput: one group a cycle; zeros: a chunk a cycle. ``group`` divides ``simd``.
    ``done`` comes with the run's last write. Without ``zeros`` a packer is smaller, and its places have none.
    """

    def __init__(self, *, configuration: Configuration, group: int, zeros: bool = True):
        self.configuration = configuration
        self.group = group
        self.zeros = zeros
        super().__init__({
            "begin": In(1),
            "place": In(run_place(configuration)),
            "run": In(stream.Signature(packed_run(configuration, group))),
            "write": Out(stream.Signature(bank_write(configuration))),
            "done": Out(1),
        })  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        c = self.configuration
        run, write, place = self.run.payload, self.write.payload, self.place
        steps = c.simd // self.group  # groups in one word
        low_bits = (CHUNK - 1).bit_length()
        word = Signal((c.activation_depth - 1).bit_length(), reset_less=True)
        word_low, chunk = word[:low_bits], word[low_bits:]
        step = Signal(range(max(2, steps)), reset_less=True)
        # Zeros go on to the end of as many chunks as this, then to this word of the next.
        chunks_left = Signal(len(chunk) + 1, reset_less=True)
        rest = Signal(low_bits, reset_less=True)
        passing = Signal()  # are there any? In a flip-flop, because the pace of the whole core hangs on readiness
        ending = Signal()  # they are the run's last
        opens = Signal(reset_less=True)  # the next write is its chunk's first; in a flip-flop, because masks are wide
        moved, passed = Signal(), Signal()
        after = Signal(low_bits)
        ends = Signal()  # the word, with this group
        word_end = Signal(init=steps == 1, reset_less=True)  # the step is a word's last; in a flip-flop too
        trails = place.trail.any() & self.zeros
        m.d.comb += [
            self.run.ready.eq(~passing & self.write.ready),
            self.write.valid.eq(passing | self.run.valid),
            moved.eq(self.write.valid & self.write.ready),
            passed.eq(Mux(chunks_left == 1, rest == 0, chunks_left == 0)),
            ends.eq(run.write & word_end),
            after.eq(word_low + ends),
            self.done.eq(moved & Mux(passing, passed & ending, run.last & ~trails)),
            write.word.eq(word),
            write.changes.eq(~passing & run.write),
            write.fresh.eq((passing | run.write) & opens),
        ]
        for j in range(c.simd):
            r = j % self.group
            turn = ~passing & (step == j // self.group)
            m.d.comb += [
                write.banks[j].eq(turn & run.write),
                write.values[j].eq(run.values[r]),
                write.nonzero[j].eq(turn & run.nonzero[r]),
            ]

        # `after` once more, but for what would go through a carry chain before the sum's own: its one is a carry.
        reach = Signal(len(word) + 1)
        zeros = Mux(run.last & ~self.begin, place.trail, Mux(self.begin, place.lead, place.gap))
        anew = self.begin | (ends & (word_low == CHUNK - 1))
        m.d.comb += reach.eq((Cat(1, zeros) + Cat(ends & ~anew, Mux(anew, 0, word_low)))[1:])
        with m.If(~passing):
            m.d.sync += Cat(rest, chunks_left).eq(reach)
        with m.If(moved & ~passing):
            m.d.sync += [word_low.eq(after), ending.eq(run.last)]
            with m.If(run.write):
                m.d.sync += [step.eq(Mux(word_end, 0, step + 1)), opens.eq(word_end & (word_low == CHUNK - 1))]
                if steps > 1:
                    m.d.sync += word_end.eq(step == steps - 2)
            with m.If(run.last | run.row_end):
                m.d.sync += passing.eq(Mux(run.last, trails, place.gap.any() & self.zeros))
        with m.Elif(moved):
            m.d.sync += [
                word_low.eq(Mux(chunks_left == 0, rest, 0)),
                opens.eq((chunks_left != 0) | (rest == 0)),
                passing.eq(~passed),
                chunks_left.eq(chunks_left - 1),
            ]
        with m.If(self.begin):
            m.d.sync += [
                word_low.eq(0),
                step.eq(0),
                word_end.eq(steps == 1),
                opens.eq(1),
                ending.eq(0),
                passing.eq(place.lead.any() & self.zeros),
            ]

        chunk_end = Mux(passing, chunks_left != 0, run.write & word_end & (word_low == CHUNK - 1))
        with m.If(self.begin | (moved & chunk_end)):
            m.d.sync += chunk.eq(up_or(self.begin, place.word[low_bits:], chunk))
        return m

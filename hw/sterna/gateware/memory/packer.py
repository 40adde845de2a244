"""Packer: writes a run of activations into the banks, and their masks beside them."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from sterna.spec.configuration import CHUNK, Configuration


def packed_run(configuration: Configuration, group: int) -> data.StructLayout:
    """``group`` neighbouring activations, and which are not zero; ``write`` low: none, only the ends count."""
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
    """One word's worth of writes: ``banks`` that take their value, and (``mask_write``) the whole chunk's masks."""
    c = configuration
    return data.StructLayout({
        "word": (c.activation_depth - 1).bit_length(),
        "banks": c.simd,
        "values": data.ArrayLayout(signed(c.act_bits), c.simd),
        "mask_write": 1,
        "masks": data.ArrayLayout(CHUNK, c.simd),
    })  # fmt: skip


class Packer(wiring.Component):
    """Activation k of a row goes to bank k mod ``simd`` of word k // ``simd`` of the row; masks go a chunk at a time.

    ``begin`` sets the place of the next run, while none is under way. A mask word is written with the word that
    completes its chunk or ends the run; words of a chunk that the run did not reach count as zero. Zeros around rows
    are written as masks only: activations whose mask is clear are never read. Rows that anything follows end with a
    word.
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
        run, write = self.run.payload, self.write.payload
        steps = c.simd // self.group  # groups in one word
        word = Signal((c.activation_depth - 1).bit_length())
        step = Signal(range(max(2, steps)))
        zeros = Signal.like(word)  # words of zeros still to go
        ending = Signal()  # the run's last activation is written
        held = Signal(data.ArrayLayout(CHUNK, c.simd))
        dirty = Signal()  # memory lacks masks of words before this one

        low_bits = (CHUNK - 1).bit_length()
        word_low, chunk = word[:low_bits], word[low_bits:]
        zeros_low, zeros_high = zeros[:low_bits], zeros[low_bits:]
        reach = Signal(low_bits + 1)  # of the zeros in this chunk, if they do not go on
        word_end = step == steps - 1
        # In flip-flops, because the pace of the whole core hangs on readiness:
        passing = Signal()  # are there any zeros?
        packing = Signal(init=1)  # neither zeros nor the end
        closing = Signal()
        zeros_after, passing_after, ending_after = Signal.like(zeros), Signal(), Signal()
        chunk_end, exactly = Signal(), Signal()
        moved = Signal()
        m.d.comb += [
            zeros_after.eq(zeros),
            passing_after.eq(passing),
            ending_after.eq(ending),
            closing.eq(~passing & ending),
            reach.eq(word_low + zeros_low),
            chunk_end.eq(Mux(passing, reach[-1] | zeros_high.any(), (word_low == CHUNK - 1) & word_end)),
            # are this chunk's the last ones?
            exactly.eq((reach[:-1] == 0) & (zeros_high == ~reach[-1])),
            self.run.ready.eq(packing & self.write.ready),
            self.write.valid.eq((packing & self.run.valid) | passing | closing),
            moved.eq(self.write.valid & self.write.ready),
            write.word.eq(word),
        ]
        ends = run.last & (self.place.trail == 0)
        with m.If(packing):
            m.d.comb += write.mask_write.eq(Mux(run.write, chunk_end | ends, dirty & ends))
        with m.Elif(passing):
            m.d.comb += write.mask_write.eq(chunk_end)
        with m.Else():
            m.d.comb += write.mask_write.eq(dirty)
        m.d.comb += self.done.eq(moved & ((packing & ends) | closing))

        position = Signal(CHUNK)  # one-hot: word within its chunk
        m.d.comb += position.eq(1 << word_low)
        for j in range(c.simd):
            value = run.values[j % self.group]
            chosen = packing & run.write & (step == j // self.group)
            m.d.comb += [
                write.banks[j].eq(chosen),
                write.values[j].eq(value),
                write.masks[j].eq(held[j] | Mux(chosen & run.nonzero[j % self.group], position, 0)),
            ]

        with m.If(moved):
            m.d.sync += [
                held.eq(Mux(write.mask_write, 0, Cat(*(write.masks[j] for j in range(c.simd))))),
                dirty.eq((dirty | passing | run.write) & ~write.mask_write),
            ]
            with m.If(passing):
                with m.If(chunk_end):
                    m.d.sync += word_low.eq(0)
                    m.d.comb += [
                        zeros_after.eq(Cat(reach[:-1], zeros_high - ~reach[-1])), passing_after.eq(~exactly),
                    ]  # fmt: skip
                with m.Else():
                    m.d.sync += word_low.eq(reach)
                    m.d.comb += [zeros_after.eq(0), passing_after.eq(0)]
            with m.Elif(packing):
                with m.If(run.write):
                    m.d.sync += step.eq(step + 1)
                    with m.If(word_end):
                        m.d.sync += [step.eq(0), word_low.eq(word_low + 1)]
                with m.If(run.last):
                    m.d.comb += [
                        zeros_after.eq(self.place.trail), passing_after.eq(self.place.trail.any()),
                        ending_after.eq(~ends),
                    ]  # fmt: skip
                with m.Elif(run.row_end):
                    m.d.comb += [zeros_after.eq(self.place.gap), passing_after.eq(self.place.gap.any())]
            with m.Else():
                m.d.comb += ending_after.eq(0)
        with m.If(self.begin):
            m.d.sync += [
                word_low.eq(self.place.word),
                step.eq(0),
                held.eq(0),
                dirty.eq(0),
            ]
            m.d.comb += [
                zeros_after.eq(self.place.lead), passing_after.eq(self.place.lead.any()), ending_after.eq(0),
            ]  # fmt: skip
        passes = passing_after & self.zeros
        m.d.sync += [
            zeros.eq(zeros_after), passing.eq(passes), ending.eq(ending_after), packing.eq(~passes & ~ending_after),
        ]  # fmt: skip

        # To load or to count: subtracting the bit that chooses puts both into the cells of the carry chain.
        counts = ~self.begin
        with m.If(self.begin | (moved & chunk_end & (passing | (packing & run.write)))):
            m.d.sync += chunk.eq(Mux(counts, chunk - counts.replicate(len(chunk)), self.place.word[low_bits:]))
        return m

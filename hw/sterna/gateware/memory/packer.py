"""Packer: writes a run of activations into the banks, and their masks beside them."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from sterna.spec.configuration import CHUNK, Configuration


def packed_run(configuration: Configuration, group: int) -> data.StructLayout:
    """``group`` neighbouring activations. ``word`` counts with ``first``: where the run begins, a multiple of CHUNK."""
    return data.StructLayout({
        "values": data.ArrayLayout(signed(configuration.act_bits), group),
        "word": (configuration.activation_depth - 1).bit_length(),
        "write": 1,
        "first": 1,
        "last": 1,
    })  # fmt: skip


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
    """Activation k of a run goes to bank k mod ``simd``, word ``word + k // simd``; masks go a chunk at a time.

    A mask word is written with the activation that completes its chunk or ends the run; words of that chunk which the
    run did not reach count as zero. Latency: none. Throughput: one group a cycle. ``group`` divides ``simd``.
    """

    def __init__(self, *, configuration: Configuration, group: int):
        self.configuration = configuration
        self.group = group
        super().__init__({
            "run": In(stream.Signature(packed_run(configuration, group))),
            "write": Out(stream.Signature(bank_write(configuration))),
        })  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        c = self.configuration
        run, write = self.run.payload, self.write.payload
        steps = c.simd // self.group  # groups in one word
        next_word = Signal((c.activation_depth - 1).bit_length())
        next_step = Signal(range(max(2, steps)))
        held = Signal(data.ArrayLayout(CHUNK, c.simd))
        dirty = Signal()  # held differs from what memory has

        word = Signal.like(next_word)
        step = Signal.like(next_step)
        chunk_end = Signal()
        m.d.comb += [
            word.eq(Mux(run.first, run.word, next_word)),
            step.eq(Mux(run.first, 0, next_step)),
            chunk_end.eq((word % CHUNK == CHUNK - 1) & (step == steps - 1)),
            self.write.valid.eq(self.run.valid),
            self.run.ready.eq(self.write.ready),
            write.word.eq(word),
            write.mask_write.eq(Mux(run.write, chunk_end | run.last, run.last & dirty)),
        ]
        position = Signal(CHUNK)  # one-hot: word within its chunk
        m.d.comb += position.eq(1 << (word % CHUNK))
        for j in range(c.simd):
            value = run.values[j % self.group]
            chosen = run.write & (step == j // self.group)
            kept = Mux(run.first, 0, held[j])
            m.d.comb += [
                write.banks[j].eq(chosen),
                write.values[j].eq(value),
                write.masks[j].eq(kept | Mux(chosen & value.any(), position, 0)),
            ]
        with m.If(self.run.valid & self.run.ready):
            m.d.sync += [
                held.eq(Mux(write.mask_write, 0, Cat(*(write.masks[j] for j in range(c.simd))))),
                dirty.eq((dirty & ~run.first | run.write) & ~write.mask_write),
                next_step.eq(step),
                next_word.eq(word),
            ]
            with m.If(run.write):
                with m.If(step == steps - 1):
                    m.d.sync += [next_step.eq(0), next_word.eq(word + 1)]
                with m.Else():
                    m.d.sync += next_step.eq(step + 1)
        return m

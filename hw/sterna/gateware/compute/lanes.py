"""Lanes: every cycle each adds ``Σ_j trit_j · x_j`` of all feeders to its accumulator."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from sterna.spec.configuration import Configuration


class Lanes(wiring.Component):
    """``pe`` accumulators over ``simd`` inputs: ``sum_p = Σ_cycles Σ_j trits_j[p] · activations_j``.

    Feeders broadcast x and -x once, so a product is one 4-input function per bit: the trit's low bit gates, its high
    bit selects the sign. Inputs whose ``gates`` bit is low count as zero whatever stands on them.

    Latency: three cycles from inputs to ``sums`` (operands, tree, accumulator). ``sums`` is complete in the cycle in
    which ``last`` is high; the accumulators are zero again in the next. Everything holds while ``flow`` is low.
    Overflow: none; the compiler bounds sums.
    """

    def __init__(self, *, configuration: Configuration):
        self.configuration = c = configuration
        super().__init__({
            "flow": In(1),
            "clear": In(1),  # no run is under way: accumulators are kept at zero
            "activations": In(data.ArrayLayout(signed(c.act_bits), c.simd)),
            "gates": In(c.simd),
            "trits": In(data.ArrayLayout(data.ArrayLayout(2, c.pe), c.simd)),
            "final": In(1),  # the inputs of this cycle are the output's last
            "last": Out(1),
            "sums": Out(data.ArrayLayout(signed(c.acc_bits), c.pe)),
        })  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        c = self.configuration

        # Data registers have no reset, so that `clear` and `final` become the flip-flops' own and take no logic.
        plus = Signal(data.ArrayLayout(signed(c.act_bits), c.simd), reset_less=True)
        minus = Signal.like(plus)
        trits = Signal(data.ArrayLayout(data.ArrayLayout(2, c.pe), c.simd), reset_less=True)
        operands_final = Signal()
        tree_final = Signal()
        with m.If(self.flow):
            m.d.sync += [trits.eq(self.trits), operands_final.eq(self.final), tree_final.eq(operands_final)]
            for j in range(c.simd):
                gated = Mux(self.gates[j], self.activations[j], 0)
                m.d.sync += [plus[j].eq(gated), minus[j].eq(-gated)]

        m.d.comb += self.last.eq(tree_final)
        for p in range(c.pe):
            products = [
                Mux(trits[j][p][0], Mux(trits[j][p][1], minus[j], plus[j]), 0).as_signed() for j in range(c.simd)
            ]
            while len(products) > 1:  # balanced tree
                products = [sum(products[k + 1 : k + 2], products[k]) for k in range(0, len(products), 2)]
            tree = Signal(products[0].shape(), name=f"tree_{p}", reset_less=True)
            accumulator = Signal(signed(c.acc_bits), name=f"accumulator_{p}", reset_less=True)
            m.d.comb += self.sums[p].eq(accumulator + tree)
            with m.If(self.flow):
                m.d.sync += [tree.eq(products[0]), accumulator.eq(Mux(tree_final | self.clear, 0, self.sums[p]))]
        return m

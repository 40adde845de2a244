"""Comparisons with constants, over all values and bounds."""

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from sterna.gateware.bounds import at_least
from sterna.sim.checks.testbench import simulate

BITS = 5


class Compared(wiring.Component):
    def __init__(self, bound: int):
        self.bound = bound
        super().__init__({"holds": Out(1), "value": In(BITS)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ticks = Signal()
        m.d.sync += ticks.eq(~ticks)
        m.d.comb += self.holds.eq(at_least(self.value, self.bound))
        return m


@pytest.mark.parametrize("bound", range(-1, (1 << BITS) + 2))
def test_a_value_is_compared_with_a_bound(bound):
    dut = Compared(bound)

    async def all_values(ctx):
        for value in range(1 << BITS):
            ctx.set(dut.value, value)
            await ctx.tick()
            assert ctx.get(dut.holds) == (value >= bound)

    simulate(dut, all_values)

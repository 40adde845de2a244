"""Sums and comparisons, over all values and bounds."""

from typing import Any

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from sterna.gateware.arithmetic import at_least, down_or, sum_or, up_or
from sterna.sim.checks.testbench import simulate

BITS = 4
BOUND_BITS = 5


class Compared(wiring.Component):
    def __init__(self, bound: int):
        self.bound = bound
        super().__init__({"holds": Out(1), "value": In(BOUND_BITS)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ticks = Signal()
        m.d.sync += ticks.eq(~ticks)
        m.d.comb += self.holds.eq(at_least(self.value, self.bound))
        return m


@pytest.mark.parametrize("bound", range(-1, (1 << BOUND_BITS) + 2))
def test_a_value_is_compared_with_a_bound(bound: int) -> None:
    dut = Compared(bound)

    async def all_values(ctx: Any) -> None:
        for value in range(1 << BOUND_BITS):
            ctx.set(dut.value, value)
            await ctx.tick()
            assert ctx.get(dut.holds) == (value >= bound)

    simulate(dut, all_values)


class Counted(wiring.Component):
    """Registers that load ``instead`` with ``loads``, and else count up, down, or by two bits of ``short``."""

    def __init__(self) -> None:
        super().__init__({
            "loads": In(1), "instead": In(BITS), "short": In(2), "up": Out(BITS), "down": Out(BITS), "sum": Out(BITS),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.sync += [
            self.up.eq(up_or(self.loads, self.instead, self.up)),
            self.down.eq(down_or(~self.loads, self.down, self.instead)),
            self.sum.eq(sum_or(self.loads, self.instead, self.sum, self.short)),
        ]
        return m


def test_what_is_loaded_counts_from_there_on() -> None:
    dut = Counted()

    async def every_start(ctx: Any) -> None:
        for start in range(1 << BITS):
            ctx.set(dut.instead, start)
            ctx.set(dut.loads, 1)
            await ctx.tick()
            ctx.set(dut.loads, 0)
            up = down = total = start
            for short in range(1 << BITS):
                assert (ctx.get(dut.up), ctx.get(dut.down), ctx.get(dut.sum)) == (up, down, total)
                ctx.set(dut.short, short)
                await ctx.tick()
                up, down, total = ((each + by) % (1 << BITS) for each, by in ((up, 1), (down, -1), (total, short % 4)))

    simulate(dut, every_start)

"""Counters of the core: in DSP blocks on UltraPlus parts, which have them to spare; elsewhere in logic."""

from typing import Any

from amaranth.hdl import C, ClockSignal, Instance, Module, ResetSignal, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from sterna.gateware.part import is_ultraplus
from sterna.spec.configuration import CHUNK, Configuration
from sterna.spec.registers import Register

NARROW_BITS, WIDE_BITS = 16, 24
PATIENCE_BITS = 16
"""The link looks at each counter again within so many cycles, as a power of two, unless more bytes come than any driver
sends: each is so wide that it does not come round meanwhile."""


def most_per_cycle(register: Register, configuration: Configuration) -> int:
    """By how much a counter rises in a cycle at most."""
    c = configuration
    each = {Register.ISSUED: c.simd, Register.STORED: CHUNK * c.simd, Register.POSITIONS: CHUNK * c.simd}
    return c.cores * each.get(register, 1)


def tally_bits(register: Register, configuration: Configuration) -> int:
    """How wide a counter is."""
    most = most_per_cycle(register, configuration) << PATIENCE_BITS
    assert most <= 1 << WIDE_BITS
    return NARROW_BITS if most <= 1 << NARROW_BITS else WIDE_BITS


class TallyPair(wiring.Component):
    """Two counters modulo 2**16; with its bit of ``enable`` each grows by its rise. On UltraPlus parts that is one
    SB_MAC16.

    Latency: two cycles from ``rises`` to ``counts``, of which the first keeps the rises' logic out of the sums' path.
    """

    enable: In(2)
    rises: In(data.ArrayLayout(NARROW_BITS, 2))
    counts: Out(data.ArrayLayout(NARROW_BITS, 2))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        hold = Signal(2)
        m.d.sync += hold.eq(~self.enable)
        if is_ultraplus(platform):
            m.submodules.sums = _block(self.rises[1], self.rises[0], hold[1], hold[0], self.counts.as_value())
            return m
        rises = Signal.like(self.rises)
        m.d.sync += rises.eq(self.rises)
        for k in range(2):
            with m.If(~hold[k]):
                m.d.sync += self.counts[k].eq(self.counts[k] + rises[k])
        return m


class WideTally(wiring.Component):
    """A counter modulo 2**24, otherwise as :class:`TallyPair`: the halves of the block are one sum."""

    enable: In(1)
    rise: In(NARROW_BITS)
    count: Out(WIDE_BITS)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        hold = Signal()
        m.d.sync += hold.eq(~self.enable)
        if is_ultraplus(platform):
            count = Signal(2 * NARROW_BITS)
            m.submodules.sum = _block(C(0, NARROW_BITS), self.rise, hold, hold, count, p_TOPADDSUB_CARRYSELECT=C(2, 2))
            m.d.comb += self.count.eq(count)
            return m
        rise = Signal.like(self.rise)
        m.d.sync += rise.eq(self.rise)
        with m.If(~hold):
            m.d.sync += self.count.eq(self.count + rise)
        return m


def _block(
    top: Value, bottom: Value, hold_top: Value, hold_bottom: Value, counts: Value, **parameters: Any
) -> Instance:
    """An SB_MAC16 whose halves add up what comes in, if they are not held."""
    reset = ResetSignal(allow_reset_less=True)
    return Instance(
        "SB_MAC16",
        p_A_REG=C(1, 1),
        p_B_REG=C(1, 1),
        p_TOPOUTPUT_SELECT=C(1, 2),  # the sum's register; what it adds up is itself and A (top), B (bottom)
        p_BOTOUTPUT_SELECT=C(1, 2),
        **parameters,
        i_CLK=ClockSignal(),
        i_CE=C(1, 1),
        i_A=top,
        i_B=bottom,
        i_OHOLDTOP=hold_top,
        i_OHOLDBOT=hold_bottom,
        **{f"i_{port}": reset for port in ("IRSTTOP", "IRSTBOT", "ORSTTOP", "ORSTBOT")},
        **{f"i_{port}": C(0, NARROW_BITS) for port in "CD"},
        **{f"i_{port}": C(0, 1) for port in _UNUSED},
        o_O=counts,
    )


_UNUSED = (
    "AHOLD", "BHOLD", "CHOLD", "DHOLD", "OLOADTOP", "OLOADBOT", "ADDSUBTOP", "ADDSUBBOT", "CI", "ACCUMCI", "SIGNEXTIN",
)  # fmt: skip

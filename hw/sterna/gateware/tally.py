"""Counters: in DSP blocks on UltraPlus parts, which have them to spare; elsewhere in logic."""

from typing import Any

from amaranth.hdl import C, ClockSignal, Instance, Module, ResetSignal, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

TALLY_BITS = 16


class TallyPair(wiring.Component):
    """Two counters modulo 2**16; with its bit of ``enable`` each grows by its rise. On UltraPlus parts that is one
    SB_MAC16.

    Latency: two cycles from ``rises`` to ``counts``, of which the first keeps the rises' logic out of the sums' path.
    """

    enable: In(2)
    rises: In(data.ArrayLayout(TALLY_BITS, 2))
    counts: Out(data.ArrayLayout(TALLY_BITS, 2))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        hold = Signal(2)
        m.d.sync += hold.eq(~self.enable)
        if platform is not None and platform.device.startswith("iCE40UP"):
            reset = ResetSignal(allow_reset_less=True)
            m.submodules.sums = Instance(
                "SB_MAC16",
                p_A_REG=C(1, 1),
                p_B_REG=C(1, 1),
                p_TOPOUTPUT_SELECT=C(1, 2),  # the sum's register; what it adds up is itself and A (top), B (bottom)
                p_BOTOUTPUT_SELECT=C(1, 2),
                i_CLK=ClockSignal(),
                i_CE=C(1, 1),
                i_A=self.rises[1],
                i_B=self.rises[0],
                i_OHOLDTOP=hold[1],
                i_OHOLDBOT=hold[0],
                **{f"i_{port}": reset for port in ("IRSTTOP", "IRSTBOT", "ORSTTOP", "ORSTBOT")},
                **{f"i_{port}": C(0, TALLY_BITS) for port in "CD"},
                **{f"i_{port}": C(0, 1) for port in _UNUSED},
                o_O=self.counts.as_value(),
            )
            return m
        rises = Signal.like(self.rises)
        m.d.sync += rises.eq(self.rises)
        for k in range(2):
            with m.If(~hold[k]):
                m.d.sync += self.counts[k].eq(self.counts[k] + rises[k])
        return m


_UNUSED = (
    "AHOLD", "BHOLD", "CHOLD", "DHOLD", "OLOADTOP", "OLOADBOT", "ADDSUBTOP", "ADDSUBBOT", "CI", "ACCUMCI", "SIGNEXTIN",
)  # fmt: skip

"""A component whose reset comes from a register, which Verilator simulates faster."""

from typing import Any

from amaranth.hdl import ClockDomain, ClockSignal, DomainRenamer, Module, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import connect, flipped


class HeldReset(wiring.Component):
    """``component`` with the same ports, reset one cycle after ``rst``, as on boards, whose reset is a register too.

    A register's next value depends on its reset. If that is an input of the model, Verilator works out all next values
    twice a cycle: when inputs may have changed, and after the clock's edge.

    The component lies at ``top``, so that its parts keep their names but for one more ``top.`` before them.
    """

    def __init__(self, component: wiring.Component):
        self.component = component
        super().__init__(component.signature)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        held = Signal(init=1, reset_less=True)
        m.d.sync += held.eq(ResetSignal())
        m.domains.held = ClockDomain(local=True)
        m.d.comb += [ClockSignal("held").eq(ClockSignal()), ResetSignal("held").eq(held)]
        m.submodules.top = DomainRenamer("held")(self.component)
        connect(m, flipped(self), self.component)
        return m

"""What property modules are made of: a module with its own clock, free inputs, and the rules of streams."""

from abc import ABC, abstractmethod
from typing import Any

from amaranth.asserts import AnyConst, AnySeq
from amaranth.hdl import Assert, Assume, ClockDomain, Elaboratable, Module, Signal, Value


class Property(Elaboratable, ABC):
    """What must hold of a component whatever its inputs do; proved from power-up for all time by k-induction.

    ``depth``: cycles of the induction, and of the search for a counterexample that begins at power-up.
    """

    depth: int = 4

    def __init__(self) -> None:
        self.clock = ClockDomain("sync", reset_less=True)  # registers begin with their values at power-up

    @abstractmethod
    def build(self, m: Module) -> None:
        """Adds the component and what is stated of it."""

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.domains += self.clock
        self.build(m)
        return m


def always(m: Module, *conditions: Any) -> None:
    """States that the conditions hold in every cycle."""
    for condition in conditions:
        m.d.comb += Assert(condition, src_loc_at=1)


def given(m: Module, *conditions: Any) -> None:
    """Restricts the world to cycles in which the conditions hold."""
    for condition in conditions:
        m.d.comb += Assume(condition, src_loc_at=1)


def free(m: Module, *signals: Any) -> None:
    """Drives signals with anything, in each cycle anew."""
    for signal in map(Value.cast, signals):
        m.d.comb += signal.eq(AnySeq(len(signal)))


def constant(m: Module, *signals: Any) -> None:
    """Drives signals with anything that stays the same for ever."""
    for signal in map(Value.cast, signals):
        m.d.comb += signal.eq(AnyConst(len(signal)))


def some(m: Module, shape: Any, name: str) -> Any:
    """A signal that is anything and stays the same: what is proved of it is proved of all values."""
    signal = Signal(shape, name=name)
    constant(m, signal)
    return signal


def implies(premise: Any, conclusion: Any) -> Value:
    """Of one bit each."""
    return ~Value.cast(premise).any() | Value.cast(conclusion).any()


def held(m: Module, stream: Any, name: str, payload: Any = None) -> Value:
    """The rule of streams: what is valid and not ready stays as it is for another cycle."""
    payload = Value.cast(stream.payload if payload is None else payload)
    stalled = Signal(name=f"{name}_stalled")
    before = Signal(len(payload), name=f"{name}_before")
    m.d.sync += [stalled.eq(stream.valid & ~stream.ready), before.eq(payload)]
    return implies(stalled, stream.valid & (payload == before))


def population(bits: Any) -> Value:
    """How many of them are set."""
    return sum((bit for bit in bits[1:]), bits[0])

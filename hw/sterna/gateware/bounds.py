"""Comparisons with constants."""

from amaranth.hdl import Const, Value


def at_least(value: Value, bound: int) -> Value:
    """Whether an unsigned value is ``bound`` or more, in plain logic: a comparison becomes a carry chain, which takes a
    cell a bit."""
    if bound <= 0:
        return Const(1)
    if bound >> len(value):
        return Const(0)
    holds: Value = Const(1)
    for k in range(len(value)):
        holds = value[k] & holds if bound >> k & 1 else value[k] | holds
    return holds

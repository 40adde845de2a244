"""Sums and comparisons in the fewest cells."""

from amaranth.hdl import Cat, Const, Mux, Value

# A register that counts, or adds, or takes what is there instead: on iCE40 one cell of a carry chain does all that, if
# what chooses goes into the chain too, as it is and not inverted, where it makes no difference.


def sum_or(other: Value, instead: Value, long: Value, short: Value) -> Value:
    """``long + short``, or ``instead`` if ``other``."""
    return Mux(other, instead, (long + Cat(short, other.replicate(len(long) - len(short))))[: len(long)])


def up_or(other: Value, instead: Value, value: Value) -> Value:
    """``value + 1``, or ``instead`` if ``other``."""
    return Mux(other, instead, (value - (~other).replicate(len(value)))[: len(value)])


def down_or(counts: Value, value: Value, instead: Value) -> Value:
    """``value - 1`` if it ``counts``, or ``instead``."""
    return Mux(counts, (value + counts.replicate(len(value)))[: len(value)], instead)


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

"""One item among all that pass: nothing is lost, doubled or reordered if any one comes out in its turn."""

from typing import Any

from amaranth.asserts import AnySeq
from amaranth.hdl import Module, Mux, Signal, Value

from sterna.sim.formal.property import always, implies


class Follower:
    """Follows one item, any one, through a component that holds at most ``capacity``.

    It counts the items inside, and those that go before the one it follows. What comes out with none before must be
    that item. As it may be any, the n-th that comes out is the n-th that went in, for all n; and as the counts may not
    drift, none is lost or doubled at the end either.
    """

    def __init__(self, m: Module, *, item: Any, arriving: Any, leaving: Any, capacity: int, place: Any = 0) -> None:
        """``arriving`` items go in at once, and ``leaving`` (0 or 1) out; ``item`` is number ``place`` of those that
        arrive."""
        item = Value.cast(item)
        self.inside = inside = Signal(range(capacity + 1))
        self.following = following = Signal()
        self.ahead = ahead = Signal(range(capacity + 1))
        self.item = Signal(len(item), name="followed")
        self.leaves = Signal()
        """The item that is followed comes out in this cycle."""
        self.begins = begins = Signal()
        """The item that comes in this cycle is followed from now on."""
        remaining = inside - Value.cast(leaving)
        m.d.comb += [
            begins.eq(~following & (place < arriving) & AnySeq(1)),
            self.leaves.eq(following & (ahead == 0) & leaving),
        ]
        m.d.sync += inside.eq(remaining + arriving)
        with m.If(begins):
            m.d.sync += [following.eq(1), self.item.eq(item), ahead.eq(remaining + place)]
        with m.Elif(following):
            m.d.sync += [following.eq(~self.leaves), ahead.eq(Mux(ahead == 0, 0, ahead - leaving))]
        always(m, implies(leaving, inside != 0), remaining + arriving <= capacity, implies(following, ahead < inside))

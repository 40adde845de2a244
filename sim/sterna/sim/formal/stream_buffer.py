"""The buffer that ends a path of ``ready``."""

from typing import Any

from amaranth.hdl import Module

from sterna.gateware.stream_buffer import StreamBuffer
from sterna.sim.formal.opened import Opened
from sterna.sim.formal.order import Follower
from sterna.sim.formal.property import Property, always, free, implies

SHAPE = 8


class BufferOrder(Property):
    """Items leave the buffer in the order in which they came, each once; it offers what it holds or is offered, and
    takes one whenever it holds none."""

    depth = 2

    def __init__(self, buffer: Any = StreamBuffer) -> None:
        super().__init__()
        self.buffer = buffer(SHAPE)

    def build(self, m: Module) -> None:
        i, o = self.buffer.i, self.buffer.o
        m.submodules.buffer = opened = Opened(self.buffer)
        free(m, i.valid, i.payload, o.ready)
        # An item that passes in the cycle in which it comes is not inside; it must be the one that comes.
        follower = Follower(
            m, item=i.payload, arriving=i.valid & i.ready & ~o.ready, leaving=opened["holding"] & o.ready, capacity=1
        )
        always(m, implies(follower.leaves, o.payload == follower.item))
        always(m, implies(follower.inside == 0, i.ready & (o.valid == i.valid) & (o.payload == i.payload)))
        always(m, implies(follower.inside != 0, o.valid), follower.inside == opened["holding"])
        always(m, implies(follower.following, opened["held"] == follower.item))

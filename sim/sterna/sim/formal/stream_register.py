"""The register that ends paths through a stream."""

from typing import Any

from amaranth.hdl import Module

from sterna.gateware.stream_register import StreamRegister
from sterna.sim.formal.order import Follower
from sterna.sim.formal.property import Property, always, free, implies

SHAPE = 8


class RegisterOrder(Property):
    """Items leave the register in the order in which they came, each once; it takes one whenever it holds none."""

    depth = 2

    def __init__(self, register: Any = StreamRegister) -> None:
        super().__init__()
        self.register = register(SHAPE)

    def build(self, m: Module) -> None:
        i, o = self.register.i, self.register.o
        m.submodules.register = self.register
        free(m, i.valid, i.payload, o.ready)
        follower = Follower(
            m, item=i.payload, arriving=i.valid & i.ready, leaving=o.valid & o.ready, capacity=1
        )  # fmt: skip
        always(m, follower.inside == o.valid, i.ready == ~o.valid)
        always(m, implies(follower.following, o.payload == follower.item))

"""The queue of tags between the sequencer and capture."""

from typing import Any

from amaranth.hdl import Module, Mux
from amaranth.lib.fifo import SyncFIFOBuffered

from sterna.gateware.control.tags import output_tags
from sterna.sim.formal.opened import Opened
from sterna.sim.formal.order import Follower
from sterna.sim.formal.property import Property, always, free, implies


class TagQueue(Property):
    """Tags leave the core's queue in the order in which they came, each once, and stand until they are taken; the queue
    takes what it promises to take."""

    depth = 2

    def __init__(self, queue: Any = SyncFIFOBuffered, *, places: int = 4) -> None:
        super().__init__()
        self.places = places
        self.queue = queue(width=output_tags().size, depth=places)

    def build(self, m: Module) -> None:
        queue = self.queue
        m.submodules.queue = opened = Opened(queue)
        free(m, queue.w_en, queue.w_data, queue.r_en)
        follower = Follower(
            m, item=queue.w_data, arriving=queue.w_en & queue.w_rdy, leaving=queue.r_en & queue.r_rdy,
            capacity=self.places,
        )  # fmt: skip
        always(m, implies(follower.leaves, queue.r_data == follower.item))
        always(m, implies(follower.inside < self.places - 1, queue.w_rdy))

        # Where the items are: the first at the output, the others in the ring of storage.
        ring = self.places - 1
        produce, consume, level = opened["produce"], opened["consume"], opened["inner_level"]
        place = consume + follower.ahead - queue.r_rdy
        end = consume + level
        stored = opened.word("storage", Mux(place >= ring, place - ring, place)[: len(consume)])
        always(m, produce < ring, consume < ring, level <= ring, produce == Mux(end >= ring, end - ring, end))
        always(m, follower.inside == level + queue.r_rdy)
        shown = queue.r_rdy & (follower.ahead == 0)
        always(m, implies(follower.following, follower.item == Mux(shown, queue.r_data, stored)))

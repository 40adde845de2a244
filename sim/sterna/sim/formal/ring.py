"""The ring of the link's processor: what the host sends never lies over what the program still needs."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal

from sterna.gateware.link.instructions import Action
from sterna.gateware.link.processor import LinkProcessor
from sterna.sim.formal.opened import Opened
from sterna.sim.formal.property import Property, always, free, given, implies
from sterna.spec.configuration import Configuration

CONFIGURATION = Configuration(
    name="ring", simd=1, pe=4, act_bits=2, acc_bits=8, weight_depth=16, mask_depth=16, activation_depth=16,
    parameter_depth=16, pool_depth=16, program_depth=16,
)  # fmt: skip


class RingRoom(Property):
    """Whatever the program does with the ring in the order in which it is meant to, no byte from the host comes to lie
    where the frame is that is taken in or worked on, and what is read was received.

    The order: bytes are read only when they are there, and fewer are put than were read, from MARK up to BACK; then
    up to the plain frame's end, and NEXT.
    """

    depth = 2

    def __init__(self, processor: Any = LinkProcessor) -> None:
        super().__init__()
        self.processor = processor(configuration=CONFIGURATION, program=[0] * 16, work=[])

    def build(self, m: Module) -> None:
        processor = self.processor
        m.submodules.processor = opened = Opened(processor)
        free(
            m, processor.rx.valid, processor.rx.payload, processor.tx.ready, processor.running, processor.counters,
            processor.write.ready, processor.inputs.ready, processor.starts.ready, processor.reads.ready,
            processor.read_values.valid, processor.read_values.payload,
        )  # fmt: skip
        head, frame, reader, writer = (opened[name] for name in ("head", "frame", "reader", "writer"))
        mark, back, following, put = (
            opened[f"act_{each.name.lower()}"] for each in (Action.MARK, Action.BACK, Action.NEXT, Action.PUT)
        )
        reads = opened["from_ring"]

        def behind(pointer: Signal) -> Any:
            """Bytes from the frame's first to the pointer."""
            return (pointer - frame)[: len(frame)]

        working = Signal()  # between BACK and NEXT
        with m.If(back):
            m.d.sync += working.eq(1)
        with m.Elif(following):
            m.d.sync += working.eq(0)
        given(m, implies(reads, Mux(working, behind(reader) < behind(writer), reader != head)))
        given(m, implies(put, ~working & (behind(writer) < behind(reader))))
        given(m, implies(mark | back, ~working), implies(following, working | (reader == writer)))
        given(m, mark + back + following + put + reads <= 1)

        most = processor.ring_bytes - 1
        takes = processor.rx.valid & processor.rx.ready
        always(m, implies(takes, behind(head) != most))
        always(m, behind(reader) <= behind(head), behind(writer) <= behind(head))
        always(m, implies(~working, behind(writer) <= behind(reader)))
        # Room is told of in a flip-flop: right, as the frame's beginning only goes on and no two bytes come at once.
        always(m, implies(opened["room"], behind(head) != most))

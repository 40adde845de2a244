"""The rule of streams, for every component that sends one: what is offered stays until it is taken."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from amaranth.hdl import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.stream import Signature

from sterna.gateware.compute.capture import Capture
from sterna.gateware.compute.pool import MaxPool
from sterna.gateware.compute.requantiser import Requantiser
from sterna.gateware.compute.scanner import Scanner
from sterna.gateware.control.sequencer import WINDOW, Sequencer
from sterna.sim.formal.opened import Opened
from sterna.sim.formal.property import Property, always, free, given, held, implies
from sterna.spec.configuration import Configuration
from sterna.spec.descriptors import BEGINNING_WORDS, OP_HEAD_WORDS

CONFIGURATION = Configuration(
    name="streams", simd=2, pe=8, requantisers=2, act_bits=4, acc_bits=8, weight_depth=16, mask_depth=16,
    activation_depth=16, parameter_depth=16, pool_depth=16, program_depth=16,
)  # fmt: skip
SENDERS: dict[str, Callable[[], wiring.Component]] = {
    "capture": lambda: Capture(configuration=CONFIGURATION),
    "pool": lambda: MaxPool(configuration=CONFIGURATION),
    "requantiser": lambda: Requantiser(configuration=CONFIGURATION),
    "requantiser behind registers": lambda: Requantiser(configuration=replace(CONFIGURATION, read_latency=2)),
    "scanner": lambda: Scanner(configuration=CONFIGURATION),
}
"""All but the packer, whose payload counts in parts only, the link's processor, whose program decides, and the
sequencer, which has a class of its own."""


class StreamRules(Property):
    """If all that send to a component keep the rule of streams, so does the component. Its other inputs are free."""

    def __init__(self, component: wiring.Component, *, depth: int = 2) -> None:
        super().__init__()
        self.component = component
        self.depth = depth

    def build(self, m: Module) -> None:
        m.submodules.component = self.opened = Opened(self.component)
        for name, member in self.component.signature.members.items():
            port, incoming = getattr(self.component, name), member.flow is wiring.In
            if not member.is_signature:
                free(m, *([port] if incoming else []))
            elif not isinstance(member.signature, Signature):  # a memory's port; words for one wait like a stream
                inner = member.signature.flip() if incoming else member.signature
                free(m, *(getattr(port, each) for each, of in inner.members.items() if of.flow is wiring.In))
                if {"valid", "ready"} <= inner.members.keys() and not incoming:
                    word = Cat(getattr(port, each) for each in inner.members if each not in {"valid", "ready"})
                    always(m, held(m, port, name, word))
            elif incoming:
                free(m, port.valid, port.payload)
                given(m, held(m, port, name))
            else:
                free(m, port.ready)
                always(m, held(m, port, name))


class SequencerRules(StreamRules):
    """The rule of streams for a sequencer: an output that it offers before all of the op's descriptor is read is not
    changed by what is read then. Words are read in order: ahead, the beginning; with outputs on offer, only the rest.
    """

    def __init__(self, sequencer: Any = Sequencer) -> None:
        super().__init__(sequencer(configuration=CONFIGURATION), depth=4)

    def build(self, m: Module) -> None:
        super().build(m)
        names = "phase_state", "new_op", "rest", "index", "arriving", "arriving_index", "plane_first"
        state, new_op, rest, index, arriving, arriving_index, plane_first = map(self.opened.__getitem__, names)
        tags = self.component.outputs.payload.tags
        always(m, implies(new_op, plane_first), implies(tags.op_last, tags.plane_last))
        always(m, self.component.running | new_op)
        fetching, draining = state == 0, state == 3  # the states' numbers, in the order in which they are named
        always(m, implies(fetching | draining, ~rest), implies(draining, new_op & (index == 0)))
        always(m, implies(fetching & new_op, index <= BEGINNING_WORDS))
        always(m, implies(fetching & new_op & arriving & (index != 0), arriving_index == index - 1))
        always(m, implies(fetching & ~new_op, (index >= OP_HEAD_WORDS) & (index <= WINDOW + 1)))
        with m.If(~fetching & ~draining):
            always(m, ~new_op, implies(rest, (index >= BEGINNING_WORDS) & (index <= WINDOW)))
            always(m, implies(~rest, index == WINDOW + 1), implies(arriving, arriving_index >= BEGINNING_WORDS))

"""The rule of streams, for every component that sends one: what is offered stays until it is taken."""

from collections.abc import Callable
from dataclasses import replace

from amaranth.hdl import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.stream import Signature

from sterna.gateware.compute.capture import Capture
from sterna.gateware.compute.pool import MaxPool
from sterna.gateware.compute.requantiser import Requantiser
from sterna.gateware.compute.scanner import Scanner
from sterna.gateware.control.sequencer import Sequencer
from sterna.sim.formal.property import Property, always, free, given, held
from sterna.spec.configuration import Configuration

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
    "sequencer": lambda: Sequencer(configuration=CONFIGURATION),
}
"""All but the packer, whose payload counts in parts only, and the link's processor, whose program decides."""


class StreamRules(Property):
    """If all that send to a component keep the rule of streams, so does the component. Its other inputs are free."""

    def __init__(self, component: wiring.Component, *, depth: int = 2) -> None:
        super().__init__()
        self.component = component
        self.depth = depth

    def build(self, m: Module) -> None:
        m.submodules.component = self.component
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

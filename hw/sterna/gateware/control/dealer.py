"""Dealer: makes several cores of one configuration look like one to the link."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from sterna.gateware.interfaces import MemoryWrite, counters, input_activation, read_request, run_request
from sterna.spec.configuration import Configuration


class CorePorts(wiring.Signature):
    """A core's ports, from the side of what works it."""

    def __init__(self, configuration: Configuration):
        c = configuration
        super().__init__({
            "write": Out(MemoryWrite(c)),
            "inputs": Out(stream.Signature(input_activation(c))),
            "starts": Out(stream.Signature(run_request())),
            "running": In(1),
            "reads": Out(stream.Signature(read_request(c))),
            "read_values": In(stream.Signature(signed(c.act_bits))),
            "counters": In(counters(c)),
        })  # fmt: skip


class Dealer(wiring.Component):
    """Words go to all cores; activations, runs and reads to the one that ``core`` names.

    What is offered waits for its core in registers of that core's own, so that no path leads from one core to another
    and cores may lie far apart. A core is offered nothing new until it has taken what waits, so everything arrives in
    the order in which it was sent. A run is taken from the link when its core has it: until then the link looks after
    the counters. Counters are the sums of the cores'.

    Latency: one cycle, for counters one for each core but the first. Throughput: one offer in two cycles, or in one
    more than the core (words: the slowest) takes. Flow control: valid/ready; ``core`` holds while anything is offered
    or a value is awaited. Bad input: the link names no core that is not there. Cost with four cores of 8 × 32: 219
    LUT4, 296 CCU2C, 1,025 FF on ECP5.

    Members
    -------
    write, inputs, starts, reads, read_values, counters
        As of a single core; see ``sterna.gateware.interfaces``.
    core : ``In(range(cores))``
        Whose streams these are.
    running : ``Out(cores)``
        By core.
    cores : ``Out(CorePorts).array(cores)``
        The cores.
    """

    def __init__(self, *, configuration: Configuration):
        self.configuration = c = configuration
        ports = CorePorts(c).flip().members
        super().__init__({
            **{name: ports[name] for name in ("write", "inputs", "starts", "reads", "read_values", "counters")},
            "core": In(range(c.cores)),
            "running": Out(c.cores),
            "cores": Out(CorePorts(c)).array(c.cores),
        })  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        count = self.configuration.cores
        busy = Signal(count)  # by core: something waits for it
        m.d.comb += self.write.ready.eq(~busy.any())
        for k in range(count):
            core, chosen, began = self.cores[k], self.core == k, Signal(name=f"began_{k}")
            offers = {"write": self.write.valid & self.write.ready}
            for name in ("inputs", "starts", "reads"):
                ours = getattr(self, name)
                starts = name == "starts"
                offers[name] = ours.valid & chosen & (~began if starts else 1)
                with m.If(chosen):
                    m.d.comb += ours.ready.eq(began if starts else ~busy[k])
            waiting = [
                _wait(m, getattr(core, name), busy[k], offer, getattr(self, name)) for name, offer in offers.items()
            ]
            m.d.comb += busy[k].eq(Cat(waiting).any())
            m.d.sync += [began.eq(core.starts.valid & core.starts.ready), self.running[k].eq(core.running)]
            with m.If(chosen):
                m.d.comb += core.read_values.ready.eq(~self.read_values.valid)
                with m.If(~self.read_values.valid):
                    m.d.sync += [
                        self.read_values.valid.eq(core.read_values.valid),
                        self.read_values.payload.eq(core.read_values.payload),
                    ]
        with m.If(self.read_values.valid & self.read_values.ready):
            m.d.sync += self.read_values.valid.eq(0)

        for name, counter in self.counters.shape():
            total = self.cores[0].counters[name]
            for k in range(1, count):
                sums = Signal(counter.shape, name=f"{name}_{k}")
                m.d.sync += sums.eq(total + self.cores[k].counters[name])
                total = sums
            m.d.comb += self.counters[name].eq(total)
        return m


def _wait(m: Module, its: Any, busy: Value, offer: Value, ours: Any) -> Signal:
    """Registers what is offered for a core until it takes it; returns whether something waits."""
    waits = Signal()
    m.d.comb += its.valid.eq(waits)
    with m.If(~busy):
        m.d.sync += waits.eq(offer)
    with m.Elif(its.ready):
        m.d.sync += waits.eq(0)
    for name in its.signature.members:
        if name not in ("valid", "ready"):
            kept = Signal.like(getattr(ours, name), reset_less=True)
            with m.If(~busy):
                m.d.sync += kept.eq(getattr(ours, name))
            m.d.comb += getattr(its, name).eq(kept)
    return waits

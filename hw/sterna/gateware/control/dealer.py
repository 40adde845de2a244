"""Dealer: makes several cores of one configuration look like one to the link."""

from typing import Any

from amaranth.hdl import Module, Signal, signed
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

    A word is offered to each core until that has taken it, and has been taken when all have: cores hold their
    pipelines at different times. Counters are the sums of the cores'.

    Latency: none; counters one cycle, so that their sums end no path of the cores. Throughput: that of the cores, for
    words that of the slowest to take each. Flow control: valid/ready; ``core`` holds while anything is offered or a
    value is awaited. Bad input: the link names no core that is not there. Cost with four cores of 8 × 32: 807
    LUT4, 72 CCU2C, 148 FF on ECP5.

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
        taken = Signal(count)  # by core: has the word that is offered
        done = Signal(count)  # … at the end of this cycle
        m.d.comb += self.write.ready.eq(done.all())
        with m.If(self.write.valid):
            m.d.sync += taken.eq(done & ~done.all().replicate(count))

        for k in range(count):
            core, chosen = self.cores[k], self.core == k
            m.d.comb += [
                core.write.valid.eq(self.write.valid & ~taken[k]),
                core.write.region.eq(self.write.region),
                core.write.address.eq(self.write.address),
                core.write.data.eq(self.write.data),
                done[k].eq(taken[k] | core.write.ready),
                self.running[k].eq(core.running),
            ]
            for name in ("inputs", "starts", "reads"):
                ours, its = getattr(self, name), getattr(core, name)
                m.d.comb += [its.valid.eq(ours.valid & chosen), its.payload.eq(ours.payload)]
                with m.If(chosen):
                    m.d.comb += ours.ready.eq(its.ready)
            m.d.comb += core.read_values.ready.eq(self.read_values.ready & chosen)
            with m.If(chosen):
                m.d.comb += [
                    self.read_values.valid.eq(core.read_values.valid),
                    self.read_values.payload.eq(core.read_values.payload),
                ]

        for name in counters(self.configuration).members:
            counts = [self.cores[k].counters[name] for k in range(count)]
            m.d.sync += self.counters[name].eq(sum(counts[1:], counts[0]))
        return m

"""The accelerator: a stream of bytes in, a stream of bytes out.

rx → [ ring ⇄ processor ] → tx                           link side: frames, registers, loading
            │ (several cores: by way of the dealer)
[ sequencer → scanner → feeders → lanes → capture → requantiser → packer ]   core, around its memories
"""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import DomainRenamer, Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from sterna.gateware.control.dealer import Dealer
from sterna.gateware.core import Core
from sterna.gateware.link.endpoint import Endpoint
from sterna.spec.configuration import Configuration


class Accelerator(wiring.Component):
    """Everything of one configuration behind one byte stream; protocol in ``sterna.spec.frames``.

    ``core_domains`` are clock domains for several cores, with ``sync``'s clock and a reset that may end later.

    Members
    -------
    rx : ``In(stream(8))``
        Bytes from the host.
    tx : ``Out(stream(8))``
        Bytes to the host.
    running : ``Out(1)``
        A run is under way.
    bad_frame : ``Out(1)``
        High for a cycle after a damaged frame.
    """

    def __init__(self, *, configuration: Configuration, build_id: int = 0, core_domains: Sequence[str] = ()):
        self.configuration = configuration
        self.build_id = build_id
        self.core_domains = core_domains or ["sync"] * configuration.cores
        super().__init__({
            "rx": In(stream.Signature(8)),
            "tx": Out(stream.Signature(8)),
            "running": Out(1),
            "bad_frame": Out(1),
        })  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.endpoint = endpoint = Endpoint(configuration=self.configuration, build_id=self.build_id)
        if self.configuration.cores == 1:
            m.submodules.core = core = Core(configuration=self.configuration)
            running = core.running
        else:
            core = self._build_cores(m)
            m.d.comb += core.core.eq(endpoint.core)
            running = core.running.any()
        connect(m, flipped(self.rx), endpoint.rx)
        connect(m, endpoint.tx, flipped(self.tx))
        for name in ("write", "inputs", "starts", "reads", "read_values"):
            connect(m, getattr(endpoint, name), getattr(core, name))
        m.d.comb += [endpoint.running.eq(core.running), endpoint.counters.eq(core.counters)]
        m.d.comb += [self.running.eq(running), self.bad_frame.eq(endpoint.bad_frame)]
        return m

    def _build_cores(self, m: Module) -> Dealer:
        m.submodules.dealer = dealer = Dealer(configuration=self.configuration)
        for k, (ports, domain) in enumerate(zip(dealer.cores, self.core_domains, strict=True)):
            core = Core(configuration=self.configuration)
            m.submodules[f"core_{k}"] = DomainRenamer(domain)(core)
            connect(m, ports, core)
        return dealer

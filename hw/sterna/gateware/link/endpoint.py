"""The device's end of the link: everything between the host's bytes and the core."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from sterna.gateware.control.controller import Controller
from sterna.gateware.link.layouts import response_byte
from sterna.gateware.link.receiver import FrameReceiver
from sterna.gateware.link.transmitter import FrameTransmitter
from sterna.gateware.stream_register import StreamRegister
from sterna.spec.configuration import Configuration

CORE_PORTS = "write", "inputs", "starts", "running", "reads", "read_values", "counters", "core"


class Endpoint(wiring.Component):
    """rx → receiver → controller → transmitter → tx; the controller works the core.

    Latency, throughput, flow control and bad input: see the three parts. Cost at simd 4, pe 8: 1,100 LUT4, 454 FF,
    4 EBR on iCE40 (`synth_ice40`, with the core's part of the counters outside).

    Members
    -------
    rx : ``In(stream(8))``
        Bytes from the host.
    tx : ``Out(stream(8))``
        Bytes to the host.
    bad_frame : ``Out(1)``
        High for a cycle after a damaged frame.
    write, inputs, starts, running, reads, read_values, counters, core
        The core, or cores; see ``sterna.gateware.interfaces``.
    """

    def __init__(self, *, configuration: Configuration, build_id: int = 0):
        self.configuration = configuration
        self._controller = Controller(configuration=configuration, build_id=build_id)
        core = {name: port for name, port in self._controller.signature.members.items() if name in CORE_PORTS}
        link = {"rx": In(stream.Signature(8)), "tx": Out(stream.Signature(8)), "bad_frame": Out(1)}
        super().__init__(link | core)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.receiver = receiver = FrameReceiver()
        m.submodules.controller = controller = self._controller
        m.submodules.transmitter = transmitter = FrameTransmitter()

        connect(m, flipped(self.rx), receiver.i)
        connect(m, receiver.o, controller.requests)
        # An answer's bytes stop over on their way: so nothing that the transmitter waits for holds up the receiver in
        # the same cycle.
        m.submodules.answers = answers = StreamRegister(response_byte())
        connect(m, controller.answers, answers.i)
        connect(m, answers.o, transmitter.i)
        connect(m, transmitter.o, flipped(self.tx))

        for name in ("write", "inputs", "starts", "reads", "read_values"):
            connect(m, getattr(controller, name), flipped(getattr(self, name)))
        m.d.comb += [
            controller.running.eq(self.running),
            controller.counters.eq(self.counters),
            controller.good_frames.eq(receiver.good_frames),
            controller.bad_frames.eq(receiver.bad_frames),
        ]
        if self.configuration.cores > 1:
            m.d.comb += self.core.eq(controller.core)
        counted = Signal()  # parity of the damaged frames a cycle ago
        m.d.sync += counted.eq(receiver.bad_frames[0])
        m.d.comb += self.bad_frame.eq(counted != receiver.bad_frames[0])
        return m

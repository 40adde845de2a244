"""UART, 8N1: bytes on two wires, least significant bit first."""

from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from sterna.spec.errors import ConfigurationError

MIN_CYCLES = 8
"""Clock cycles of a bit, at least: the receiver sees an edge up to one cycle late."""
MAX_ERROR = 0.01
"""How far the rate made may lie from the one asked for, so that the other end may be off by twice as much."""


def bit_cycles(*, clock: float, baud: float) -> int:
    """Clock cycles of a bit. Raises :class:`ConfigurationError` where whole cycles do not give the rate."""
    cycles = round(clock / baud)
    if cycles < MIN_CYCLES:
        raise ConfigurationError(
            f"{baud:.0f} baud is too fast for a clock of {clock / 1e6:g} MHz; mend: at most {clock / MIN_CYCLES:.0f}"
        )
    error = clock / baud / cycles - 1
    if abs(error) > MAX_ERROR:
        raise ConfigurationError(
            f"{baud:.0f} baud from a clock of {clock / 1e6:g} MHz would be off by {error:+.1%}; "
            f"mend: {clock / cycles:.0f} baud, or a clock that is a multiple of the rate"
        )
    return cycles


class UartReceiver(wiring.Component):
    """Bytes from a wire, each bit sampled in its middle.

    A fall of the wire begins a byte if it is still low half a bit later. A byte counts if its stop bit is high; half of
    that is enough, so the sender's rate may be off by 3 %. Latency: a byte comes in the middle of its stop bit. Flow
    control: none on the wire; a byte that begins while ``o`` has not taken the one before is lost, as is one without
    a stop bit. The checks of frames find out.

    Members
    -------
    wire : ``In(1)``
        Asynchronous; idle high.
    o : ``Out(stream(8))``
        Bytes.
    """

    def __init__(self, *, clock: float, baud: float):
        self.cycles = bit_cycles(clock=clock, baud=baud)
        super().__init__({"wire": In(1, init=1), "o": Out(stream.Signature(8))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        wire = Signal(init=1)
        m.submodules.synchroniser = FFSynchronizer(self.wire, wire, init=1)
        timer = Signal(range(self.cycles))
        elapsed = Signal()
        bits = Signal(9)  # a one behind the data; it leaves last and so marks the stop bit
        busy, starting = Signal(), Signal()
        m.d.comb += [elapsed.eq(timer == 0), self.o.payload.eq(bits[1:])]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(~busy):
            m.d.sync += [busy.eq(~wire), starting.eq(1), timer.eq(self.cycles // 2 - 1)]
        with m.Elif(~elapsed):
            m.d.sync += timer.eq(timer - 1)
        with m.Else():
            m.d.sync += timer.eq(self.cycles - 1)
            with m.If(starting):
                m.d.sync += starting.eq(0)
                with m.If(wire | self.o.valid):
                    m.d.sync += busy.eq(0)
                with m.Else():
                    m.d.sync += bits.eq(1 << 8)
            with m.Elif(bits[0]):
                m.d.sync += [busy.eq(0), self.o.valid.eq(wire)]
            with m.Else():
                m.d.sync += bits.eq(Cat(bits[1:], wire))
        return m


class UartTransmitter(wiring.Component):
    """Bytes to a wire. Throughput: ten bits a byte, back to back. Flow control: ``i`` is taken when the wire is free.

    Members
    -------
    i : ``In(stream(8))``
        Bytes.
    wire : ``Out(1)``
        Straight from a flip-flop; idle high.
    """

    def __init__(self, *, clock: float, baud: float):
        self.cycles = bit_cycles(clock=clock, baud=baud)
        super().__init__({"i": In(stream.Signature(8)), "wire": Out(1, init=1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        timer = Signal(range(self.cycles))
        elapsed, sent = Signal(init=1), Signal(init=1)  # what tells of the timer and of the bits
        bits = Signal(10, init=1)  # what is left to send; the stop bit stays
        m.d.comb += [self.wire.eq(bits[0]), self.i.ready.eq(sent & elapsed)]
        with m.If(~elapsed):
            m.d.sync += [timer.eq(timer - 1), elapsed.eq(timer == 1)]
        with m.Elif(~sent | self.i.valid):
            m.d.sync += [
                timer.eq(self.cycles - 1),
                elapsed.eq(0),
                bits.eq(Mux(sent, Cat(C(0, 1), self.i.payload, C(1, 1)), bits[1:])),
                sent.eq(~sent & (bits[2:] == 0)),
            ]
        return m

"""Top of a board: pins → clock, reset, UART → accelerator."""

from typing import Any

from amaranth.hdl import Cat, ClockDomain, ClockSignal, Elaboratable, Module, ResetSignal, Signal
from amaranth.lib import io, wiring
from amaranth.lib.cdc import ResetSynchronizer
from amaranth.lib.wiring import Out, connect

from sterna.accelerator import Accelerator
from sterna.boards.board import Board
from sterna.boards.pll import Pll
from sterna.gateware.link.uart import UartReceiver, UartTransmitter

RESET_SECONDS = 15e-6
"""From lock to the end of reset, at least. Block RAM of an iCE40 reads zeros for about 3 µs after configuration."""


class ClockAndReset(wiring.Component):
    """The PLL's clock, and a reset that lasts until it has been locked for ``RESET_SECONDS`` or up to twice as long,
    and whenever it is not locked. nextpnr derives the clock's constraint from the one of the pin.

    Members
    -------
    clock : ``Out(1)``
        ``board.frequency`` Hz.
    reset : ``Out(1 + cores)``, ``Out(1)`` with a single core
        Begin at any time. The first ends with an edge of ``clock``, each further one a cycle after the one before.
    """

    def __init__(self, *, board: Board):
        self.board = board
        cores = board.configuration.cores
        count = 1 + cores if cores > 1 else 1
        super().__init__({"clock": Out(1), "reset": Out(count, init=(1 << count) - 1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        board = self.board
        m.submodules.pll = pll = Pll(
            pin=platform.request(platform.default_clk, dir="-"),
            source=int(platform.default_clk_frequency),
            target=board.frequency,
            pin_is_pad=board.clock_is_pll_pad,
        )
        m.domains.lock = ClockDomain(async_reset=True, local=True)
        m.submodules.locked = ResetSynchronizer(~pll.locked, domain="lock")
        cycles = int(RESET_SECONDS * board.frequency)
        timer = Signal((cycles - 1).bit_length() + 1)  # so many, or up to twice as many: until the top bit is set
        with m.If(~timer[-1]):
            m.d.lock += timer.eq(timer + 1)
        m.d.lock += self.reset.eq(Cat(~timer[-1], self.reset))
        m.d.comb += [ClockSignal("lock").eq(pll.clock), self.clock.eq(pll.clock)]
        return m


class Top(Elaboratable):
    """A board's design: UART at both ends of the accelerator, and its state on the lights.

    ``idle`` and ``busy`` show whether a run is under way; ``error`` is on from a damaged frame until the next run.
    """

    def __init__(self, *, board: Board, build_id: int = 0):
        self.board = board
        self.build_id = build_id

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        board = self.board
        rate = {"clock": board.frequency, "baud": board.baud}
        m.domains.sync = ClockDomain()
        m.submodules.clock = clock = ClockAndReset(board=board)
        m.d.comb += [ClockSignal().eq(clock.clock), ResetSignal().eq(clock.reset[0])]
        m.submodules.receiver = receiver = UartReceiver(**rate)
        # Several cores lie far apart: a reset for each, of the same clock.
        domains = [f"core_{k}" for k in range(len(clock.reset) - 1)]
        for domain, reset in zip(domains, clock.reset[1:], strict=True):
            m.domains += ClockDomain(domain)
            m.d.comb += [ClockSignal(domain).eq(clock.clock), ResetSignal(domain).eq(reset)]
        m.submodules.accelerator = accelerator = Accelerator(
            configuration=board.configuration, build_id=self.build_id, core_domains=domains
        )
        m.submodules.transmitter = transmitter = UartTransmitter(**rate)
        connect(m, receiver.o, accelerator.rx)
        connect(m, accelerator.tx, transmitter.i)

        uart = _request(platform, board.uart)
        m.submodules.rx = rx = io.Buffer("i", uart.rx)
        m.submodules.tx = tx = io.Buffer("o", uart.tx)
        m.d.comb += [receiver.wire.eq(rx.i), tx.o.eq(transmitter.wire)]

        error = Signal()
        with m.If(accelerator.bad_frame):
            m.d.sync += error.eq(1)
        with m.Elif(accelerator.running):
            m.d.sync += error.eq(0)
        states = {"idle": ~accelerator.running, "busy": accelerator.running, "error": error}
        names = dict.fromkeys(place[0] for place in board.lights.values())
        resources = {name: _request(platform, name) for name in names}
        for state, (name, *part) in board.lights.items():
            pin = resources[name]
            for each in part:
                pin = getattr(pin, each)
            m.submodules[state] = light = io.Buffer("o", pin)
            m.d.comb += light.o.eq(states[state])
        return m


def _request(platform: Any, name: str) -> Any:
    name, _, number = name.partition(":")
    return platform.request(name, int(number or 0), dir="-")

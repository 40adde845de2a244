"""Agents for valid/ready streams in cocotb benches, and the scoreboard that they report to.

Every agent drives its signals at the falling edge of the clock and looks at the settled signals just before the rising
one: a transfer happens at that rising edge if ``valid`` and ``ready`` are then both high. So the order in which the
simulator wakes the agents does not matter, and combinational paths through the design may cross from one to the other.
"""

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from random import Random
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import Event, FallingEdge, ReadOnly, SimTimeoutError, with_timeout

PERIOD_NS = 10
Handle = Any  # a signal or scope of the simulator; cocotb finds its kind at run time


async def start(dut: Handle, *, reset_cycles: int = 4) -> None:
    """Starts ``dut.clk`` and holds ``dut.rst`` for some cycles; returns with reset released, at a falling edge."""
    dut.rst.value = 1
    Clock(dut.clk, PERIOD_NS, unit="ns").start()
    for _ in range(reset_cycles):
        await FallingEdge(dut.clk)
    dut.rst.value = 0


class Stalls:
    """When to hold back, at random but the same for the same seed.

    Holds back in a fraction of the cycles that itself changes at random every few dozen cycles, so that bursts at full
    speed, long pauses and everything between come up. ``most`` is the largest fraction; 0 never holds back.
    """

    def __init__(self, seed: int, most: float) -> None:
        self._random = Random(seed)  # noqa: S311 (stimulus)
        self._most = most
        self._fraction = 0.0
        self._left = 0

    def __call__(self) -> bool:
        if not self._most:
            return False
        if self._left == 0:
            self._left = self._random.randint(1, 64)
            self._fraction = self._random.choice((0.0, self._most / 4, self._most / 2, self._most))
        self._left -= 1
        return self._random.random() < self._fraction


class _Agent:
    """Payload, valid and ready of the stream port ``name`` of ``dut``."""

    def __init__(self, dut: Handle, name: str) -> None:
        self.name = name
        self.clock = dut.clk
        self.reset = dut.rst
        self.payload = getattr(dut, f"{name}__payload")
        self.valid = getattr(dut, f"{name}__valid")
        self.ready = getattr(dut, f"{name}__ready")

    @property
    def transfers(self) -> bool:
        return bool(self.reset.value == 0 and self.valid.value == 1 and self.ready.value == 1)


class Source(_Agent):
    """Feeds items into an input stream. Once offered, an item stays until it is taken."""

    def __init__(self, dut: Handle, name: str, *, seed: int = 0, stalls: float = 0.0) -> None:
        super().__init__(dut, name)
        self._hold = Stalls(seed, stalls)
        self._waiting: deque[int] = deque()
        self._queued = Event()
        self._empty = Event()
        self._empty.set()
        self.valid.value = 0
        cocotb.start_soon(self._run())

    def send(self, items: Iterable[int]) -> None:
        """Queues items; they go out in order while the bench does other things."""
        self._waiting.extend(items)
        if self._waiting:
            self._empty.clear()
            self._queued.set()

    async def drain(self) -> None:
        """Returns when all queued items were taken."""
        await self._empty.wait()

    async def _run(self) -> None:
        offered = False
        while True:
            await FallingEdge(self.clock)
            if not offered and self._waiting and not self._hold():
                offered = True
                self.payload.value = self._waiting[0]
            self.valid.value = int(offered)
            if not self._waiting:
                self._queued.clear()
                await self._queued.wait()
                continue
            await ReadOnly()
            if offered and self.transfers:
                offered = False
                self._waiting.popleft()
                if not self._waiting:
                    self._empty.set()


class Sink(_Agent):
    """Takes items from an output stream."""

    def __init__(self, dut: Handle, name: str, *, seed: int = 0, stalls: float = 0.0) -> None:
        super().__init__(dut, name)
        self._hold = Stalls(seed, stalls)
        self._taken: deque[int] = deque()
        self._came = Event()
        self.ready.value = 0
        cocotb.start_soon(self._run())

    async def receive(self, *, timeout: int = 100_000) -> int:
        """The next item. Raises ``TimeoutError`` if none comes within ``timeout`` cycles."""
        if not self._taken:
            self._came.clear()
            try:
                await with_timeout(self._came.wait(), timeout * PERIOD_NS, "ns")
            except SimTimeoutError:
                raise TimeoutError(f"{self.name}: no item within {timeout} cycles") from None
            await FallingEdge(self.clock)
        return self._taken.popleft()

    async def items(self, count: int, *, timeout: int = 100_000) -> AsyncIterator[int]:
        """The next ``count`` items; ``timeout`` holds for each."""
        for _ in range(count):
            yield await self.receive(timeout=timeout)

    async def _run(self) -> None:
        while True:
            await FallingEdge(self.clock)
            self.ready.value = int(not self._hold())
            await ReadOnly()
            if self.transfers:
                self._taken.append(int(self.payload.value))
                self._came.set()


class Monitor(_Agent):
    """Watches a stream, reports each transfer, and fails the bench if the sender breaks the rules of streams.

    The rules: once ``valid`` is high it stays high, and the payload stays the same, until ``ready``.
    """

    def __init__(self, dut: Handle, name: str, report: Callable[[int], None]) -> None:
        super().__init__(dut, name)
        self._report = report
        self.transferred = 0
        cocotb.start_soon(self._run())

    async def _run(self) -> None:
        stalled: int | None = None
        while True:
            await FallingEdge(self.clock)
            await ReadOnly()
            if self.reset.value == 1:
                stalled = None
                continue
            valid = self.valid.value == 1
            if stalled is not None:
                assert valid, f"{self.name}: valid fell before ready rose"
                assert int(self.payload.value) == stalled, f"{self.name}: payload changed while stalled"
            stalled = None
            if self.transfers:
                self.transferred += 1
                self._report(int(self.payload.value))
            elif valid:
                stalled = int(self.payload.value)


class Scoreboard:
    """Compares what came with what was expected, in order; the first difference fails the bench at once."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.matched = 0
        self._expected: deque[Any] = deque()

    def expect(self, items: Iterable[Any]) -> None:
        """Adds items that must come next."""
        self._expected.extend(items)

    def see(self, item: Any) -> None:
        """Checks one item that came. Raises ``AssertionError`` naming its place."""
        assert self._expected, f"{self.name}: item {self.matched} is {item!r}, expected no more"
        wanted = self._expected.popleft()
        assert item == wanted, f"{self.name}: item {self.matched} is {item!r}, expected {wanted!r}"
        self.matched += 1

    def finish(self) -> None:
        """Raises ``AssertionError`` if something expected did not come, or if nothing was compared at all."""
        assert not self._expected, f"{self.name}: {len(self._expected)} items did not come"
        assert self.matched, f"{self.name}: nothing was compared"

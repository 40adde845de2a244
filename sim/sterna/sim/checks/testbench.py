"""Testbench ends for streams and memories, with random stalls, and a simulation that cannot run for ever."""

import random
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from amaranth.hdl import Elaboratable, Shape, Signal
from amaranth.lib.data import Const
from amaranth.sim import Simulator

MAX_CYCLES = 100_000

Bench = Callable[[Any], Any]


class Simulate(Protocol):
    """Runs benches on a component, as :func:`simulate` does."""

    def __call__(self, component: Any, *benches: Bench, cycles: int = ..., **background: Bench) -> None: ...


def simulate(component: Elaboratable, *benches: Bench, cycles: int = MAX_CYCLES, **background: Bench) -> None:
    """Runs ``benches`` to their end; fails if that takes more than ``cycles``. ``background`` benches do not count."""
    simulator = Simulator(component)
    simulator.add_clock(1e-6)
    unfinished = set(range(len(benches)))

    def watched(index: int, bench: Callable[[Any], Any]) -> Callable[[Any], Any]:
        async def run(ctx: Any) -> None:
            await bench(ctx)
            unfinished.discard(index)

        return run

    async def limit(ctx: Any) -> None:
        for _ in range(cycles):
            await ctx.tick()
            if not unfinished:
                return
        raise AssertionError(f"no end after {cycles} cycles")

    for index, bench in enumerate(benches):
        simulator.add_testbench(watched(index, bench))
    for bench in background.values():
        simulator.add_testbench(bench, background=True)
    simulator.add_testbench(limit)
    simulator.run()


def source(stream: Any, payloads: Sequence[Any], rng: random.Random, stall: float = 0.5) -> Callable[[Any], Any]:
    """Sends ``payloads``; before each it stays away with probability ``stall`` a cycle, with noise as its payload."""
    shape = stream.payload.shape()
    width = Shape.cast(shape).width

    async def run(ctx: Any) -> None:
        for payload in payloads:
            while rng.random() < stall:
                noise = rng.getrandbits(width)
                ctx.set(stream.payload, noise if isinstance(shape, Shape) else shape.from_bits(noise))
                await ctx.tick()
            ctx.set(stream.payload, payload)
            ctx.set(stream.valid, 1)
            await ctx.tick().until(stream.ready)
            ctx.set(stream.valid, 0)

    return run


def sink(
    stream: Any,
    received: list[Any],
    count: int,
    rng: random.Random,
    stall: float = 0.5,
    *,
    view: Callable[[Any], Any] = lambda payload: payload,
    may_ask: bool = True,
) -> Callable[[Any], Any]:
    """Receives ``count`` payloads into ``received``; fails if one changes or goes away while it has to wait.

    ``view`` takes from a payload what counts of it. ``may_ask``: it may wait for ``valid`` before it is ready.
    """

    async def run(ctx: Any) -> None:
        offered: Any = None
        asks_first = may_ask and stall > 0 and rng.random() < 0.5  # `valid` may not wait for `ready`
        while len(received) < count:
            ready = rng.random() >= stall and (not asks_first or bool(ctx.get(stream.valid)))
            ctx.set(stream.ready, ready)
            _, _, valid, payload = await ctx.tick().sample(stream.valid, stream.payload)
            if offered is not None:
                assert valid, "valid went away before the payload was taken"
                assert view(plain(payload)) == offered, "payload changed while it waited"
            offered = view(plain(payload)) if valid and not ready else None
            if valid and ready:
                received.append(view(plain(payload)))
        ctx.set(stream.ready, 0)

    return run


def memory(port: Any, contents: Sequence[int]) -> Callable[[Any], Any]:
    """A read port's other side: data a cycle after ``enable``, held until the next."""

    async def run(ctx: Any) -> None:
        while True:
            _, _, enable, address = await ctx.tick().sample(port.enable, port.address)
            if enable:
                ctx.set(port.data, contents[address] if address < len(contents) else 0)

    return run


def plain(value: Any) -> Any:
    """A structure's sampled value as dictionaries, lists and integers."""
    if isinstance(value, Const):
        layout = value.shape()
        keys = [key for key, _ in layout]
        if keys == list(range(len(keys))):
            return [plain(value[key]) for key in keys]
        return {key: plain(value[key]) for key in keys}
    return int(value)


def random_bits(signal: Signal, rng: random.Random, probability: float) -> Callable[[Any], Any]:
    """Drives ``signal`` to 1 with ``probability`` in each cycle."""

    async def run(ctx: Any) -> None:
        while True:
            ctx.set(signal, rng.random() < probability)
            await ctx.tick()

    return run

"""UART against wires drawn and read by the definition: levels over time, not clock cycles."""

import random
from itertools import pairwise
from typing import Any

import pytest

from sterna.gateware.link.uart import UartReceiver, UartTransmitter, bit_cycles
from sterna.sim.checks.testbench import simulate, sink, source
from sterna.spec.errors import ConfigurationError

CLOCK = 39e6


def levels(bytes_: list[int], gaps: list[float]) -> list[tuple[float, int]]:
    """What a sender puts on the wire: (duration in bits, level)."""
    wire = []
    for byte, gap in zip(bytes_, gaps, strict=True):
        wire += [(gap, 1), (1.0, 0), *((1.0, byte >> k & 1) for k in range(8)), (1.0, 1)]
    return [*wire, (4.0, 1)]


def sampled(wire: list[tuple[float, int]], cycles: float, start: float) -> list[int]:
    """Level at each clock edge, for bits of ``cycles`` clock cycles; the first edge comes ``start`` cycles in."""
    end, seen, at = 0.0, [], start
    for duration, level in wire:
        end += duration * cycles
        while at < end:
            seen.append(level)
            at += 1
    return seen


def receive(dut: UartReceiver, wire: list[int], rng: random.Random, expected: int) -> list[int]:
    received: list[int] = []

    async def drive(ctx: Any) -> None:
        for level in wire:
            ctx.set(dut.wire, level)
            await ctx.tick()

    simulate(dut, drive, sink(dut.o, received, expected, rng, stall=0.3))
    return received


@pytest.mark.parametrize("baud", [3_000_000, 1_000_000, CLOCK / 8])
@pytest.mark.parametrize("error", [-0.02, 0.0, 0.02])
def test_bytes_come_through_at_two_percent_off_with_random_gaps(baud: float, error: float) -> None:
    rng = random.Random(f"{baud} {error}")
    data = [0x00, 0xFF, 0x55, 0xAA, 0x80, 0x01, *(rng.randrange(256) for _ in range(40))]
    gaps = [rng.choice([0.0, 0.0, rng.uniform(0, 3)]) for _ in data]
    wire = sampled(levels(data, gaps), CLOCK / baud * (1 + error), rng.random())
    assert receive(UartReceiver(clock=CLOCK, baud=baud), wire, rng, len(data)) == data


def test_a_glitch_is_no_start_bit_and_a_byte_without_stop_bit_is_dropped() -> None:
    rng = random.Random(1)
    glitch = [(3.0, 1), (0.3, 0), (12.0, 1)]
    no_stop = [(1.0, 0), *((1.0, 1) for _ in range(8)), (0.9, 0), (12.0, 1)]
    wire = sampled([*glitch, *no_stop, *levels([0x42], [1.0])], 13, 0.0)
    assert receive(UartReceiver(clock=CLOCK, baud=3e6), wire, rng, 1) == [0x42]


def test_bytes_that_nobody_takes_are_lost_and_the_one_that_waits_holds() -> None:
    dut = UartReceiver(clock=CLOCK, baud=3e6)
    wire = sampled(levels([0x11, 0x22, 0x33], [1.0, 0.0, 0.0]), 13, 0.0)
    received: list[int] = []

    async def drive(ctx: Any) -> None:
        for level in wire:
            ctx.set(dut.wire, level)
            await ctx.tick()
        assert ctx.get(dut.o.valid)
        received.append(ctx.get(dut.o.payload))

    simulate(dut, drive)
    assert received == [0x11]


@pytest.mark.parametrize("baud", [3_000_000, 1_000_000, CLOCK / 8])
def test_every_bit_lasts_as_long_as_it_should_whenever_bytes_come(baud: float) -> None:
    rng = random.Random(f"{baud}")
    data = [0x00, 0xFF, 0x55, *(rng.randrange(256) for _ in range(20))]
    dut = UartTransmitter(clock=CLOCK, baud=baud)
    cycles = round(CLOCK / baud)
    wire: list[int] = []

    async def watch(ctx: Any) -> None:
        while True:
            _, _, level = await ctx.tick().sample(dut.wire)
            wire.append(level)

    async def drive(ctx: Any) -> None:
        await source(dut.i, data, rng, stall=0.02)(ctx)
        await ctx.tick().repeat(11 * cycles)

    simulate(dut, drive, watch=watch)
    sent, at = [], 0
    while 0 in wire[at:]:
        at = wire.index(0, at)
        bits = [wire[at + k * cycles : at + (k + 1) * cycles] for k in range(10)]
        assert all(len(set(bit)) == 1 and len(bit) == cycles for bit in bits)
        values = [bit[0] for bit in bits]
        assert (values[0], values[9]) == (0, 1)
        sent.append(sum(bit << k for k, bit in enumerate(values[1:9])))
        at += 10 * cycles
    assert sent == data


def test_bytes_that_wait_go_out_back_to_back() -> None:
    dut = UartTransmitter(clock=CLOCK, baud=3e6)
    rng = random.Random(0)
    taken: list[int] = []

    async def drive(ctx: Any) -> None:
        await source(dut.i, [0xA5] * 5, rng, stall=0.0)(ctx)

    async def watch(ctx: Any) -> None:
        cycle = 0
        while True:
            _, _, valid, ready = await ctx.tick().sample(dut.i.valid, dut.i.ready)
            if valid and ready:
                taken.append(cycle)
            cycle += 1

    simulate(dut, drive, watch=watch)
    assert [later - sooner for sooner, later in pairwise(taken)] == [130] * 4


def test_rates_that_a_clock_cannot_make_are_refused_with_the_mend() -> None:
    assert bit_cycles(clock=39e6, baud=3e6) == 13
    assert bit_cycles(clock=48e6, baud=115200) == 417
    with pytest.raises(
        ConfigurationError, match=r"^6000000 baud is too fast for a clock of 39 MHz; mend: at most 4875000$"
    ):
        bit_cycles(clock=39e6, baud=6e6)
    message = (
        r"^3000000 baud from a clock of 40 MHz would be off by \+2\.6%; mend: 3076923 baud, or a clock that is a mult"
    )
    with pytest.raises(ConfigurationError, match=message):
        bit_cycles(clock=40e6, baud=3e6)

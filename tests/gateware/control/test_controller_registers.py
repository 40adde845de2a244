"""The register file against plain counters: every read is exact, however fast they run and however often it is read."""

import random
from collections.abc import Callable

import pytest

from sterna.gateware.control.controller_registers import RegisterFile, most_per_cycle
from sterna.sim.checks.testbench import simulate
from sterna.spec.configuration import FORMAT_VERSION, Configuration
from sterna.spec.registers import MAGIC, Register

BUILD_ID = 0x0123_4567_89AB_CDEF
COUNTERS = [register for register in Register if register >= Register.GOOD_FRAMES]


def configuration(simd: int) -> Configuration:
    return Configuration(
        name="test", simd=simd, pe=4, weight_depth=16, mask_depth=16, activation_depth=16, parameter_depth=16
    )


class Bench:
    """A register file, counters that rise by ``rise()`` each cycle, and what they have come to."""

    def __init__(self, simd: int, rise: Callable[[Register], int]):
        self.dut = RegisterFile(configuration=configuration(simd), build_id=BUILD_ID)
        self.rise = rise
        self.totals = dict.fromkeys(COUNTERS, 0)

    async def tick(self, ctx) -> None:
        for register in COUNTERS:
            self.totals[register] += self.rise(register)
        values = {register: total % 2**32 for register, total in self.totals.items()}
        ctx.set(self.dut.good_frames, values.pop(Register.GOOD_FRAMES))
        ctx.set(self.dut.bad_frames, values.pop(Register.BAD_FRAMES))
        ctx.set(self.dut.counters, {register.name.lower(): value for register, value in values.items()})
        await ctx.tick()

    async def read(self, ctx, register: int) -> int:
        ctx.set(self.dut.register, register)
        ctx.set(self.dut.ask, 1)
        low = None
        while True:
            if ctx.get(self.dut.low):
                low = ctx.get(self.dut.half)
            done, half = ctx.get(self.dut.done), ctx.get(self.dut.half)
            await self.tick(ctx)
            if done:
                break
        ctx.set(self.dut.ask, 0)
        return low | half << 16


@pytest.mark.parametrize("simd", [1, 4, 32])
def test_counters_at_full_speed_read_as_they_stood_between_request_and_answer(simd):
    rng = random.Random(simd)

    def rise(register):
        most = most_per_cycle(register, simd)
        return rng.choice([0, 1, most]) if register % 3 else most

    bench = Bench(simd, rise)

    async def run(ctx):
        for _ in range(60):  # the first round
            await bench.tick(ctx)
        for _ in range(900):
            register = rng.choice(COUNTERS)
            before = bench.totals[register]
            value = await bench.read(ctx, register)
            assert before <= value <= bench.totals[register]
            for _ in range(rng.choice([0, 0, 0, 1, 50])):
                await bench.tick(ctx)

    simulate(bench.dut, run)
    assert simd == 1 or max(bench.totals.values()) > 1 << 17  # the low half has carried


def test_reading_one_register_over_and_over_does_not_starve_the_others():
    bench = Bench(4, lambda register: most_per_cycle(register, 4))

    async def run(ctx):
        for _ in range(60):
            await bench.tick(ctx)
        for _ in range(1000):
            await bench.read(ctx, Register.CYCLES)
        for register in COUNTERS:
            before = bench.totals[register]
            assert before <= await bench.read(ctx, register) <= bench.totals[register]

    simulate(bench.dut, run)


def test_counters_that_rest_read_exactly():
    rng = random.Random(5)
    running = True
    bench = Bench(4, lambda register: rng.randint(0, most_per_cycle(register, 4)) if running else 0)

    async def run(ctx):
        nonlocal running
        for _ in range(5000):
            await bench.tick(ctx)
        running = False
        await bench.tick(ctx)
        for register in COUNTERS:
            assert await bench.read(ctx, register) == bench.totals[register]

    simulate(bench.dut, run)


def test_identity_and_state_read_as_given():
    bench = Bench(2, lambda _: 0)
    digest = int.from_bytes(configuration(2).digest, "little")

    async def run(ctx):
        expected = [MAGIC, FORMAT_VERSION, digest & 0xFFFF_FFFF, digest >> 32, BUILD_ID & 0xFFFF_FFFF, BUILD_ID >> 32]
        for state in range(4):
            ctx.set(bench.dut.state, state)
            assert [await bench.read(ctx, register) for register in range(7)] == [*expected, state]

    simulate(bench.dut, run)

"""Lanes and capture against plain sums, with the pipeline held at random."""

import random
from typing import Any

import pytest
from amaranth.hdl import ResetInserter, Signal

from sterna.gateware.compute.capture import Capture
from sterna.gateware.compute.lanes import Lanes
from sterna.sim.checks.lanes import check_sums
from sterna.sim.checks.testbench import plain, simulate, sink
from sterna.spec.configuration import Configuration


@pytest.mark.parametrize("seed", range(12))
def test_sums_are_exact_however_the_pipeline_is_held(seed: int) -> None:
    rng = random.Random(seed)
    c = Configuration(
        name="t", simd=rng.choice([1, 2, 4, 8]), pe=rng.choice([4, 8]), act_bits=rng.choice([2, 3, 8]), acc_bits=16,
        weight_depth=16, mask_depth=16, activation_depth=16, parameter_depth=16,
    )  # fmt: skip
    check_sums(rng, c, simulate)


def test_a_reset_of_one_cycle_empties_the_whole_pipeline() -> None:
    c = Configuration(
        name="t", simd=8, pe=4, acc_bits=16, weight_depth=16, mask_depth=16, activation_depth=16, parameter_depth=16
    )
    dut, reset = Lanes(configuration=c), Signal()

    async def drive(ctx: Any) -> None:
        async def cycles(count: int, gates: int, final: int = 0) -> None:
            ctx.set(dut.gates, gates)
            ctx.set(dut.final, final)
            await ctx.tick().repeat(count)

        ctx.set(dut.flow, 1)
        ctx.set(dut.activations, [100] * c.simd)
        ctx.set(dut.trits, [[1] * c.pe] * c.simd)
        await cycles(8, 0xFF)
        assert plain(ctx.get(dut.sums))[0] > 0
        ctx.set(reset, 1)
        await cycles(1, 0)
        ctx.set(reset, 0)
        await cycles(1, 0, final=1)
        (sums,) = await ctx.tick().sample(dut.sums).until(dut.last)
        assert plain(sums) == [0] * c.pe

    simulate(ResetInserter(reset)(dut), drive)


@pytest.mark.parametrize("requantisers", [1, 2])
def test_capture_hands_on_every_sum_once_and_takes_the_next_as_the_last_leaves(requantisers: int) -> None:
    rng = random.Random(requantisers)
    c = Configuration(
        name="t", simd=4, pe=8, requantisers=requantisers, acc_bits=16, weight_depth=16, mask_depth=16,
        activation_depth=16, parameter_depth=16,
    )  # fmt: skip
    dut = Capture(configuration=c)
    outputs = [[rng.randint(-30000, 30000) for _ in range(c.pe)] for _ in range(20)]
    count = c.pe // requantisers
    received: list[Any] = []

    async def load(ctx: Any) -> None:
        for k, sums in enumerate(outputs):
            ctx.set(dut.sums, sums)
            ctx.set(dut.tags, {"plane_last": k >> 1 & 1, "last_tile": k & 1})
            ctx.set(dut.load, 1)
            await ctx.tick().until(dut.ready)
            ctx.set(dut.load, 0)
            while rng.random() < 0.3:
                await ctx.tick()

    simulate(dut, load, sink(dut.groups, received, count * len(outputs), rng))
    for k, sums in enumerate(outputs):
        groups = received[k * count : (k + 1) * count]
        assert [value for group in groups for value in group["sums"]] == sums
        assert [(g["group"], g["first"], g["last"]) for g in groups] == [
            (i, i == 0, i == count - 1) for i in range(count)
        ]
        assert all(g["tags"]["plane_last"] == k >> 1 & 1 and g["tags"]["last_tile"] == k & 1 for g in groups)
        before = k - 1 if k else 3  # after a reset as after the last output of an op
        assert all(g["plane_first"] == before >> 1 & 1 for g in groups)
        assert all(g["rewind"] == (before & 3 == 3) for g in groups)

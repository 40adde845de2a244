"""The packer against its definition: rows of activations over banks, zeros around them, and their masks."""

import random
from typing import Any

import pytest

from sterna.gateware.memory.packer import Packer
from sterna.sim.checks.testbench import simulate, sink
from sterna.spec.configuration import CHUNK, Configuration


def nonzero(values: list[int]) -> int:
    """A bit for each."""
    return sum((value != 0) << k for k, value in enumerate(values))


@pytest.mark.parametrize("seed", range(24))
def test_runs_land_in_their_banks_with_their_masks_under_random_stalls(seed: int) -> None:
    rng = random.Random(seed)
    simd = rng.choice([1, 2, 4, 8])
    group = rng.choice([g for g in (1, 2, 4) if g <= simd])
    c = Configuration(
        name="t", simd=simd, pe=16, weight_depth=16, mask_depth=16, activation_depth=1024, parameter_depth=16
    )
    values: list[list[int | None]] = [[None] * c.activation_depth for _ in range(simd)]
    masks: list[list[int | None]] = [[None] * (c.activation_depth // CHUNK) for _ in range(simd)]
    expected_values = [list(bank) for bank in values]
    expected_masks = [list(bank) for bank in masks]
    runs = []
    free = 0
    for _ in range(3):
        rows, row_words = rng.randint(1, 3), rng.randint(1, 2 * CHUNK)
        lead, gap, trail = (rng.choice([0, 0, rng.randint(1, 30)]) for _ in range(3))
        partial = rows == 1 and trail == 0 and rng.random() < 0.5  # a run may end within a word
        groups = row_words * simd // group - (rng.randrange(simd // group) if partial else 0)
        dropped = rng.randint(0, 2)
        place = {"word": free, "lead": lead, "gap": gap, "trail": trail}
        total = lead + rows * row_words + (rows - 1) * gap + trail
        for chunk in range(free // CHUNK, (free + total - 1) // CHUNK + 1):
            for bank in expected_masks:
                bank[chunk] = 0
        elements = []
        for row in range(rows):
            first = free + lead + row * (row_words + gap)
            for k in range(groups):
                data = [rng.choice([0, 0, rng.randint(-127, 127)]) for _ in range(group)]
                end = k == groups - 1
                ends = {"row_end": end and row < rows - 1, "last": 0}
                elements.append({"values": data, "nonzero": nonzero(data), "write": 1, **ends})
                for r, value in enumerate(data):
                    number = k * group + r
                    at = first + number // simd
                    expected_values[number % simd][at] = value
                    expected_masks[number % simd][at // CHUNK] |= (value != 0) << at % CHUNK  # type: ignore[operator]
        elements += [{"values": [1] * group, "nonzero": 0, "write": 0, "row_end": 0, "last": 0} for _ in range(dropped)]
        elements[-1]["last"] = 1
        runs.append((place, elements))
        free += -(-total // CHUNK) * CHUNK

    dut = Packer(configuration=c, group=group)
    stall = rng.choice([0, 0.5])
    writes: list[Any] = []
    finished: list[int] = []

    async def drive(ctx: Any) -> None:
        for place, elements in runs:
            ctx.set(dut.place, place)
            ctx.set(dut.begin, 1)
            await ctx.tick()
            ctx.set(dut.begin, 0)
            for element in elements:
                while rng.random() < stall:
                    await ctx.tick()
                ctx.set(dut.run.payload, element)
                ctx.set(dut.run.valid, 1)
                done = False
                ready = 0
                while not ready:
                    _, _, ready, done = await ctx.tick().sample(dut.run.ready, dut.done)
                ctx.set(dut.run.valid, 0)
                ctx.set(dut.run.payload, dict.fromkeys(("nonzero", "write"), 0))
            while not done:
                _, _, done = await ctx.tick().sample(dut.done)
            finished.append(len(writes))

    def written(write: dict[str, Any]) -> dict[str, Any]:
        """Values count where a bank takes them."""
        return write | {"values": [v if write["banks"] >> j & 1 else None for j, v in enumerate(write["values"])]}

    async def take(ctx: Any) -> None:
        await sink(dut.write, writes, 1 << 30, rng, rng.choice([0, 0.5]), view=written)(ctx)

    async def watch(ctx: Any) -> None:
        async for _, _, valid, write in ctx.tick().sample(dut.write.valid, dut.write.payload):
            assert valid or not (write.banks or write.nonzero or write.fresh)

    simulate(dut, drive, take=take, watch=watch)
    assert not any(write["nonzero"] & ~write["banks"] for write in writes)
    for write in writes:
        for j in range(simd):
            if write["banks"] >> j & 1:
                values[j][write["word"]] = write["values"][j]
            chunk = write["word"] // CHUNK
            if write["fresh"]:
                masks[j][chunk] = 0
            if write["nonzero"] >> j & 1:
                masks[j][chunk] |= 1 << write["word"] % CHUNK  # type: ignore[operator]
    assert len(finished) == len(runs)
    assert values == expected_values
    assert masks == expected_masks

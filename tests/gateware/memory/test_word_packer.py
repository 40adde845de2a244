"""Gatherer and word packer against their definition: rows of activations over banks, zeros around them as values."""

import random
from typing import Any

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import connect

from sterna.gateware.memory.word_packer import WordGatherer, WordPacker
from sterna.sim.checks.testbench import simulate, sink, source
from sterna.spec.configuration import Configuration


class Chain(wiring.Component):
    """One behind the other."""

    def __init__(self, configuration: Configuration):
        self.gatherer = WordGatherer(configuration=configuration)
        self.packer = WordPacker(configuration=configuration)
        super().__init__({})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.gatherer, m.submodules.packer = self.gatherer, self.packer
        connect(m, self.gatherer.words, self.packer.run)
        return m


@pytest.mark.parametrize("seed", range(24))
def test_runs_and_the_zeros_around_them_land_in_their_banks_under_random_stalls(seed: int) -> None:
    rng = random.Random(seed)
    simd = rng.choice([1, 2, 4, 8])
    group = rng.choice([g for g in (1, 2, 4) if g <= simd])
    c = Configuration(
        name="t", simd=simd, pe=16, requantisers=group, weight_depth=16, mask_depth=16, activation_depth=1024,
        parameter_depth=16, activation_skip=False,
    )  # fmt: skip
    expected: list[list[int | None]] = [[None] * c.activation_depth for _ in range(simd)]
    runs, free = [], 0
    for _ in range(3):
        rows, row_words = rng.randint(1, 3), rng.randint(1, 16)
        lead, gap, trail = (rng.choice([0, 0, rng.randint(1, 30)]) for _ in range(3))
        partial = rows == 1 and trail == 0 and rng.random() < 0.5  # a run may end within a word
        groups = row_words * simd // group - (rng.randrange(simd // group) if partial else 0)
        place = {"word": free, "lead": lead, "gap": gap, "trail": trail}
        total = lead + rows * row_words + (rows - 1) * gap + trail
        for bank in expected:
            bank[free : free + total] = [0] * total
        elements: list[dict[str, Any]] = []
        for row in range(rows):
            first = free + lead + row * (row_words + gap)
            for k in range(groups):
                values = [rng.choice([0, rng.randint(-127, 127)]) for _ in range(group)]
                elements.append({"values": values, "nonzero": 0, "write": 1, "row_end": 0, "last": 0})
                for r, value in enumerate(values):
                    number = k * group + r
                    expected[number % simd][first + number // simd] = value
            # Channels that are not there come last, and are not written.
            dropped = {"values": [1] * group, "nonzero": 0, "write": 0, "row_end": 0, "last": 0}
            elements += [dict(dropped) for _ in range(rng.randint(0, 2))]
            elements[-1] |= {"row_end": row < rows - 1, "last": row == rows - 1}
        if groups * group < row_words * simd:  # what lies in the other banks of a run's last word counts nowhere
            for number in range(groups * group, row_words * simd):
                expected[number % simd][free + lead + number // simd] = None
        runs.append((place, elements))
        free += total

    dut = Chain(c)
    packer = dut.packer
    writes: list[Any] = []
    told, ended = [0], []  # ends of runs, after each cycle and after each run
    stall = rng.choice([0, 0.5])

    async def drive(ctx: Any) -> None:
        for place, elements in runs:
            ctx.set(packer.place, place)
            ctx.set(packer.begin, 1)
            await ctx.tick()
            ctx.set(packer.begin, 0)
            await source(dut.gatherer.groups, elements, rng, stall)(ctx)
            await ctx.tick().repeat(200)
            ended.append(told[-1])

    async def count(ctx: Any) -> None:
        async for _, _, done in ctx.tick().sample(packer.done):
            told.append(told[-1] + done)

    simulate(dut, drive, take=sink(packer.write, writes, 1 << 30, rng, rng.choice([0, 0.5])), count=count)
    assert ended == [1, 2, 3]
    found: list[list[int | None]] = [[None] * c.activation_depth for _ in range(simd)]
    for write in writes:
        for j in range(simd):
            if write["banks"] >> j & 1:
                found[j][write["word"]] = write["values"][j]
    for bank, wanted in zip(found, expected, strict=True):
        assert [value if want is not None else None for value, want in zip(bank, wanted, strict=True)] == wanted

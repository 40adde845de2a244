"""Dealer: every core gets what was sent to it, in that order, at its own pace; answers and counters come back."""

import random
from typing import Any

import pytest
from amaranth.sim import SimulatorContext

from sterna.gateware.control.dealer import Dealer
from sterna.sim.checks.testbench import Bench, simulate
from sterna.spec.configuration import Configuration

OFFERS = 120


def configured(cores: int) -> Configuration:
    return Configuration(
        name="t", simd=4, pe=4, weight_depth=64, mask_depth=64, activation_depth=64, parameter_depth=64, cores=cores
    )


def random_offer(rng: random.Random, cores: int) -> tuple[str, int, dict[str, int]]:
    """Name of the stream, core, payload."""
    name = rng.choice(["write", "write", "inputs", "inputs", "starts", "reads"])
    fields = {
        "write": {"region": 3, "address": 64, "data": 64},
        "inputs": {"value": 100, "word": 64, "first": 2, "last": 2},
        "starts": {"entry": 64, "offset": 64, "ops": 64},
        "reads": {"word": 64, "bank": 4},
    }[name]
    return name, rng.randrange(cores), {field: rng.randrange(limit) for field, limit in fields.items()}


def fields_of(offer: Any, name: str) -> dict[str, Any]:
    """Its signals by name."""
    if name == "write":
        return {field: getattr(offer, field) for field in ("region", "address", "data")}
    return {field: offer.payload[field] for field, _ in offer.payload.shape()}


@pytest.mark.parametrize("cores", [2, 4])
@pytest.mark.parametrize("seed", range(8))
def test_all_arrive_once_and_in_order_whatever_the_cores_pace(cores: int, seed: int) -> None:
    rng = random.Random(seed)
    dut = Dealer(configuration=configured(cores))
    offers = [random_offer(rng, cores) for _ in range(OFFERS)]
    expected = [
        [(name, payload) for name, core, payload in offers if core == k or name == "write"] for k in range(cores)
    ]
    arrived: list[list[tuple[str, dict[str, int]]]] = [[] for _ in range(cores)]
    answers: list[int] = []  # to reads, in the order in which the cores take them
    answered: list[int] = []

    async def link(ctx: SimulatorContext) -> None:
        for name, core, payload in offers:
            ours = getattr(dut, name)
            ctx.set(dut.core, core)
            for field, signal in fields_of(ours, name).items():
                ctx.set(signal, payload[field])
            ctx.set(ours.valid, 1)
            await ctx.tick().until(ours.ready)
            ctx.set(ours.valid, 0)
            if name == "starts":
                assert ("starts", payload) in arrived[core][-2:], "a run is taken from the link when its core has it"
                assert ctx.get(dut.running[core]), "it is seen from the next cycle on"
            if name == "reads":
                while not ctx.get(dut.read_values.valid):
                    await ctx.tick()
                for _ in range(rng.randrange(4)):
                    await ctx.tick()
                answered.append(ctx.get(dut.read_values.payload))
                ctx.set(dut.read_values.ready, 1)
                await ctx.tick()
                ctx.set(dut.read_values.ready, 0)
            for _ in range(rng.choice([0, 0, 1, 5])):
                await ctx.tick()
        await ctx.tick().repeat(400)  # for the last offers

    async def take(ctx: SimulatorContext, k: int) -> None:
        core, noise = dut.cores[k], random.Random(seed * 10 + k)
        pace = noise.uniform(0.1, 1)
        before: dict[str, Any] = {}  # what was offered, and not taken
        left = 0  # cycles of its run
        while True:
            left = max(0, left - 1)
            ctx.set(core.running, left > 0)
            for name in ("write", "inputs", "starts", "reads"):
                offered = getattr(core, name)
                ready = noise.random() < pace and not (name == "starts" and left)
                ctx.set(offered.ready, ready)
                if not ctx.get(offered.valid):
                    assert name not in before, f"{name} was taken back"
                    continue
                got = {field: int(ctx.get(signal)) for field, signal in fields_of(offered, name).items()}
                assert before.get(name, got) == got, f"{name} changed while it waited"
                before[name] = got
                if ready:
                    arrived[k].append((name, before.pop(name)))
                    left = noise.randrange(4, 40) if name == "starts" else left
            if arrived[k] and arrived[k][-1][0] == "reads" and not ctx.get(core.read_values.valid):
                value = noise.randrange(-128, 128)
                answers.append(value)
                await ctx.tick()
                for name in ("write", "inputs", "starts", "reads"):
                    ctx.set(getattr(core, name).ready, 0)
                ctx.set(core.read_values.payload, value)
                ctx.set(core.read_values.valid, 1)
                await ctx.tick().until(core.read_values.ready)
                ctx.set(core.read_values.valid, 0)
                arrived[k].append(("answer", {}))
            else:
                await ctx.tick()

    def core_bench(k: int) -> Bench:
        async def run(ctx: SimulatorContext) -> None:
            await take(ctx, k)

        return run

    simulate(dut, link, **{f"core_{k}": core_bench(k) for k in range(cores)})
    assert [[each for each in of_core if each[0] != "answer"] for of_core in arrived] == expected
    assert answered == answers
    assert answered, "the seed has no reads"


@pytest.mark.parametrize("cores", [2, 4])
def test_counters_are_the_sums_of_the_cores_modulo_their_width(cores: int) -> None:
    rng = random.Random(cores)
    dut = Dealer(configuration=configured(cores))

    async def bench(ctx: SimulatorContext) -> None:
        for _ in range(8):
            sums = {}
            for name, field in dut.counters.shape():
                values = [rng.randrange(1 << field.shape.width) for _ in range(cores)]
                for core, value in zip(dut.cores, values, strict=True):
                    ctx.set(core.counters[name], value)
                sums[name] = sum(values) % (1 << field.shape.width)
            await ctx.tick().repeat(cores - 1)
            assert {name: ctx.get(dut.counters[name]) for name in sums} == sums

    simulate(dut, bench)

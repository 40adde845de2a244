"""Lanes against plain sums, with the pipeline held at random."""

import random
from typing import Any

from sterna.gateware.compute.lanes import Lanes
from sterna.sim.checks.testbench import Simulate, plain
from sterna.spec.arithmetic import max_activation
from sterna.spec.configuration import Configuration


def check_sums(rng: random.Random, c: Configuration, simulate: Simulate) -> None:
    """Random activations, gates and trits; random lengths of outputs."""
    limit = max_activation(c.act_bits)
    steps: list[tuple[list[int], list[bool], list[list[int]], bool]] = []
    expected: list[list[int]] = []
    sums = [0] * c.pe
    for step in range(60):
        power = rng.choice([-1, 1]) << rng.randrange(c.act_bits - 1)  # a single bit decides the negative's others
        x = [rng.choice([-limit, limit, power, rng.randint(-limit, limit)]) for _ in range(c.simd)]
        gates = [rng.random() < 0.7 for _ in range(c.simd)]
        trits = [[rng.choice([-1, 0, 1]) for _ in range(c.pe)] for _ in range(c.simd)]
        final = step == 59 or rng.random() < 0.2
        sums = [s + sum(x[j] * trits[j][p] for j in range(c.simd) if gates[j]) for p, s in enumerate(sums)]
        steps.append((x, gates, trits, final))
        if final:
            expected.append(sums)
            sums = [0] * c.pe
    dut = Lanes(configuration=c)
    received: list[Any] = []

    async def drive(ctx: Any) -> None:
        nothing = [0] * c.simd, [False] * c.simd, [[0] * c.pe] * c.simd, False
        for x, gates, trits, final in [*steps, *[nothing] * 5]:
            ctx.set(dut.activations, x)
            ctx.set(dut.gates, sum(gate << j for j, gate in enumerate(gates)))
            ctx.set(dut.trits, [[t & 3 for t in lane] for lane in trits])
            ctx.set(dut.final, final)
            flow = False
            while not flow:
                flow = rng.random() < 0.6
                ctx.set(dut.flow, flow)
                _, _, last, got = await ctx.tick().sample(dut.last, dut.sums)
                if flow and last:
                    received.append(plain(got))

    simulate(dut, drive)
    assert received == expected

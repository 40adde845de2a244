"""Requantiser against the formula of ``sterna.spec.arithmetic``: parameters in order and rewound, planes summed."""

import random
from typing import Any

import numpy as np

from sterna.gateware.compute.requantiser import Requantiser
from sterna.sim.checks.testbench import Simulate, memory, sink, source
from sterna.spec.arithmetic import MAX_SHIFT, SUM_BITS, requantise
from sterna.spec.configuration import Configuration
from sterna.spec.image import pack_parameter


def random_parameter(rng: random.Random, acc_bits: int, planes: int) -> tuple[int, int, int]:
    limit = (1 << (SUM_BITS - 1)) - 1
    multiplier = rng.choice([0, 1, (1 << 16) - 1, rng.randrange(1 << 16)]) // planes
    room = limit - planes * multiplier * (1 << (acc_bits - 1))
    return multiplier, rng.choice([0, MAX_SHIFT, rng.randint(0, MAX_SHIFT)]), rng.randint(-max(room, 0), max(room, 0))


def check_groups(rng: random.Random, c: Configuration, simulate: Simulate) -> None:
    """Random sums, parameters, planes, tiles, tags and stalls."""
    lanes = c.requantisers
    planes = rng.choice([1, 1, 2, 3])
    parameters = [[random_parameter(rng, c.acc_bits, planes) for _ in range(lanes)] for _ in range(c.parameter_depth)]
    low, high = sorted(rng.sample(range(-(1 << (c.act_bits - 1)), 1 << (c.act_bits - 1)), 2))
    count, tail = c.pe // lanes, rng.randrange(c.pe // lanes)
    payloads: list[Any] = []
    expected: list[Any] = []
    first, pointer = rng.randrange(100), 0
    for _ in range(2):
        tiles = rng.randint(1, 3)
        for pixel in range(2):
            for tile in range(tiles):
                totals = np.zeros((count, lanes), np.int64)
                for plane in range(planes):
                    rewind = tile == plane == 0
                    if rewind:
                        pointer = first
                    tags = {
                        "rewind": rewind, "plane_first": plane == 0, "plane_last": plane == planes - 1,
                        "last_tile": tile == tiles - 1, "row_end": rng.random() < 0.5,
                        "op_last": pixel == 1 and tile == tiles - 1 and plane == planes - 1,
                        "pool_first": rng.random() < 0.5, "pool_last": rng.random() < 0.5,
                        "pool_column_end": rng.random() < 0.5,
                    }  # fmt: skip
                    for group in range(count):
                        sums = [rng.choice([-(1 << 14), (1 << 14) - 1, rng.randint(-9999, 9999)]) for _ in range(lanes)]
                        last = group == count - 1
                        payloads.append({"sums": sums, "tags": tags, "first": group == 0, "last": last, "group": group})
                        for r, (multiplier, shift, bias) in enumerate(parameters[pointer]):
                            totals[group, r] += multiplier * sums[r] + (bias if plane == 0 else 0)
                            if plane == planes - 1:
                                wrapped = (totals[group, r] + (1 << 33)) % (1 << 34) - (1 << 33)
                                totals[group, r] = requantise(wrapped, np.int64(shift), low, high)
                        pointer += 1
                        if plane == planes - 1:
                            write = tile < tiles - 1 or group <= tail
                            kept = {k: int(tags[k]) for k in ("row_end", "pool_first", "pool_last", "pool_column_end")}
                            ends = {"pixel_end": tags["last_tile"] and last, "op_end": tags["op_last"] and last}
                            flags = {"write": int(write), **{k: int(v) for k, v in ends.items()}, **kept}
                            expected.append({"values": totals[group].tolist(), "flags": flags})

    dut = Requantiser(configuration=c)
    packed = [
        sum(int.from_bytes(pack_parameter(m, s, b), "little") << 56 * r for r, (m, s, b) in enumerate(word))
        for word in parameters
    ]
    received: list[Any] = []

    async def settings(ctx: Any) -> None:
        ctx.set(dut.minimum, low)
        ctx.set(dut.maximum, high)
        ctx.set(dut.tail_groups, tail)
        ctx.set(dut.first_parameter, first)

    class Words:
        """The parameter port takes structures; the memory holds packed words."""

        enable, address, data = dut.parameters.enable, dut.parameters.address, dut.parameters.data.as_value()

    simulate(
        dut, settings, source(dut.groups, payloads, rng, rng.choice([0, 0.5])),
        sink(dut.activations, received, len(expected), rng, rng.choice([0, 0.5])), memory=memory(Words, packed),
    )  # fmt: skip
    assert received == expected

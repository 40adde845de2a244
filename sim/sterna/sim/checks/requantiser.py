"""Requantiser against the formula of ``sterna.spec.arithmetic``: parameters in order and rewound, planes summed."""

import random
from itertools import product
from typing import Any

import numpy as np

from sterna.gateware.compute.requantiser import Requantiser
from sterna.sim.checks.testbench import Simulate, memory, sink, source
from sterna.spec.arithmetic import MAX_SHIFT, SUM_BITS, requantise
from sterna.spec.configuration import Configuration
from sterna.spec.image import pack_parameter


def telling_parameters(rng: random.Random, sums: list[int], act_bits: int) -> list[list[int]]:
    """Parameters ``[m, s, b]`` of an output's planes with which ``sums`` give an activation of ``act_bits`` bits: none
    that is clamped, so that a wrong bit shows wherever it is."""
    parameters = [
        [
            rng.choice([0, 1, (1 << 16) - 1, rng.randrange(1 << 16)]),
            rng.randint(0, MAX_SHIFT),
            rng.getrandbits(SUM_BITS - 1),
        ]
        for _ in sums
    ]
    shift = parameters[-1][1]
    reach = min(1 << (act_bits - 1), 1 << (SUM_BITS - 1 - shift))
    value = rng.randrange(-reach, reach)
    products = sum(multiplier * acc for (multiplier, _, _), acc in zip(parameters, sums, strict=True))
    parameters[0][2] = wrapped((value << shift | rng.getrandbits(shift)) - products)
    return parameters


def wrapped(total: int) -> int:
    """As the hardware keeps it: partial sums may wrap."""
    return (total + (1 << (SUM_BITS - 1))) % (1 << SUM_BITS) - (1 << (SUM_BITS - 1))


def clipped(value: int, bits: int) -> int:
    return max(-1 << (bits - 1), min(value, (1 << (bits - 1)) - 1))


def check_groups(rng: random.Random, c: Configuration, simulate: Simulate) -> None:
    """Random sums, parameters, planes, tiles, tags and stalls."""
    lanes = c.requantisers
    planes, most_tiles, count = rng.choice([1, 1, 2, 3]), 3, c.pe // c.requantisers
    depth, first, tail = c.parameter_depth, rng.randrange(c.parameter_depth), rng.randrange(count)
    limit = 1 << (c.act_bits - 1)
    low, high = sorted(rng.sample(range(-limit, limit), 2)) if rng.random() < 0.3 else (-limit, limit - 1)
    parameters = [[[0, 0, 0] for _ in range(lanes)] for _ in range(depth)]
    telling = {}
    for tile, group, lane in product(range(most_tiles), range(count), range(lanes)):
        sums = [rng.randrange(-1 << (c.acc_bits - 1), 1 << (c.acc_bits - 1)) for _ in range(planes)]
        for plane, each in enumerate(telling_parameters(rng, sums, c.act_bits)):
            parameters[(first + (tile * planes + plane) * count + group) % depth][lane] = each
            telling[tile, plane, group, lane] = sums[plane]
    payloads: list[Any] = []
    expected: list[Any] = []
    pointer = 0
    for _ in range(2):
        tiles = rng.randint(1, most_tiles)
        for pixel in range(2):
            noise = rng.choice([0, 0, 1, 1 << (c.acc_bits - 1)])
            for tile in range(tiles):
                totals = [[0] * lanes for _ in range(count)]
                for plane in range(planes):
                    rewind = tile == plane == 0
                    if rewind:
                        pointer = first
                    tags = {
                        "plane_last": plane == planes - 1,
                        "last_tile": tile == tiles - 1, "row_end": rng.random() < 0.5,
                        "op_last": pixel == 1 and tile == tiles - 1 and plane == planes - 1,
                        "pool_first": rng.random() < 0.5, "pool_last": rng.random() < 0.5,
                        "pool_column_end": rng.random() < 0.5,
                    }  # fmt: skip
                    for group in range(count):
                        last = group == count - 1
                        sums = [
                            clipped(telling[tile, plane, group, lane] + rng.randint(-noise, noise), c.acc_bits)
                            for lane in range(lanes)
                        ]
                        payloads.append({"sums": sums, "tags": tags, "plane_first": plane == 0, "rewind": rewind,
                                         "first": group == 0, "last": last, "group": group})  # fmt: skip
                        for r, (multiplier, shift, bias) in enumerate(parameters[pointer]):
                            totals[group][r] += multiplier * sums[r] + (bias if plane == 0 else 0)
                            if plane == planes - 1:
                                whole = np.array(wrapped(totals[group][r]))
                                totals[group][r] = int(requantise(whole, np.array(shift), low, high))
                        pointer = (pointer + 1) % depth
                        if plane == planes - 1:
                            write = tile < tiles - 1 or group <= tail
                            kept = {k: int(tags[k]) for k in ("row_end", "pool_first", "pool_last", "pool_column_end")}
                            ends = {"pixel_end": tags["last_tile"] and last, "op_end": tags["op_last"] and last}
                            flags = {"write": int(write), **{k: int(v) for k, v in ends.items()}, **kept}
                            expected.append({"values": totals[group], "flags": flags})

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
        sink(dut.activations, received, len(expected), rng, rng.choice([0, 0.5]), may_ask=False),
        memory=memory(Words, packed),
    )  # fmt: skip
    assert received == expected

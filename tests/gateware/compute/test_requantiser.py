"""Requantiser against the formula of ``sterna.spec.arithmetic``, parameters in order and rewound, random stalls."""

import random
from typing import Any

import numpy as np
import pytest

from gateware.streams import memory, simulate, sink, source
from sterna.gateware.compute.requantiser import Requantiser
from sterna.spec.arithmetic import MAX_SHIFT, SUM_BITS, requantise
from sterna.spec.configuration import Configuration
from sterna.spec.descriptors import Pointer
from sterna.spec.image import pack_parameter


def random_parameter(rng: random.Random, acc_bits: int) -> tuple[int, int, int]:
    limit = (1 << (SUM_BITS - 1)) - 1
    multiplier = rng.choice([0, 1, (1 << 16) - 1, rng.randrange(1 << 16)])
    room = limit - multiplier * (1 << (acc_bits - 1))
    return multiplier, rng.choice([0, MAX_SHIFT, rng.randint(0, MAX_SHIFT)]), rng.randint(-max(room, 0), max(room, 0))


@pytest.mark.parametrize("seed", range(12))
def test_groups_are_requantised_in_order_with_their_own_parameters(seed: int) -> None:
    rng = random.Random(seed)
    lanes = rng.choice([1, 2, 4])
    c = Configuration(
        name="t", simd=4, pe=8, requantisers=lanes, act_bits=rng.choice([2, 5, 8]), acc_bits=17, weight_depth=16,
        mask_depth=16, activation_depth=16, parameter_depth=64,
    )  # fmt: skip
    parameters = [[random_parameter(rng, c.acc_bits) for _ in range(lanes)] for _ in range(c.parameter_depth)]
    low, high = sorted(rng.sample(range(-(1 << (c.act_bits - 1)), 1 << (c.act_bits - 1)), 2))
    count, tail = c.pe // lanes, rng.randrange(c.pe // lanes)
    payloads, expected = [], []
    pointer = base = 0
    for op in range(2):
        tiles = rng.randint(1, 3)
        for pixel in range(2):
            for tile in range(tiles):
                begin = Pointer.REBASE if op else Pointer.RESET
                move = Pointer.CONTINUE if tile else Pointer.REWIND if pixel else begin
                if move == Pointer.RESET:
                    pointer = base = 0
                elif move == Pointer.REBASE:
                    base = pointer
                elif move == Pointer.REWIND:
                    pointer = base
                op_first, op_last = pixel == tile == 0, pixel == 1 and tile == tiles - 1
                tags = {"pointer": move.value, "last_tile": tile == tiles - 1, "op_first": op_first, "op_last": op_last}
                for group in range(count):
                    sums = [rng.choice([-(1 << 16), (1 << 16) - 1, rng.randint(-9999, 9999)]) for _ in range(lanes)]
                    payloads.append({
                        "sums": sums, "tags": tags, "first": group == 0, "last": group == count - 1, "group": group,
                    })  # fmt: skip
                    totals = [m * s + b for s, (m, _, b) in zip(sums, parameters[pointer], strict=True)]
                    shifts = [s for _, s, _ in parameters[pointer]]
                    values = requantise(np.array(totals), np.array(shifts), low, high).tolist()
                    expected.append({
                        "values": values, "write": int(tile < tiles - 1 or group <= tail),
                        "first": int(op_first and group == 0), "last": int(op_last and group == count - 1),
                    })  # fmt: skip
                    pointer += 1

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

    class Words:
        """The parameter port takes structures; the memory holds packed words."""

        enable, address, data = dut.parameters.enable, dut.parameters.address, dut.parameters.data.as_value()

    simulate(
        dut, settings, source(dut.groups, payloads, rng, rng.choice([0, 0.5])),
        sink(dut.activations, received, len(expected), rng, rng.choice([0, 0.5])), memory=memory(Words, packed),
    )  # fmt: skip
    assert received == expected

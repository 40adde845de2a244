"""Max-pooling against maxima over windows, under random stalls."""

import random
from typing import Any

import pytest

from sterna.gateware.compute.pool import MaxPool
from sterna.sim.checks.testbench import simulate, sink, source
from sterna.spec.configuration import Configuration


@pytest.mark.parametrize("seed", range(16))
def test_windows_are_reduced_to_their_maxima_in_raster_order(seed: int) -> None:
    rng = random.Random(seed)
    lanes = rng.choice([1, 2])
    c = Configuration(
        name="t", simd=4, pe=8, requantisers=lanes, act_bits=rng.choice([2, 8]), weight_depth=16, mask_depth=16,
        activation_depth=16, parameter_depth=16, pool_depth=64,
    )  # fmt: skip
    limit = (1 << (c.act_bits - 1)) - 1
    payloads: list[Any] = []
    expected: list[Any] = []
    for _ in range(2):
        pool_height, pool_width = rng.choice([(1, 1), (2, 2), (1, 3), (3, 2)])
        rows, columns, groups, tail = rng.randint(1, 2), rng.randint(1, 3), rng.randint(4, 6), rng.randint(0, 2)
        height, width = rows * pool_height, columns * pool_width
        pixels = [
            [[[rng.randint(-limit, limit) for _ in range(lanes)] for _ in range(groups)] for _ in range(width)]
            for _ in range(height)
        ]
        for y in range(height):
            for x in range(width):
                last = y == height - 1 and x == width - 1
                for g in range(groups + tail):
                    end = g == groups + tail - 1
                    data = pixels[y][x][g] if g < groups else [limit] * lanes
                    flags = {
                        "write": g < groups, "pixel_end": end,
                        "row_end": x == width - 1 and y < height - 1, "op_end": last and end,
                        "pool_first": y % pool_height == 0 and x % pool_width == 0,
                        "pool_last": (y + 1) % pool_height == 0 and (x + 1) % pool_width == 0,
                        "pool_column_end": (x + 1) % pool_width == 0,
                    }  # fmt: skip
                    payloads.append({"values": data, "flags": flags})
                    if not flags["pool_last"]:
                        continue
                    maxima = [0] * lanes
                    if flags["write"]:
                        window = [pixels[y - i][x - j][g] for i in range(pool_height) for j in range(pool_width)]
                        maxima = [max(column) for column in zip(*window, strict=True)]
                    expected.append((maxima, flags["write"], flags["row_end"] and end, flags["op_end"]))

    dut = MaxPool(configuration=c)
    received: list[Any] = []
    simulate(
        dut, source(dut.activations, payloads, rng, rng.choice([0, 0.5])),
        sink(dut.run, received, len(expected), rng, rng.choice([0, 0.5]), may_ask=False),
    )  # fmt: skip
    for r in received:
        assert r["nonzero"] == (sum((value != 0) << k for k, value in enumerate(r["values"])) if r["write"] else 0)
    found = [
        (r["values"] if r["write"] else [0] * lanes, bool(r["write"]), bool(r["row_end"]), bool(r["last"]))
        for r in received
    ]
    assert found == [(values, bool(write), bool(row_end), bool(last)) for values, write, row_end, last in expected]

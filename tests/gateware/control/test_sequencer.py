"""The sequencer against loops over decoded descriptors, with random stalls and a pipeline that drains at random."""

import random
from typing import Any

import pytest

from gateware.streams import memory, plain, simulate
from sterna.gateware.control.sequencer import Sequencer
from sterna.spec.configuration import Configuration
from sterna.spec.descriptors import OpDescriptor, PlaneDescriptor, Pointer, encode_program

CONFIGURATION = Configuration(
    name="test", simd=4, pe=8, act_bits=5, weight_depth=16, mask_depth=16, activation_depth=1024, parameter_depth=16,
    program_depth=128,
)  # fmt: skip


def random_op(rng: random.Random, last: bool) -> OpDescriptor:
    plane = PlaneDescriptor(
        source=rng.randrange(512), slotted=rng.random() < 0.5, rows=rng.randint(1, 256), chunks=rng.randint(1, 8192),
        tail=rng.randint(1, 8), pitch=rng.randrange(1024), step_x=rng.randrange(64), step_y=rng.randrange(256),
    )  # fmt: skip
    return OpDescriptor(
        planes=(plane,), last=last, slotted=rng.random() < 0.5, tiles=rng.randint(1, 3), width=rng.randint(1, 3),
        height=rng.randint(1, 3), tail_groups=rng.randint(1, 8), destination=8 * rng.randrange(64),
        minimum=rng.randint(-15, 0), maximum=rng.randint(0, 15),
    )  # fmt: skip


def expected_outputs(ops: list[OpDescriptor], offset: int) -> list[dict[str, Any]]:
    """Requests, tags and settings of every output of a run."""
    outputs = []
    for index, op in enumerate(ops):
        (plane,) = op.planes
        for y in range(op.height):
            for x in range(op.width):
                for tile in range(op.tiles):
                    pixel_first, op_first = tile == 0, tile == x == y == 0
                    begin = Pointer.REBASE if index else Pointer.RESET
                    pointer = begin if op_first else Pointer.REWIND if pixel_first else Pointer.CONTINUE
                    last_tile = tile == op.tiles - 1
                    word = plane.source + offset * plane.slotted + y * plane.step_y + x * plane.step_x
                    outputs.append({
                        "op": index,
                        "request": {"word": word % CONFIGURATION.activation_depth, "pointer": pointer.value},
                        "tags": {"pointer": pointer.value, "last_tile": last_tile, "op_first": op_first,
                                 "op_last": last_tile and x == op.width - 1 and y == op.height - 1},
                        "walk": {"rows": plane.rows - 1, "chunks": plane.chunks - 1, "tail": plane.tail - 1,
                                 "pitch": plane.pitch},
                        "settings": ((op.destination + offset * op.slotted) % CONFIGURATION.activation_depth,
                                     op.tail_groups - 1, op.minimum, op.maximum),
                    })  # fmt: skip
    return outputs


@pytest.mark.parametrize("seed", range(12))
def test_every_output_of_every_op_is_asked_for_once_in_order_and_ops_wait_for_what_they_read(seed: int) -> None:
    rng = random.Random(seed)
    count = rng.randint(1, 4)
    ops = [random_op(rng, k == count - 1) for k in range(count)]
    words = encode_program(ops)
    entry, offset = rng.randrange(16), rng.randrange(512)
    limit = rng.choice([0, rng.randint(1, count + 1)])
    ran = ops if limit == 0 else ops[:limit]
    expected = expected_outputs(ran, offset)
    dut = Sequencer(configuration=CONFIGURATION)
    runs = 2

    async def bench(ctx: Any) -> None:
        for run in range(runs):
            flags = {"no_activation_skip": run, "no_block_skip": 1 - run}
            ctx.set(dut.start.payload, {"entry": entry, "offset": offset, "ops": limit, **flags})
            ctx.set(dut.start.valid, 1)
            await ctx.tick().until(dut.start.ready)
            ctx.set(dut.start.valid, 0)
            asked: list[Any] = []
            issued = 0  # outputs whose last block has been issued
            written = 0  # ops whose last activation has been written
            while written < len(ran):
                assert ctx.get(dut.running)
                ctx.set(dut.outputs.ready, rng.random() < 0.5)
                advance = issued < len(asked) and rng.random() < 0.3
                ctx.set(dut.advance, advance)
                done = issued == len(asked) and bool(asked) and asked[-1]["tags"]["op_last"] and rng.random() < 0.2
                done = done and written == asked[-1]["op"]
                if done:
                    settings = tuple(map(ctx.get, (dut.destination, dut.tail_groups, dut.minimum, dut.maximum)))
                    assert settings == asked[-1]["settings"]
                ctx.set(dut.op_done, done)
                _, _, valid, ready, payload, walk = await ctx.tick().sample(
                    dut.outputs.valid, dut.outputs.ready, dut.outputs.payload, dut.walk
                )
                issued += advance
                written += done
                if valid and ready:
                    wanted = expected[len(asked)]
                    assert {**plain(payload), "walk": plain(walk)} == {
                        key: wanted[key] for key in ("request", "tags", "walk")
                    }
                    assert wanted["op"] == written, "an op began before the one before it was written"
                    assert (ctx.get(dut.no_activation_skip), ctx.get(dut.no_block_skip)) == tuple(flags.values())
                    asked.append(wanted)
            ctx.set(dut.op_done, 0)
            ctx.set(dut.advance, 0)
            assert len(asked) == len(expected)
            await ctx.tick().repeat(3)
            assert not ctx.get(dut.running)

    simulate(dut, bench, program=memory(dut.program, [0xAAAA] * entry + words))

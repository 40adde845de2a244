"""The sequencer against loops over decoded descriptors, with random stalls and ops that finish at random."""

import dataclasses
import random
from typing import Any

import pytest

from sterna.gateware.control.sequencer import Sequencer
from sterna.sim.checks.testbench import plain, simulate
from sterna.spec.configuration import Configuration
from sterna.spec.descriptors import OpDescriptor, PlaneDescriptor, encode_program
from sterna.spec.limits import op_limits, plane_limits

CONFIGURATION = Configuration(
    name="test", simd=4, pe=8, act_bits=5, weight_depth=16, mask_depth=16, activation_depth=1024, parameter_depth=32,
    program_depth=256,
)  # fmt: skip
DEPTH = CONFIGURATION.activation_depth


def random_op(rng: random.Random, last: bool) -> OpDescriptor:
    planes = tuple(
        PlaneDescriptor(
            source=rng.randrange(512),
            slotted=rng.random() < 0.5,
            fractional=rng.random() < 0.5,
            rows=rng.randint(1, 256),
            chunks=rng.randint(1, plane_limits(CONFIGURATION)["chunks"]),
            tail=rng.randint(1, 8),
            pitch=rng.randrange(DEPTH),
            step_x=rng.randrange(64),
            step_row=rng.randint(-200, 200),
        )
        for _ in range(rng.choice([1, 1, 2, 3]))
    )
    pool_width, pool_height = rng.choice([1, 1, 2]), rng.choice([1, 1, 3])
    return OpDescriptor(
        planes=planes, last=last, slotted=rng.random() < 0.5, tiles=rng.randint(1, op_limits(CONFIGURATION)["tiles"]),
        width=pool_width * rng.randint(1, 3), height=pool_height * rng.randint(1, 2), tail_groups=rng.randint(1, 8),
        pool_width=pool_width, pool_height=pool_height, destination=8 * rng.randrange(64),
        minimum=rng.randint(-15, 0), maximum=rng.randint(0, 15), lead=rng.randrange(99), gap=rng.randrange(99),
        trail=rng.randrange(99), phases=rng.choice([1, 2, 4]), fraction=rng.randrange(4),
        fraction_step=rng.randrange(4),
        weights=rng.randrange(16),
        masks=rng.randrange(16),
        parameters=rng.randrange(16),
    )  # fmt: skip


def expected_outputs(ops: list[OpDescriptor], offset: int) -> list[dict[str, Any]]:
    """Request and tags of every output of a run."""
    outputs = []
    for index, op in enumerate(ops):
        windows = [plane.source + offset * plane.slotted for plane in op.planes]
        for y in range(op.height):
            fraction = op.fraction
            for x in range(op.width):
                last_row, last_column = y == op.height - 1, x == op.width - 1
                for tile in range(op.tiles):
                    for k, plane in enumerate(op.planes):
                        inner = tile or k
                        last = last_row and last_column and tile == op.tiles - 1
                        outputs.append({
                            "op": index,
                            "request": {
                                "word": windows[k] % DEPTH, "rewind": int(not inner and x % op.phases == 0),
                                "rows": plane.rows - 1,
                                "chunks": plane.chunks - 1, "tail": plane.tail - 1, "pitch": plane.pitch,
                            },
                            "tags": {
                                "plane_last": k == len(op.planes) - 1,
                                "last_tile": tile == op.tiles - 1,
                                "pool_first": x % op.pool_width == 0 and y % op.pool_height == 0,
                                "pool_last": (x + 1) % op.pool_width == 0 and (y + 1) % op.pool_height == 0,
                                "pool_column_end": (x + 1) % op.pool_width == 0,
                                "row_end": last_column and not last_row,
                                "op_last": last and k == len(op.planes) - 1,
                            },
                        })  # fmt: skip
                carry, fraction = divmod(fraction + op.fraction_step, CONFIGURATION.simd)
                for k, plane in enumerate(op.planes):
                    windows[k] += plane.step_row if last_column else plane.step_x + carry * plane.fractional
    return outputs


@pytest.mark.parametrize("seed", range(24))
def test_every_output_of_every_op_is_asked_for_once_in_order_and_ops_wait_for_what_they_read(seed: int) -> None:
    rng = random.Random(seed)
    count = rng.randint(1, 4)
    ops = [random_op(rng, k == count - 1) for k in range(count)]
    entry, offset = rng.choice([0, rng.randrange(16)]), rng.randrange(512)
    limit = rng.choice([0, rng.randint(1, count + 1)])
    ran = ops if limit == 0 else ops[:limit]
    expected = expected_outputs(ran, offset)
    dut = Sequencer(configuration=CONFIGURATION)
    loaded = [0xAAAA] * entry + encode_program(ops)
    program = [rng.getrandbits(16) for _ in loaded]
    begun: list[Any] = []

    async def memory(ctx: Any) -> None:
        while True:
            _, _, enable, address, write, at, data = await ctx.tick().sample(
                dut.program.enable, dut.program.address, dut.windows.enable, dut.windows.address, dut.windows.data
            )
            if enable:
                ctx.set(dut.program.data, program[address] if address < len(program) else 0)
            if write:
                program[at] = data

    async def places(ctx: Any) -> None:
        while True:
            _, _, begin, place = await ctx.tick().sample(dut.begin, dut.place)
            if begin:
                begun.append(plain(place))

    async def bench(ctx: Any) -> None:
        for run in range(3):
            if run != 1:  # nothing of what stood there before may count
                program[:] = [rng.getrandbits(16) for _ in loaded]
                ctx.set(dut.loading, 1)
                for at, word in enumerate(loaded):
                    await ctx.tick()
                    program[at] = word
                ctx.set(dut.loading, 0)
                await ctx.tick().repeat(rng.randint(1, 40))
            ctx.set(dut.start.payload, {"entry": entry, "offset": offset, "ops": limit})
            ctx.set(dut.start.valid, 1)
            await ctx.tick().until(dut.start.ready)
            ctx.set(dut.start.valid, 0)
            asked = 0
            written = 0  # ops whose last activation has been written
            begun.clear()
            while written < len(ran):
                assert ctx.get(dut.running)
                ctx.set(dut.outputs.ready, rng.random() < 0.5)
                done = asked > 0 and expected[asked - 1]["tags"]["op_last"] and rng.random() < 0.2
                done = done and written == expected[asked - 1]["op"]
                if done:
                    op = ran[written]
                    assert len(begun) == written + 1
                    word = (op.destination + offset * op.slotted) % DEPTH
                    assert (begun[-1]["word"], begun[-1]["lead"]) == (word, op.lead)
                    assert (ctx.get(dut.place.gap), ctx.get(dut.place.trail)) == (op.gap, op.trail)
                    settings = tuple(map(ctx.get, (dut.tail_groups, dut.minimum, dut.maximum)))
                    assert settings == (op.tail_groups - 1, op.minimum, op.maximum)
                    assert (ctx.get(dut.first_block), ctx.get(dut.first_parameter)) == (op.weights, op.parameters)
                ctx.set(dut.op_done, done)
                _, _, valid, ready, payload, first_mask = await ctx.tick().sample(
                    dut.outputs.valid, dut.outputs.ready, dut.outputs.payload, dut.first_mask
                )
                written += done
                if valid and ready:
                    wanted = expected[asked]
                    assert plain(payload) == {key: wanted[key] for key in ("request", "tags")}
                    assert wanted["op"] == written, "an op began before the one before it was written"
                    assert first_mask == ran[written].masks
                    assert ctx.get(dut.keeps_zeros) == ran[written].keeps_zeros
                    asked += 1
            ctx.set(dut.op_done, 0)
            assert asked == len(expected)
            await ctx.tick().repeat(3)
            assert not ctx.get(dut.running)

    simulate(dut, bench, memory=memory, places=places)


@pytest.mark.parametrize(("asked", "done"), [(0, 256), (255, 255)])
def test_the_most_ops_of_a_run_are_256(asked, done):
    dut = Sequencer(configuration=dataclasses.replace(CONFIGURATION, program_depth=8192))
    plane = PlaneDescriptor(source=0, chunks=1, tail=1)
    op = OpDescriptor(planes=(plane,), last=False, tiles=1, tail_groups=1, destination=0, minimum=0, maximum=1)
    program = encode_program([dataclasses.replace(op, last=k == 299) for k in range(300)])
    ran = 0

    async def memory(ctx: Any) -> None:
        while True:
            _, _, enable, address = await ctx.tick().sample(dut.program.enable, dut.program.address)
            if enable:
                ctx.set(dut.program.data, program[address])

    async def bench(ctx: Any) -> None:
        nonlocal ran
        ctx.set(dut.start.payload, {"entry": 0, "offset": 0, "ops": asked})
        ctx.set(dut.start.valid, 1)
        await ctx.tick().until(dut.start.ready)
        ctx.set(dut.start.valid, 0)
        ctx.set(dut.outputs.ready, 1)
        for _ in range(40 * 300):
            _, _, valid = await ctx.tick().sample(dut.outputs.valid)
            ctx.set(dut.op_done, valid)
            ran += valid
        assert not ctx.get(dut.running)

    simulate(dut, bench, memory=memory)
    assert ran == done

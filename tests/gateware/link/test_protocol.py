# amaranth: UnusedElaboratable=no
"""The endpoint against the protocol in plain Python, and each rule of waiting by itself."""

import dataclasses
import struct

import pytest

from sterna.gateware.link.endpoint import Endpoint
from sterna.sim.checks.endpoint_bench import Bench, simulation
from sterna.sim.checks.requests import check_registers, check_requests
from sterna.spec import frames
from sterna.spec.configuration import CHUNK, Configuration
from sterna.spec.frames import Opcode, Status, crc32c, request
from sterna.spec.image import Region, region_words
from sterna.spec.registers import Register, State
from sterna.spec.trits import TritCode

SMALL = Configuration(
    name="small", simd=4, pe=8, requantisers=2, weight_depth=64, mask_depth=32, activation_depth=256,
    parameter_depth=16, program_depth=32,
)  # fmt: skip
NARROW = Configuration(
    name="narrow", simd=1, pe=4, act_bits=3, weight_depth=16, mask_depth=16, activation_depth=16,
    parameter_depth=16, program_depth=16,
)  # fmt: skip
FIVE = Configuration(
    name="five", simd=2, pe=10, requantisers=2, weight_code=TritCode.TRIT5, weight_depth=64, mask_depth=32,
    activation_depth=256, parameter_depth=16, program_depth=32,
)  # fmt: skip
UNANSWERED = 4000
"""Cycles; an answer that waits for nothing takes less than half."""
SEVERAL = Configuration(
    name="several", simd=2, pe=4, weight_depth=64, mask_depth=32, activation_depth=256, parameter_depth=16,
    program_depth=32, cores=4, read_latency=2,
)  # fmt: skip
WIDE = Configuration(
    name="wide", simd=32, pe=64, requantisers=4, act_bits=5, weight_depth=1024, mask_depth=2048,
    activation_depth=65536, parameter_depth=128, program_depth=65536,
)  # fmt: skip


@pytest.mark.parametrize(
    ("configuration", "seed", "count"), [
        (SMALL, 26, 100), (SMALL, 31, 100), (NARROW, 36, 100), (WIDE, 2, 60), (FIVE, 7, 100),
        (dataclasses.replace(SEVERAL, name="two", cores=2), 48, 150),
    ],
    ids=lambda value: getattr(value, "name", None),
)  # fmt: skip
def test_answers_and_effects_are_those_of_the_protocol(configuration, seed, count):
    bench, seen = check_requests(configuration, seed, count, simulation(configuration))
    for effects in bench.notes:
        assert min(len(effects.writes), len(effects.inputs), len(effects.starts)) > 0
    assert seen >= {Status.OK, Status.OUT_OF_ORDER, Status.BAD_LENGTH, Status.BAD_ADDRESS, Status.NOT_LOADED}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("configuration", [SMALL, WIDE, SEVERAL], ids=lambda value: value.name)
def test_every_register_is_read_with_any_number_in_the_counters(configuration, seed):
    check_registers(configuration, seed, simulation(configuration))


@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_pipelined_requests_are_carried_out_in_order(stall):
    bench = Bench(SMALL, 11, stall)
    rng = bench.rng
    weights = bytes(byte | (byte >> 1 & 0x55) for byte in rng.randbytes(2 * 100))
    parameters = rng.randbytes(7 * 32)
    contents = [
        request(9, Opcode.SYNC, frames.sync_arguments(5)),
        request(10, Opcode.BEGIN, SMALL.digest),
        request(11, Opcode.WRITE, frames.write_header(Region.WEIGHTS, 20) + weights),
        request(12, Opcode.WRITE, frames.write_header(Region.PARAMETERS, 0) + parameters),
        request(12, Opcode.WRITE, frames.write_header(Region.PARAMETERS, 0) + parameters),
        request(13, Opcode.COMMIT, frames.commit_arguments(crc32c(weights + parameters))),
        request(14, Opcode.INPUT, frames.input_header(8) + rng.randbytes(70)),
        request(15, Opcode.START, frames.start_arguments(3, 16, 1)),
        request(16, Opcode.INPUT, frames.input_header(16) + rng.randbytes(70)),
        request(17, Opcode.START, frames.start_arguments(4, 0, 0)),
        request(18, Opcode.RESULT, frames.result_arguments(1, 3, 30)),
        request(19, Opcode.RESULT, frames.result_arguments(0, 30, 30)),
    ]

    async def host(ctx):
        for content in contents:
            await bench.send(ctx, content)

    async def check(ctx):
        for content in contents:
            assert await bench.receive(ctx) == bench.protocol.answer(content)

    simulation(SMALL)(bench.dut, host, check, **bench.benches())
    assert bench.notes == bench.protocol.notes
    assert len(bench.core.notes.starts) == 2


def directed(host, seed=21, stall=0.1, configuration=SMALL):
    """Runs ``host(ctx, bench)`` on a controller with an image; runs last until ``bench.core.running`` is cleared."""
    bench = Bench(configuration, seed, stall)
    for core in bench.cores:
        core.run_cycles = lambda: 1_000_000

    async def run(ctx):
        await bench.load(ctx)
        await host(ctx, bench)

    simulation(configuration)(bench.dut, run, **bench.benches())


def started(sequence: int, slot: int) -> bytes:
    return request(sequence, Opcode.START, frames.start_arguments(0, 0, slot))


@pytest.mark.parametrize("configuration", [SMALL, SEVERAL], ids=lambda value: value.name)
def test_a_result_waits_for_the_run_of_its_slot_only(configuration):
    async def host(ctx, bench):
        assert await bench.ask(ctx, started(4, 1)) == bench.protocol.answer(started(4, 1)) == (Status.OK, b"")
        other = request(5, Opcode.RESULT, frames.result_arguments(0, 0, 3))
        assert await bench.ask(ctx, other) == bench.protocol.answer(other)
        await bench.send(ctx, request(6, Opcode.RESULT, frames.result_arguments(1, 0, 3)))
        await ctx.tick().repeat(UNANSWERED)
        assert not bench.answers
        bench.core.running = False
        assert (await bench.receive(ctx))[0] == Status.OK

    directed(host, configuration=configuration)


@pytest.mark.parametrize("configuration", [SMALL, SEVERAL], ids=lambda value: value.name)
def test_a_start_waits_for_the_run_before_and_is_answered_when_its_own_begins(configuration):
    async def host(ctx, bench):
        assert await bench.ask(ctx, started(4, 0)) == (Status.OK, b"")
        await bench.send(ctx, started(5, 1))
        await ctx.tick().repeat(UNANSWERED)
        assert not bench.answers
        assert len(bench.core.notes.starts) == 1
        bench.core.running = False
        assert await bench.receive(ctx) == (Status.OK, b"")
        assert len(bench.core.notes.starts) == 2
        state = await bench.ask(ctx, request(6, Opcode.READ, frames.read_arguments(Register.STATE, 1)))
        assert state == (Status.OK, struct.pack("<I", State.LOADED | State.RUNNING))

    directed(host, configuration=configuration)


def test_a_start_and_a_result_wait_only_for_runs_of_their_own_core():
    def start(sequence, slot, core):
        return request(sequence, Opcode.START, frames.start_arguments(0, 0, slot, core=core))

    def result(sequence, slot):
        return request(sequence, Opcode.RESULT, frames.result_arguments(slot, 0, 3))

    async def host(ctx, bench):
        for sequence, (slot, core) in enumerate([(1, 3), (0, 1), (1, 0)], 4):
            assert await bench.ask(ctx, start(sequence, slot, core)) == (Status.OK, b"")
        assert [core.running for core in bench.cores] == [True, True, False, True]
        bench.protocol.expected = 7
        for sequence, slot in enumerate([0, 3, 4, 5, 6], 7):  # in which nothing runs
            content = result(sequence, slot)
            assert await bench.ask(ctx, content) == bench.protocol.answer(content)
        for sequence, slot in enumerate([7, 2, 1], 12):
            await bench.send(ctx, result(sequence, slot))
            await ctx.tick().repeat(UNANSWERED)
            assert not bench.answers
            bench.cores[slot // 2].running = False
            assert (await bench.receive(ctx))[0] == Status.OK

    directed(host, configuration=SEVERAL)


def test_a_run_of_any_core_shows_in_the_state_and_makes_begin_busy():
    async def host(ctx, bench):
        run = request(4, Opcode.START, frames.start_arguments(0, 0, 0, core=2))
        assert await bench.ask(ctx, run) == (Status.OK, b"")
        state = request(5, Opcode.READ, frames.read_arguments(Register.STATE, 1))
        assert await bench.ask(ctx, state) == (Status.OK, struct.pack("<I", State.LOADED | State.RUNNING))
        assert await bench.ask(ctx, request(6, Opcode.BEGIN, bench.c.digest)) == (Status.BUSY, b"")
        bench.cores[2].running = False
        await ctx.tick().repeat(3)
        assert await bench.ask(ctx, request(7, Opcode.BEGIN, bench.c.digest)) == (Status.OK, b"")

    directed(host, configuration=SEVERAL)


@pytest.mark.parametrize("cores", [2, 4])
def test_a_core_that_is_not_there_is_a_bad_address(cores):
    async def host(ctx, bench):
        arguments = [
            *((Opcode.INPUT, frames.input_header(8, core) + b"x") for core in range(cores, CHUNK)),
            *((Opcode.START, frames.start_arguments(0, 0, 0, core=core)) for core in (cores, 7, 8, 16, 31)),
            *((Opcode.RESULT, frames.result_arguments(slot, 0, 1)) for slot in (2 * cores, 2 * cores + 1, 64, 255)),
        ]
        for sequence, (opcode, bytes_) in enumerate(arguments, 4):
            assert await bench.ask(ctx, request(sequence, opcode, bytes_)) == (Status.BAD_ADDRESS, b"")
        assert not any(core.notes.inputs or core.notes.starts for core in bench.cores)
        last = frames.input_header(248, cores - 1) + bytes(16)  # up to the last word
        assert await bench.ask(ctx, request(len(arguments) + 4, Opcode.INPUT, last)) == (Status.OK, b"")
        await ctx.tick()
        assert [len(core.notes.inputs) for core in bench.cores] == [0] * (cores - 1) + [1]
        assert bench.cores[-1].notes.inputs[0][0] == 248

    directed(host, configuration=dataclasses.replace(SEVERAL, cores=cores))


def test_a_repeated_start_neither_runs_nor_waits():
    async def host(ctx, bench):
        for _ in range(3):
            assert await bench.ask(ctx, started(4, 0)) == (Status.OK, b"")
        assert len(bench.core.notes.starts) == 1

    directed(host)


def test_begin_is_busy_while_a_run_is_under_way_and_leaves_the_image():
    async def host(ctx, bench):
        await bench.ask(ctx, started(4, 0))
        assert await bench.ask(ctx, request(5, Opcode.BEGIN, bench.c.digest)) == (Status.BUSY, b"")
        wrong = bytes(8)
        assert await bench.ask(ctx, request(6, Opcode.BEGIN, wrong)) == (Status.WRONG_CONFIGURATION, b"")
        assert await bench.ask(ctx, request(1, Opcode.BEGIN, bench.c.digest)) == (Status.OK, b"")
        bench.core.running = False
        await ctx.tick().repeat(3)
        assert await bench.ask(ctx, started(7, 0)) == (Status.OK, b"")

    directed(host)


def test_a_sync_during_a_run_is_answered_at_once():
    async def host(ctx, bench):
        await bench.ask(ctx, started(4, 0))
        assert await bench.ask(ctx, request(200, Opcode.SYNC, b"abcd")) == (Status.OK, b"abcd")
        assert await bench.ask(ctx, request(200, Opcode.READ, b"\0\0")) == (Status.OK, b"")
        assert await bench.ask(ctx, request(202, Opcode.READ, b"\0\0")) == (Status.OUT_OF_ORDER, b"\xc9")

    directed(host)


@pytest.mark.parametrize("data", [b"", b"abc", b"short", bytes(260)])
def test_a_sync_of_another_length_is_judged_like_any_request(data):
    async def host(ctx, bench):
        for content in (
            request(9, Opcode.SYNC, data),  # ahead: its length does not count
            request(4, Opcode.SYNC, data),  # taken, whatever its status
            request(5, Opcode.READ, frames.read_arguments(Register.MAGIC, 1)),
            request(4, Opcode.SYNC, data),
            request(6, Opcode.READ, frames.read_arguments(Register.MAGIC, 1)),
        ):
            assert await bench.ask(ctx, content) == bench.protocol.answer(content)

    directed(host)


def test_repetitions_after_commit_change_neither_image_nor_state():
    async def host(ctx, bench):
        writes = list(bench.core.notes.writes)
        mask = request(2, Opcode.WRITE, frames.write_header(Region.MASKS, 0) + b"\1\2\3\4")
        assert await bench.ask(ctx, mask) == (Status.OK, b"")
        assert await bench.ask(ctx, request(3, Opcode.COMMIT, bytes(4))) == (Status.OK, b"")
        assert bench.core.notes.writes == writes
        assert await bench.ask(ctx, started(4, 0)) == (Status.OK, b"")

    directed(host)


@pytest.mark.parametrize(
    ("configuration", "good", "bad"), [
        (SMALL, b"\x55\xff", b"\x55\xbf"),  # the last code of `bad` is 10
        (FIVE, b"\x55\xaa", b"\x55\xfd"),  # a byte of two illegal codes in trit2, and one that trit5 does not use
    ],
    ids=lambda value: getattr(value, "name", None),
)  # fmt: skip
def test_an_illegal_trit_is_not_written_and_costs_the_image(configuration, good, bad):
    async def host(ctx, bench):
        assert (await bench.ask(ctx, request(4, Opcode.BEGIN, bench.c.digest)))[0] == Status.OK
        del bench.core.notes.writes[:]
        write = frames.write_header(Region.WEIGHTS, 7) + good + good + bad + good
        assert await bench.ask(ctx, request(5, Opcode.WRITE, write)) == (Status.BAD_TRIT, b"")
        word = int.from_bytes(good, "little")
        assert bench.core.notes.writes == [(Region.WEIGHTS, 7, word), (Region.WEIGHTS, 8, word)]
        commit = frames.commit_arguments(crc32c(good + good + bad))
        assert await bench.ask(ctx, request(6, Opcode.COMMIT, commit)) == (Status.NOT_LOADED, b"")
        assert await bench.ask(ctx, started(7, 0)) == (Status.NOT_LOADED, b"")

    directed(host, configuration=configuration)


def test_the_same_codes_are_no_trits_in_other_regions():
    async def host(ctx, bench):
        await bench.ask(ctx, request(4, Opcode.BEGIN, bench.c.digest))
        write = frames.write_header(Region.PROGRAM, 31) + b"\xaa\xaa"
        assert await bench.ask(ctx, request(5, Opcode.WRITE, write)) == (Status.OK, b"")
        assert bench.core.notes.writes[-1] == (Region.PROGRAM, 31, 0xAAAA)

    directed(host)


@pytest.mark.parametrize("bit", range(7, 24))
def test_no_bit_of_an_address_is_lost(bit):
    async def host(ctx, bench):
        assert 1 << bit >= region_words(Region.MASKS, bench.c)
        await bench.ask(ctx, request(4, Opcode.BEGIN, bench.c.digest))
        del bench.core.notes.writes[:]
        write = frames.write_header(Region.MASKS, 1 << bit) + b"x"
        assert await bench.ask(ctx, request(5, Opcode.WRITE, write)) == (Status.BAD_ADDRESS, b"")
        assert not bench.core.notes.writes

    directed(host)


def test_inputs_saturate_to_the_symmetric_range():
    async def host(ctx, bench):
        values = struct.pack("8b", -128, -127, -4, -3, 0, 3, 4, 127)
        assert await bench.ask(ctx, request(4, Opcode.INPUT, frames.input_header(8) + values)) == (Status.OK, b"")
        await ctx.tick()
        assert bench.core.notes.inputs == [(8, [-3, -3, -3, -3, 0, 3, 3, 3])]

    directed(host, configuration=NARROW)


def test_the_most_negative_byte_saturates_at_eight_bits_too():
    async def host(ctx, bench):
        await bench.ask(ctx, request(4, Opcode.INPUT, frames.input_header(0) + b"\x80\x81\x7f"))
        await ctx.tick()
        assert bench.core.notes.inputs == [(0, [-127, -127, 127])]

    directed(host)


def test_a_build_id_out_of_range_is_refused():
    with pytest.raises(ValueError, match=rf"build id is {1 << 64}; allowed: 0…2\*\*64 - 1"):
        Endpoint(configuration=SMALL, build_id=1 << 64)

"""The endpoint on wires of any bytes: what ``decode_frame`` takes is answered and carried out, all else is counted."""

import dataclasses
import random
from collections.abc import Sequence
from typing import Any

from cobs import cobs

from sterna.gateware.link.processor import RING_BYTES
from sterna.sim.checks.contents import edge_contents, random_content
from sterna.sim.checks.endpoint_bench import Bench
from sterna.sim.checks.testbench import Simulate, source
from sterna.spec import frames
from sterna.spec.configuration import Configuration
from sterna.spec.errors import EncodingError
from sterna.spec.frames import (
    CRC_BYTES,
    MAX_CONTENT,
    WINDOW_BYTES,
    Opcode,
    Status,
    crc32c,
    decode_frame,
    encode_frame,
    request,
)
from sterna.spec.image import Region
from sterna.spec.registers import Register

WIRE = Configuration(
    name="wire", simd=4, pe=8, requantisers=2, weight_depth=64, mask_depth=256, activation_depth=256,
    parameter_depth=16, program_depth=32,
)  # fmt: skip
SEVERAL = dataclasses.replace(WIRE, name="wires", cores=4, read_latency=2)
REPEATED = 127
"""The last sequence number that was taken when the wire begins: requests with those up to it are repetitions, so that
each is carried out whatever became of the one before."""


def reference(wire: bytes) -> tuple[list[bytes], int]:
    """Contents of the good frames of the wire, and how many bad ones there are."""
    good, bad = [], 0
    for frame in wire.split(b"\0")[:-1]:
        try:
            good.append(decode_frame(frame))
        except EncodingError:
            bad += bool(frame)
    return good, bad


def sealed(content: bytes) -> bytes:
    """A frame of any length."""
    return bytes(cobs.encode(content + crc32c(content).to_bytes(CRC_BYTES, "little"))) + b"\0"


def writes(data: Sequence[bytes], rng: random.Random) -> list[bytes]:
    """Contents of requests that store ``data`` as masks, a byte a word; each may come in any order, or not at all."""
    header = frames.write_header(Region.MASKS, 0)
    most = MAX_CONTENT - 2 - len(header)
    return [request(rng.randint(1, REPEATED), Opcode.WRITE, header + each[:most]) for each in data]


async def opened(ctx: Any, bench: Bench) -> None:
    """A session with an image that is being written."""
    for content in (
        request(REPEATED - 1, Opcode.SYNC, frames.sync_arguments(1)),
        request(REPEATED, Opcode.BEGIN, bench.c.digest),
    ):
        assert await bench.ask(ctx, content) == bench.protocol.answer(content)


async def check_counts(ctx: Any, bench: Bench, bad: int) -> None:
    """What the registers say of frames, the one that asks among them."""
    content = request(bench.protocol.expected, Opcode.READ, frames.read_arguments(Register.GOOD_FRAMES, 2))
    status, counts = bench.protocol.answer(content)
    assert await bench.ask(ctx, content) == (status, counts[:4] + bad.to_bytes(4, "little"))


def check_wire(wire: bytes, rng: random.Random, stalls: tuple[float, float], simulate: Simulate) -> None:
    """Any bytes after a session was opened; ``stalls`` of the sender, and of the taker and the core."""
    good, bad = reference(wire)
    bench = Bench(WIRE, rng.getrandbits(32), stalls[1])

    async def host(ctx: Any) -> None:
        await opened(ctx, bench)
        bench.expect(good)
        await source(bench.dut.rx, wire, rng, stalls[0])(ctx)
        for content in good:
            assert await bench.receive(ctx) == bench.protocol.answer(content)
        await check_counts(ctx, bench, bad)
        assert bench.bad_frames == bad

    simulate(bench.dut, host, cycles=30_000 + 600 * len(wire), **bench.benches())
    assert bench.notes == bench.protocol.notes


def check_edges(stalls: tuple[float, float], simulate: Simulate) -> None:
    """Data at every edge of the stuffing."""
    rng = random.Random(10)
    contents = writes(rng.sample(edge_contents(), 12), rng)
    check_wire(b"".join(map(encode_frame, contents)), rng, stalls, simulate)


def damaged(frame: bytes, rng: random.Random) -> bytes:
    """The frame after one of the accidents of a serial line."""
    at = rng.randrange(len(frame))
    match rng.randrange(6):
        case 0:  # bits flipped
            return frame[:at] + bytes([frame[at] ^ rng.randint(1, 255)]) + frame[at + 1 :]
        case 1:  # bytes lost
            return frame[:at] + frame[at + rng.randint(1, 3) :]
        case 2:  # bytes repeated
            return frame[:at] + frame[max(at - 2, 0) :]
        case 3:  # cut short, the delimiter arrives
            return frame[:at] + b"\0"
        case 4:  # noise before it
            return rng.randbytes(rng.randint(1, 30)) + frame
        case _:  # idle delimiters
            return b"\0" * rng.randint(1, 3) + frame


def check_damage(rng: random.Random, simulate: Simulate) -> None:
    """Damaged frames among good ones."""
    wire = b""
    for content in writes([random_content(rng, 100) for _ in range(40)], rng):
        frame = encode_frame(content)
        wire += damaged(frame, rng) if rng.random() < 0.6 else frame
    check_wire(wire + b"\0", rng, (rng.choice([0, 0.2]), rng.choice([0, 0.2])), simulate)


def check_lengths(simulate: Simulate) -> None:
    """Contents inside and outside of the allowed lengths, all with the right CRC."""
    rng = random.Random(30)
    ring = [RING_BYTES - CRC_BYTES + k for k in range(-8, 5)]
    lengths = [0, 1, 2, MAX_CONTENT, MAX_CONTENT + 1, MAX_CONTENT + 4, *ring, 3 * RING_BYTES, 5]
    check_wire(b"".join(sealed(rng.randbytes(n)) for n in lengths), rng, (0, 0), simulate)


def check_endless_frame(simulate: Simulate) -> None:
    """A frame that does not end does not fill the ring."""
    rng = random.Random(31)
    noise = bytes(rng.randint(1, 255) for _ in range(5000))
    (content,) = writes([rng.randbytes(MAX_CONTENT)], rng)
    check_wire(encode_frame(content) + noise + b"\0" + encode_frame(content), rng, (0, 0.1), simulate)


def check_long_block(simulate: Simulate) -> None:
    """A block that is longer than its frame, by what follows."""
    frame = encode_frame(b"\x01\x02\x03")
    check_wire(frame[:-1] + b"\x05\x05\0" + frame, random.Random(32), (0, 0), simulate)


WAITING = {
    Opcode.START: request(REPEATED + 1, Opcode.START, frames.start_arguments(0, 0, 0)),
    Opcode.RESULT: request(REPEATED + 1, Opcode.RESULT, frames.result_arguments(1, 0, 5)),
}
"""Requests that wait for a run."""


def window(start: bytes, count: int, rng: random.Random) -> list[bytes]:
    """``start`` and contents of ``count - 1`` requests, of ``WINDOW_BYTES`` in all, hardly any zero among them."""
    header = frames.write_header(Region.MASKS, 0)
    rest = WINDOW_BYTES - len(start) - count * CRC_BYTES
    contents = [start]
    for left in range(count - 1, 0, -1):
        size = min(MAX_CONTENT, rest // left)
        rest -= size
        data = bytes(rng.randint(1, 255) for _ in range(size - 2 - len(header)))
        contents.append(request(REPEATED + 1 + len(contents), Opcode.WRITE, header + data))
    return contents


def check_window(opcode: Opcode, count: int, simulate: Simulate) -> None:
    """A full window of ``count`` frames is taken in without a stall while its first request, a START or RESULT, waits
    for a run; what comes then stalls the host until there is room, and is not lost."""
    rng = random.Random(33)
    bench = Bench(WIRE, 33, 0.0)
    bench.core.run_cycles = lambda: 1_000_000
    contents = window(WAITING[opcode], count, rng)
    after = request(
        REPEATED + 1 + len(contents), Opcode.WRITE, frames.write_header(Region.MASKS, 0) + rng.randbytes(600)
    )
    wire = b"".join(map(encode_frame, contents))
    gone = len(encode_frame(contents[0])) if opcode == Opcode.START else 0  # a START's bytes leave the ring at once
    pace = 100
    sent = 0

    async def host(ctx: Any) -> None:
        nonlocal sent
        await bench.load(ctx)
        first = request(4, Opcode.START, frames.start_arguments(0, 0, 1))
        to_there = request(REPEATED, Opcode.SYNC, frames.sync_arguments(2))
        for content in (first, to_there):
            assert await bench.ask(ctx, content) == bench.protocol.answer(content)
        bench.expect([*contents, after])
        for byte in wire:
            ctx.set(bench.dut.rx.payload, byte)
            ctx.set(bench.dut.rx.valid, 1)
            ready, waited = 0, 0
            while not ready:
                _, _, ready = await ctx.tick().sample(bench.dut.rx.ready)
                waited += 1
            assert waited < pace
            ctx.set(bench.dut.rx.valid, 0)
            await ctx.tick().repeat(pace - waited)
        assert not bench.answers
        for byte in encode_frame(after):
            await source(bench.dut.rx, [byte], rng, 0)(ctx)
            sent += 1

    async def late(ctx: Any) -> None:
        while not sent:
            await ctx.tick()
        await ctx.tick().repeat(3000)
        assert len(wire) + sent - gone == RING_BYTES - 1
        bench.core.running = False
        for content in [*contents, after]:
            assert (await bench.receive(ctx))[0] == bench.protocol.answer(content)[0] == Status.OK
            bench.core.running = False

    simulate(bench.dut, host, late, cycles=1_000_000, **bench.benches())
    assert bench.notes == bench.protocol.notes


def check_counters(simulate: Simulate) -> None:
    """Counters that rise as fast as they can are added up exactly, whatever the requests and however slow the taker."""
    rng = random.Random(36)
    bench = Bench(WIRE, 36, 0.0)
    bench.rises = True
    bench.taker_stall = 0.99  # a byte in 100 cycles
    most = MAX_CONTENT - 2
    zeros = bytes(most - 4)

    async def host(ctx: Any) -> None:
        await bench.load(ctx)
        for opcode, arguments in (
            (Opcode.WRITE, frames.write_header(Region.MASKS, 0) + zeros),
            (Opcode.WRITE, frames.write_header(Region.WEIGHTS, 0) + zeros[: 2 * 256]),
            (Opcode.INPUT, frames.input_header(0) + rng.randbytes(most - 2)),
            (Opcode.RESULT, frames.result_arguments(0, 0, frames.MAX_RESULT)),
        ):
            content = request(bench.protocol.expected, opcode, arguments)
            assert await bench.ask(ctx, content) == bench.protocol.answer(content)
            await _check_count(ctx, bench)
        await ctx.tick().repeat(100_000)  # nothing to do, for long
        await _check_count(ctx, bench)

        # What takes longest: a window that came while its first request waited, with a damaged frame in it.
        expected = bench.protocol.expected
        start = request(expected, Opcode.START, frames.start_arguments(0, 0, 1))
        waiting = request(expected + 1, Opcode.RESULT, frames.result_arguments(1, 0, 5))
        after = request(expected + 2, Opcode.WRITE, frames.write_header(Region.MASKS, 0) + zeros)
        noise = bytes(rng.randint(1, 255) for _ in range(340))
        bench.core.run_cycles = lambda: 1_000_000
        assert await bench.ask(ctx, start) == bench.protocol.answer(start)
        bench.expect([waiting, after])
        await source(bench.dut.rx, encode_frame(waiting) + noise + b"\0" + encode_frame(after), rng, 0)(ctx)
        bench.core.running = False
        for content in (waiting, after):
            assert await bench.receive(ctx) == bench.protocol.answer(content)
        await _check_count(ctx, bench)

    simulate(bench.dut, host, cycles=3_000_000, **bench.benches())


def check_waiting_counters(simulate: Simulate) -> None:
    """So they are while a run waits for the one before on its core, of ``SEVERAL``, and a result behind it."""
    bench = Bench(SEVERAL, 37, 0.0)
    bench.rises = True
    cycles = iter([160_000, 10])
    bench.core.run_cycles = lambda: next(cycles)

    async def host(ctx: Any) -> None:
        await bench.load(ctx)
        first = bench.protocol.expected
        contents = [
            request(first, Opcode.START, frames.start_arguments(0, 0, 0)),
            request(first + 1, Opcode.START, frames.start_arguments(0, 0, 1)),
            request(first + 2, Opcode.RESULT, frames.result_arguments(0, 0, 3)),
        ]
        for content in contents:
            await bench.send(ctx, content)
        for content in contents:
            assert await bench.receive(ctx) == bench.protocol.answer(content)
        await _check_count(ctx, bench)

    simulate(bench.dut, host, cycles=3_000_000, **bench.benches())


async def _check_count(ctx: Any, bench: Bench) -> None:
    for register in Register:
        if register < Register.CYCLES:
            continue
        before = bench.counted(register)
        content = request(bench.protocol.expected, Opcode.READ, frames.read_arguments(register, 1))
        bench.protocol.answer(content)
        status, data = await bench.ask(ctx, content)
        assert status == Status.OK
        after = bench.counted(register)
        assert (int.from_bytes(data, "little") - before) % (1 << 32) <= after - before, register

"""The whole link half over a damaged wire: what is answered, what is counted, and that nothing ends its service."""

import random
import struct
from typing import Any

import pytest

from sterna.link.emulator import Emulator
from sterna.sim.checks.endpoint_bench import Core, endpoint, simulation
from sterna.sim.checks.testbench import source
from sterna.spec import frames
from sterna.spec.configuration import Configuration
from sterna.spec.frames import Opcode, Status, crc32c, decode_frame, encode_frame, request
from sterna.spec.image import Region
from sterna.spec.registers import Register

SMALL = Configuration(
    name="small", simd=4, pe=8, requantisers=2, weight_depth=64, mask_depth=32, activation_depth=256,
    parameter_depth=16, program_depth=32,
)  # fmt: skip


class Wire:
    """An endpoint with a core, and the host's bytes."""

    def __init__(self, seed: int, stall: float):
        self.rng = random.Random(seed)
        self.stall = stall
        self.dut = endpoint(SMALL)
        self.core = Core(self.dut, SMALL, self.rng, stall)
        self.contents: list[bytes] = []

    def run(self, *benches: Any) -> None:
        simulation(SMALL)(self.dut, *benches, cycles=1_000_000, **self.core.benches(), tx=self._receive)

    async def send(self, ctx: Any, data: bytes) -> None:
        await source(self.dut.rx, data, self.rng, self.stall)(ctx)

    async def _receive(self, ctx: Any) -> None:
        frame = bytearray()
        while True:
            ready = self.rng.random() >= self.stall
            ctx.set(self.dut.tx.ready, ready)
            _, _, valid, byte = await ctx.tick().sample(self.dut.tx.valid, self.dut.tx.payload)
            if valid and ready and byte:
                frame.append(byte)
            elif valid and ready:
                self.contents.append(decode_frame(bytes(frame)))
                frame.clear()

    async def answers(self, ctx: Any, count: int) -> list[bytes]:
        while len(self.contents) < count:
            await ctx.tick()
        taken, self.contents = self.contents, []
        return taken


def an_image(rng: random.Random) -> list[bytes]:
    """Requests 0…7: an image and one inference."""
    masks, program = rng.randbytes(64), rng.randbytes(40)
    return [
        request(0, Opcode.SYNC, frames.sync_arguments(77)),
        request(1, Opcode.BEGIN, SMALL.digest),
        request(2, Opcode.WRITE, frames.write_header(Region.MASKS, 3) + masks),
        request(3, Opcode.WRITE, frames.write_header(Region.PROGRAM, 0) + program),
        request(4, Opcode.COMMIT, frames.commit_arguments(crc32c(masks + program))),
        request(5, Opcode.INPUT, frames.input_header(0) + rng.randbytes(64)),
        request(6, Opcode.START, frames.start_arguments(0, 0, 0)),
        request(7, Opcode.RESULT, frames.result_arguments(0, 100, 50)),
    ]


@pytest.mark.parametrize("stall", [0.0, 0.3])
def test_a_session_passes_from_bytes_to_bytes(stall):
    wire = Wire(70, stall)
    contents = an_image(wire.rng)

    async def host(ctx):
        await wire.send(ctx, b"".join(map(encode_frame, contents)))
        answers = await wire.answers(ctx, len(contents))
        assert answers[0] == b"\0\0" + struct.pack("<I", 77)
        assert answers[1:7] == [bytes((k, Status.OK)) for k in range(1, 7)]
        values = [wire.core.activation(100 + k // SMALL.simd, k % SMALL.simd) for k in range(50)]
        assert answers[7] == b"\7\0" + struct.pack("50b", *values)
        assert len(wire.core.notes.starts) == 1
        await wire.send(ctx, encode_frame(request(8, Opcode.READ, frames.read_arguments(Register.GOOD_FRAMES, 2))))
        assert await wire.answers(ctx, 1) == [b"\x08\0" + struct.pack("<II", 9, 0)]

    wire.run(host)


@pytest.mark.parametrize("seed", range(4))
def test_after_any_bytes_a_sync_is_answered(seed):
    wire = Wire(80 + seed, seed % 2 * 0.2)
    rng = wire.rng
    garbage = b""
    for k in range(30):
        content = bytes((k, rng.choice([*Opcode, rng.getrandbits(8)]))) + rng.randbytes(rng.choice([0, 1, 4, 6, 8, 90]))
        frame = encode_frame(content)
        match rng.randrange(4):
            case 0:
                frame = frame[: rng.randrange(len(frame))] + rng.choice([b"", b"\0"])
            case 1:
                frame = rng.randbytes(rng.randint(0, 60))
            case 2 if seed % 3 == 0:
                frame = an_image(rng)[rng.randrange(8)]
                frame = encode_frame(bytes([k]) + frame[1:])
        garbage += frame

    async def host(ctx):
        await wire.send(ctx, garbage + b"\0" + encode_frame(request(200, Opcode.SYNC, b"here")))
        while b"\xc8\0here" not in wire.contents:
            await ctx.tick()

    wire.run(host)


@pytest.mark.parametrize("seed", range(2))
def test_a_host_that_goes_back_completes_its_session_over_a_lossy_wire_and_runs_once(seed):
    wire = Wire(90 + seed, 0.0)
    rng = wire.rng
    contents = an_image(rng)

    async def host(ctx):
        at = 0
        while at < len(contents):
            frame = bytearray(encode_frame(contents[at]))
            if rng.random() < 0.4:
                frame[rng.randrange(len(frame))] ^= rng.randint(1, 255)
            await wire.send(ctx, bytes(frame))
            for _ in range(3000):
                await ctx.tick()
                if wire.contents:
                    break
            answers, wire.contents = wire.contents, []
            for answer in answers:
                assert answer[1] in (Status.OK, Status.OUT_OF_ORDER)
                # The answer is lost now and then too.
                if answer[0] == at and answer[1] == Status.OK and rng.random() < 0.7:
                    at += 1
            await wire.send(ctx, b"\0")
        words = [(region, address) for region, address, _ in wire.core.notes.writes]
        assert set(words) == {(Region.MASKS, 3 + k) for k in range(64)} | {(Region.PROGRAM, k) for k in range(20)}
        assert len(wire.core.notes.starts) == 1

    wire.run(host)


def test_the_emulator_gives_the_same_answers():
    wire = Wire(99, 0.0)
    rng = wire.rng
    emulator = Emulator(SMALL)
    # No START: the emulated machine would run it.
    masks = rng.randbytes(30)
    weights = bytes(byte | (byte >> 1 & 0x55) for byte in rng.randbytes(20))
    contents = [
        *an_image(rng)[:6],
        request(4, Opcode.COMMIT, bytes(4)),
        request(3, Opcode.WRITE, frames.write_header(Region.PROGRAM, 0) + b"ab"),
        request(99, Opcode.WRITE, b""),
        request(6, Opcode.WRITE, frames.write_header(Region.MASKS, 0) + masks),
        request(7, Opcode.BEGIN, bytes(8)),
        request(8, Opcode.BEGIN, SMALL.digest),
        request(8, Opcode.BEGIN, SMALL.digest),
        request(9, Opcode.WRITE, frames.write_header(Region.WEIGHTS, 254) + weights),
        request(10, Opcode.WRITE, frames.write_header(Region.WEIGHTS, 246) + weights),
        request(11, Opcode.WRITE, frames.write_header(Region.WEIGHTS, 247) + weights[1:]),
        request(12, Opcode.WRITE, frames.write_header(Region.WEIGHTS, 0)),
        request(13, Opcode.WRITE, frames.write_header(Region.PARAMETERS, 31) + bytes(8)),
        request(14, Opcode.WRITE, frames.write_header(5, 0) + bytes(8)),
        request(15, Opcode.INPUT, frames.input_header(4) + b"x"),
        request(16, Opcode.INPUT, frames.input_header(248) + bytes(32)),
        request(17, Opcode.INPUT, frames.input_header(248) + bytes(33)),
        request(18, Opcode.INPUT, frames.input_header(248)),
        request(19, Opcode.RESULT, frames.result_arguments(0, 255, 4)),
        request(20, Opcode.START, frames.start_arguments(31, 0, 0)),
        request(21, Opcode.START, frames.start_arguments(32, 0, 0)),
        request(22, Opcode.RESULT, frames.result_arguments(0, 255, 5)),
        request(23, Opcode.RESULT, frames.result_arguments(0, 0, 639)),
        request(24, Opcode.COMMIT, frames.commit_arguments(crc32c(weights))),
        request(24, Opcode.COMMIT, frames.commit_arguments(crc32c(weights))),
        request(20, Opcode.START, frames.start_arguments(31, 0, 0)),
        request(25, Opcode.READ, frames.read_arguments(0, 4)),
        request(26, Opcode.READ, frames.read_arguments(Register.STATE, 1)),
        request(27, Opcode.READ, frames.read_arguments(Register.POSITIONS, 2)),
        request(28, Opcode.READ, frames.read_arguments(Register.CYCLES, 0)),
        request(29, Opcode.SYNC, b"short"),
        request(29 - 127, Opcode.SYNC, b"shor"),
        request(159, 0x77, b"?"),  # type: ignore[arg-type]
        request(160, Opcode.BEGIN, b"?"),
        request(161, Opcode.READ, b""),
        request(162 - 127, Opcode.READ, b"\0\0"),
        request(162 - 128, Opcode.READ, b"\0\0"),
        request(162, Opcode.COMMIT, frames.commit_arguments(1)),
    ]  # fmt: skip

    async def host(ctx):
        for content in contents:
            emulator.send(encode_frame(content))
            expected = [decode_frame(frame) for frame in emulator.receive(0).split(b"\0")[:-1]]
            await wire.send(ctx, encode_frame(content))
            found = await wire.answers(ctx, 1)
            assert found == expected, content[:12].hex(" ")

    wire.run(host)

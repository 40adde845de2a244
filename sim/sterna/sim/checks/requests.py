"""Random requests to the endpoint: its answers, and what reaches its cores, are those of the protocol."""

import random
import struct
from collections.abc import Mapping
from typing import Any

from sterna.sim.checks.endpoint_bench import Bench
from sterna.sim.checks.protocol import Answer, trit_bytes
from sterna.sim.checks.testbench import Simulate
from sterna.spec import frames
from sterna.spec.configuration import CHUNK, Configuration
from sterna.spec.frames import MAX_RESULT, Opcode, Status, crc32c, request
from sterna.spec.image import Region, region_words, word_bytes
from sterna.spec.registers import REGISTER_COUNT, Register, State


class Requests:
    """Random requests, mostly sensible, given what the protocol expects."""

    def __init__(self, bench: Bench, rng: random.Random):
        self.bench, self.c, self.rng = bench, bench.c, rng
        self._trits = trit_bytes(self.c.weight_code)

    def _near(self, limit: int) -> int:
        """Mostly a number below ``limit``; one around it, or anything."""
        match self.rng.randrange(8):
            case 0:
                return max(0, limit + self.rng.randint(-3, 2))
            case 1:
                return self.rng.getrandbits(24)
            case _:
                return self.rng.randrange(limit)

    def core(self) -> int:
        """Mostly one that is there, if there are several."""
        if self.c.cores == 1:
            return 0
        return self.rng.randrange(self.c.cores if self.rng.random() < 0.9 else CHUNK)

    def words(self, region: Region, count: int) -> bytes:
        data = self.rng.randbytes(count * word_bytes(region, self.c))
        if region == Region.WEIGHTS and self.rng.random() < 0.9:
            data = bytes(self._trits[byte % len(self._trits)] for byte in data)
        return data

    def write(self) -> bytes:
        number = self.rng.choice([*Region] * 4 + [4, 255])
        region = Region(number % 4)
        count = self.rng.choice([1, 2, 3, 5, 600 // word_bytes(region, self.c)])
        address = self._near(region_words(region, self.c))
        if self.rng.random() < 0.7:
            address = self.rng.randint(0, max(0, region_words(region, self.c) - count))
        data = self.words(region, count)
        if self.rng.random() < 0.1:
            data = data[: self.rng.randint(0, len(data))]
        return struct.pack("<B", number) + struct.pack("<I", address)[:3] + data

    def input(self) -> bytes:
        word = min(self._near(self.c.activation_depth), 0xFFFF)
        if self.rng.random() < 0.8:
            word += self.core() - word % CHUNK
        return frames.input_header(word) + self.rng.randbytes(
            self.rng.choice([1, 2, 3, self.c.simd, 30, min(636, self.c.simd * 100)])
        )

    def result(self) -> bytes:
        count = self.rng.choice(
            [0, 1, self.c.simd, 5, 9, 60, min(MAX_RESULT, self.c.simd * 50), MAX_RESULT + 1, 0xFFFF]
        )
        word = min(self._near(self.c.activation_depth), 0xFFFF)
        return frames.result_arguments(2 * self.core() + self.rng.randrange(2), word, count)

    def read(self) -> bytes:
        first = self.rng.choice([0, self.rng.randrange(32), 255])
        return frames.read_arguments(
            first, self.rng.choice([0, 1, 3, REGISTER_COUNT - min(first, REGISTER_COUNT), 255])
        )

    def start(self) -> bytes:
        entry = min(self._near(self.c.program_depth), 0xFFFF)
        flags = self.rng.getrandbits(3 if self.c.cores > 1 else 8)
        offset, ops = self.rng.getrandbits(16), self.rng.getrandbits(8)
        return frames.start_arguments(entry, offset, flags, ops, self.core())

    def begin(self) -> bytes:
        digest = self.c.digest
        at = self.rng.randrange(8)
        return digest[:at] + bytes([digest[at] ^ 1]) + digest[at + 1 :] if self.rng.random() < 0.2 else digest

    def commit(self) -> bytes:
        crc = self.bench.protocol.crc
        right = crc32c(b"") if crc is None else crc
        return frames.commit_arguments(right ^ (1 << self.rng.randrange(32) if self.rng.random() < 0.2 else 0))

    def sync(self) -> bytes:
        return self.rng.randbytes(4)

    def draw(self) -> bytes:
        """Content of the next request."""
        protocol = self.bench.protocol
        weights: Mapping[Opcode, float]
        if protocol.open:
            weights = dict.fromkeys(Opcode, 1) | {Opcode.BEGIN: 0.3, Opcode.WRITE: 12, Opcode.COMMIT: 4}
        elif protocol.loaded:
            weights = dict.fromkeys(Opcode, 4) | {Opcode.BEGIN: 1, Opcode.SYNC: 1, Opcode.COMMIT: 1}
        else:
            weights = dict.fromkeys(Opcode, 1) | {Opcode.BEGIN: 12}
        (opcode,) = self.rng.choices(list(weights), list(weights.values()))
        arguments = getattr(self, opcode.name.lower())()
        number: int = opcode
        match self.rng.randrange(30):
            case 0:
                arguments = arguments[: self.rng.randint(0, len(arguments))]
            case 1:
                arguments = (arguments + self.rng.randbytes(self.rng.randint(1, 9)))[:638]
            case 2:
                number = self.rng.getrandbits(8)
        distance = self.rng.choice([0] * 12 + [-1, -2, -127, -128, 1, 100, 127])
        return request((protocol.expected + distance) % 256, number, arguments)  # type: ignore[arg-type]


def same(content: bytes, found: Answer, expected: Answer) -> bool:
    """Equal, but for the RUNNING bit, which depends on the moment."""
    if content[1] == Opcode.READ and found[0] == expected[0] == Status.OK and len(content) == 4:
        at = 4 * (Register.STATE - content[2])
        mask = bytearray(b"\xff" * len(found[1]))
        if 0 <= at < len(mask):
            mask[at] ^= State.RUNNING
        found = found[0], bytes(a & b for a, b in zip(found[1], mask, strict=True))
    return found == expected


def check_requests(
    configuration: Configuration, seed: int, count: int, simulate: Simulate
) -> tuple[Bench, set[Status]]:
    """``count`` requests one by one; returns the bench they ran on, and the statuses that were answered."""
    bench = Bench(configuration, seed)
    requests = Requests(bench, random.Random(seed))
    seen = set()

    async def host(ctx: Any) -> None:
        for _ in range(count):
            content = requests.draw()
            if content[1] == Opcode.BEGIN:
                await bench.idle(ctx)
            expected = bench.protocol.answer(content)
            found = await bench.ask(ctx, content)
            assert same(content, found, expected), (content[:12].hex(" "), len(content), found, expected)
            seen.add(found[0])
        await ctx.tick().repeat(10)

    simulate(bench.dut, host, cycles=30_000 * count, **bench.benches())
    assert bench.notes == bench.protocol.notes
    return bench, seen


def check_registers(configuration: Configuration, seed: int, simulate: Simulate) -> None:
    """All registers at once, with counters that hold any number."""
    bench = Bench(configuration, seed)
    content = (
        request(0, Opcode.SYNC, frames.sync_arguments(1)),
        request(1, Opcode.READ, frames.read_arguments(0, REGISTER_COUNT)),
    )

    async def host(ctx: Any) -> None:
        for each in content:
            assert same(each, await bench.ask(ctx, each), bench.protocol.answer(each))

    simulate(bench.dut, host, cycles=20_000, **bench.benches())

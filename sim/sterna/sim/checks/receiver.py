"""The receiver against ``decode_frame``: good frames come out whole and in order, all others leave a count behind."""

import random
from typing import Any

from cobs import cobs

from sterna.gateware.link.receiver import RING_BYTES, FrameReceiver
from sterna.sim.checks.contents import edge_contents, random_content
from sterna.sim.checks.testbench import Simulate, sink, source
from sterna.spec.errors import EncodingError
from sterna.spec.frames import CRC_BYTES, MAX_CONTENT, WINDOW_BYTES, crc32c, decode_frame, encode_frame


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


def check_wire(wire: bytes, rng: random.Random, stalls: tuple[float, float], simulate: Simulate) -> None:
    """Any bytes; ``stalls`` of the sender and of the taker."""
    good, bad = reference(wire)
    dut = FrameReceiver()
    received: list[dict[str, int]] = []

    async def settle(ctx: Any) -> None:
        await sink(dut.o, received, sum(map(len, good)), rng, stalls[1])(ctx)
        ctx.set(dut.o.ready, 1)
        while ctx.get(dut.good_frames) + ctx.get(dut.bad_frames) < len(good) + bad:
            await ctx.tick()
        for _ in range(20):
            assert not ctx.get(dut.o.valid)
            await ctx.tick()
        assert ctx.get(dut.good_frames) == len(good)
        assert ctx.get(dut.bad_frames) == bad

    simulate(dut, source(dut.i, wire, rng, stalls[0]), settle)
    assert bytes(each["data"] for each in received) == b"".join(good)
    assert [each["left"] for each in received] == [left for content in good for left in range(len(content), 0, -1)]
    assert [each["last"] for each in received] == [each["left"] == 1 for each in received]


def check_edges(stalls: tuple[float, float], simulate: Simulate) -> None:
    """Contents at every edge of the stuffing."""
    rng = random.Random(10)
    contents = rng.sample(edge_contents(), 12)
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
    for _ in range(40):
        frame = encode_frame(random_content(rng, 100))
        wire += damaged(frame, rng) if rng.random() < 0.6 else frame
    check_wire(wire + b"\0", rng, (rng.choice([0, 0.2]), rng.choice([0, 0.2])), simulate)


def check_lengths(simulate: Simulate) -> None:
    """Contents inside and outside of the allowed lengths, all with the right CRC."""
    rng = random.Random(30)
    lengths = [0, 1, 2, MAX_CONTENT, MAX_CONTENT + 1, MAX_CONTENT + 4, 3 * RING_BYTES, 2]
    check_wire(b"".join(sealed(rng.randbytes(n)) for n in lengths), rng, (0, 0), simulate)


def check_endless_frame(simulate: Simulate) -> None:
    """A frame that does not end does not fill the ring."""
    rng = random.Random(31)
    noise = bytes(rng.randint(1, 255) for _ in range(5000))
    frame = encode_frame(rng.randbytes(MAX_CONTENT))
    check_wire(frame + noise + b"\0" + frame, rng, (0, 0.1), simulate)


def check_long_block(simulate: Simulate) -> None:
    """A block that is longer than its frame, by what follows."""
    frame = encode_frame(b"\x01\x02\x03")
    check_wire(frame[:-1] + b"\x05\x05\0" + frame, random.Random(32), (0, 0), simulate)


def check_window(count: int, simulate: Simulate) -> None:
    """A full window of ``count`` frames is taken in while its first request waits."""
    rng = random.Random(33)
    rest = WINDOW_BYTES - 8 - (count * CRC_BYTES)
    sizes = [8] + [min(MAX_CONTENT, rest // (count - 1))] * (count - 1)
    contents = [rng.randbytes(size) for size in sizes]
    wire = b"".join(map(encode_frame, contents))
    dut = FrameReceiver()
    received: list[dict[str, int]] = []

    async def bench(ctx: Any) -> None:
        await sink(dut.o, received, len(contents[0]), rng, 0)(ctx)

    async def feed(ctx: Any) -> None:
        await source(dut.i, wire, rng, 0)(ctx)
        await sink(dut.o, received, sum(sizes), rng, 0)(ctx)

    simulate(dut, bench, feed)
    assert bytes(each["data"] for each in received) == b"".join(contents)


def check_slow_taker(simulate: Simulate) -> None:
    """The ring stays full over the ends of many frames."""
    rng = random.Random(35)
    contents = [rng.randbytes(rng.randint(2, 150)) for _ in range(25)]
    check_wire(b"".join(map(encode_frame, contents)), rng, (0, 0.7), simulate)


def check_full_ring(simulate: Simulate) -> None:
    """A full ring stalls the host and loses nothing."""
    rng = random.Random(34)
    contents = [rng.randbytes(300) for _ in range(8)]
    wire = b"".join(map(encode_frame, contents))
    dut = FrameReceiver()
    received: list[dict[str, int]] = []
    sent = 0

    async def feed(ctx: Any) -> None:
        nonlocal sent
        for byte in wire:
            await source(dut.i, [byte], rng, 0)(ctx)
            sent += 1

    async def late(ctx: Any) -> None:
        await ctx.tick().repeat(2000)
        assert RING_BYTES - 300 < sent < RING_BYTES + 50
        await sink(dut.o, received, sum(map(len, contents)), rng, 0)(ctx)

    simulate(dut, feed, late)
    assert bytes(each["data"] for each in received) == b"".join(contents)

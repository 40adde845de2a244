"""The decoder against the ``cobs`` package, with stalls on both ends."""

import random

import pytest
from cobs import cobs

from sterna.gateware.link.cobs import CobsDecoder
from sterna.sim.checks.contents import edge_contents, random_content
from sterna.sim.checks.testbench import simulate, sink, source


def unstuffed(frame: bytes) -> tuple[bytes | None, bool]:
    """The frame's bytes, None if they are of no account, and whether it was cut short."""
    try:
        return cobs.decode(frame), False
    except cobs.DecodeError:
        return None, True


def decode(wire: bytes, rng: random.Random, stall: float) -> list[tuple[bytes, bool]]:
    """What the decoder makes of each frame on the wire: its bytes and ``error``."""
    dut = CobsDecoder()
    payloads: list[dict[str, int]] = []
    ends = sum(bool(frame) for frame in wire.split(b"\0")[:-1])

    frames, current = [], bytearray()

    async def collect(ctx):
        while len(frames) < ends:
            count = len(payloads) + 1
            await sink(dut.o, payloads, count, rng, stall)(ctx)
            if payloads[-1]["end"]:
                frames.append((bytes(current), bool(payloads[-1]["error"])))
                current.clear()
            else:
                current.append(payloads[-1]["data"])

    simulate(dut, source(dut.i, wire, rng, stall), collect)
    return frames


@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_stuffed_contents_come_back_whole(stall):
    rng = random.Random(2)
    contents = edge_contents()[:12] + [random_content(rng) for _ in range(6)]
    wire = b"".join(cobs.encode(content) + b"\0" for content in contents)
    assert decode(wire, rng, stall) == [(content, False) for content in contents]


def test_any_bytes_decode_as_the_reference_does_and_every_delimiter_starts_anew():
    rng = random.Random(3)
    wire = bytes(rng.choice([0, 0, 1, 2, 3, rng.randrange(256)]) for _ in range(3000)) + b"\0"
    found = decode(wire, rng, 0.2)
    expected = [unstuffed(frame) for frame in wire.split(b"\0")[:-1] if frame]
    assert len(found) == len(expected) > 300
    for (data, error), (whole, cut_short) in zip(found, expected, strict=True):
        assert error == cut_short
        if whole is not None:
            assert data == whole


def test_a_full_block_is_followed_by_no_zero():
    rng = random.Random(4)
    wire = b"\xff" + b"\x07" * 254 + b"\x02\x08\0"
    assert decode(wire, rng, 0.0) == [(b"\x07" * 254 + b"\x08", False)]

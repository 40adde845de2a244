"""The transmitter against ``encode_frame``, byte for byte."""

import random

import pytest

from sterna.gateware.link.transmitter import FrameTransmitter
from sterna.sim.checks.contents import edge_contents, random_content
from sterna.sim.checks.testbench import simulate, sink, source
from sterna.spec.frames import CRC_BYTES, crc32c, encode_frame


def bytes_of(content: bytes) -> list[dict[str, int]]:
    return [{"data": byte, "last": k == len(content) - 1} for k, byte in enumerate(content)]


def check(contents: list[bytes], rng: random.Random, stall_in: float, stall_out: float) -> None:
    wire = b"".join(map(encode_frame, contents))
    payloads = [payload for content in contents for payload in bytes_of(content)]
    dut = FrameTransmitter()
    sent: list[int] = []
    simulate(dut, source(dut.i, payloads, rng, stall_in), sink(dut.o, sent, len(wire), rng, stall_out))
    assert bytes(sent) == wire


@pytest.mark.parametrize(("stall_in", "stall_out"), [(0, 0), (0.5, 0), (0, 0.5), (0.3, 0.3)])
def test_contents_at_every_edge_of_the_stuffing_leave_as_the_reference_stuffs_them(stall_in, stall_out):
    rng = random.Random(40)
    check(rng.sample(edge_contents(), 12), rng, stall_in, stall_out)


@pytest.mark.parametrize("seed", range(3))
def test_random_contents_leave_as_the_reference_stuffs_them(seed):
    rng = random.Random(50 + seed)
    check([random_content(rng) for _ in range(15)], rng, rng.choice([0, 0.3]), rng.choice([0, 0.6]))


def test_crcs_that_hold_zeros_are_stuffed_too():
    contents = [bytes(divmod(n, 256)) for n in range(700)]
    chosen = [content for content in contents if b"\0" in crc32c(content).to_bytes(CRC_BYTES, "little")]
    assert len(chosen) > 5
    check(chosen, random.Random(60), 0, 0)


@pytest.mark.parametrize("waiting", range(254, 261))
def test_a_ring_that_fills_with_a_longest_block_loses_nothing(waiting):
    # Frames of `waiting` bytes wait, then comes a block of 255: the ring holds 512, and its output one byte more.
    contents = [b"\x01" * 100, b"\x01" * (waiting - 112), b"\x02" * 600]
    wire = b"".join(map(encode_frame, contents))
    assert len(b"".join(map(encode_frame, contents[:2]))) == waiting
    rng = random.Random(70)
    dut = FrameTransmitter()
    sent: list[int] = []

    async def late(ctx):
        await ctx.tick().repeat(800)
        await sink(dut.o, sent, len(wire), rng, 0)(ctx)

    simulate(dut, source(dut.i, [payload for content in contents for payload in bytes_of(content)], rng, 0), late)
    assert bytes(sent) == wire

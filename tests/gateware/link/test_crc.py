"""The CRC register against ``sterna.spec.frames.crc32c``."""

import random
import struct

from amaranth.sim import Simulator

from sterna.gateware.link.crc import BYTE_CYCLES, RESIDUE, Crc32c
from sterna.spec.frames import crc32c


async def give(ctx, dut, port, byte):
    """A byte at ``valid`` or ``exchange``, until another may come."""
    ctx.set(dut.data, byte)
    ctx.set(port, 1)
    await ctx.tick()
    ctx.set(port, 0)
    ctx.set(dut.data, ~byte & 0xFF)
    await ctx.tick().repeat(BYTE_CYCLES - 1)


async def exchanged(ctx, dut, data):
    """The bytes that leave the register as ``data`` comes in."""
    found = []
    for byte in data:
        found.append(ctx.get(dut.low))
        await give(ctx, dut, dut.exchange, byte)
    return bytes(found)


def test_register_holds_the_crc_of_all_bytes_since_start_and_changes_places_with_another():
    rng = random.Random(1)
    dut = Crc32c()

    async def bench(ctx):
        other = crc32c(b"")
        for _ in range(20):
            data = rng.randbytes(rng.randint(0, 40))
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            for end, byte in enumerate(data, 1):
                while rng.random() < 0.3:
                    await ctx.tick()
                await give(ctx, dut, dut.valid, byte)
                assert ctx.get(dut.low) == crc32c(data[:end]) & 0xFF
            assert await exchanged(ctx, dut, struct.pack("<I", other)) == struct.pack("<I", crc32c(data))
            other = crc32c(data, other)  # the one that came in goes on
            for byte in (*data, *struct.pack("<I", other)):
                await give(ctx, dut, dut.valid, byte)
            assert await exchanged(ctx, dut, bytes(4)) == struct.pack("<I", RESIDUE)
            other = rng.getrandbits(32)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()

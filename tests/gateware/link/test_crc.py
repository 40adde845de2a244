"""The CRC register against ``sterna.spec.frames.crc32c``."""

import random
import struct

from amaranth.sim import Simulator

from sterna.gateware.link.crc import Crc32c
from sterna.spec.frames import crc32c


def test_register_holds_the_crc_of_all_bytes_since_start_and_tells_a_matching_one():
    rng = random.Random(1)
    dut = Crc32c()

    async def bench(ctx):
        for _ in range(20):
            data = rng.randbytes(rng.randint(0, 40))
            codeword = data + struct.pack("<I", crc32c(data))
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            for end, byte in enumerate(codeword, 1):
                while rng.random() < 0.3:
                    await ctx.tick()
                ctx.set(dut.data, byte)
                ctx.set(dut.valid, 1)
                await ctx.tick()
                ctx.set(dut.valid, 0)
                assert ctx.get(dut.crc) == crc32c(codeword[:end])
                assert ctx.get(dut.matched) == (end == len(codeword))

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()

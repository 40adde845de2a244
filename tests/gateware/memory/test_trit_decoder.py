"""The decoders against the NumPy tables."""

import random

import numpy as np
import pytest
from amaranth.sim import Simulator

from sterna.gateware.memory.trit_decoder import BlockDecoder, Trit5Decoder
from sterna.spec.errors import IllegalTritError
from sterna.spec.trits import TRIT2, TRIT2_ILLEGAL, TritCode, unpack_trit5


def test_decoder_and_numpy_table_agree_on_every_byte():
    dut = Trit5Decoder()
    legal = []

    async def testbench(ctx):
        for byte in range(256):
            ctx.set(dut.i, byte)
            codes = [ctx.get(dut.o) >> 2 * k & 0b11 for k in range(5)]
            try:
                trits = unpack_trit5(np.array([byte], np.uint8), 5)
            except IllegalTritError:
                assert ctx.get(dut.illegal) == 1
                assert codes[2] == TRIT2_ILLEGAL
            else:
                legal.append(byte)
                assert ctx.get(dut.illegal) == 0
                assert codes == [TRIT2[trit] for trit in trits.tolist()]

    simulator = Simulator(dut)
    simulator.add_testbench(testbench)
    simulator.run()
    assert len(legal) == 3**5


@pytest.mark.parametrize("code", TritCode)
@pytest.mark.parametrize("size", [1, 3])
def test_a_block_is_decoded_byte_by_byte_and_illegal_if_one_of_them_is(code, size):
    count = size * code.trits_per_byte
    dut = BlockDecoder(code=code, count=count)
    rng = random.Random(size)
    legal = 0

    async def testbench(ctx):
        nonlocal legal
        for _ in range(500):
            # Mostly of a few bits: of bytes at random, hardly a block would be legal in trit2, or illegal in trit5.
            packed = bytes(rng.choice([rng.getrandbits(8), rng.getrandbits(8) & 0x55, 0xFD]) for _ in range(size))
            ctx.set(dut.i, int.from_bytes(packed, "little"))
            codes = [ctx.get(dut.o[k]) for k in range(count)]
            try:
                trits = code.unpack(np.frombuffer(packed, np.uint8), count)
            except IllegalTritError:
                assert ctx.get(dut.illegal) == 1
                assert TRIT2_ILLEGAL in codes
            else:
                legal += 1
                assert ctx.get(dut.illegal) == 0
                assert codes == [TRIT2[trit] for trit in trits.tolist()]

    simulator = Simulator(dut)
    simulator.add_testbench(testbench)
    simulator.run()
    assert 100 < legal < 400

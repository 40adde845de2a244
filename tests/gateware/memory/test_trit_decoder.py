"""The decoder against the NumPy table, over all bytes."""

import numpy as np
from amaranth.sim import Simulator

from sterna.gateware.memory.trit_decoder import Trit5Decoder
from sterna.spec.errors import IllegalTritError
from sterna.spec.trits import TRIT2, TRIT2_ILLEGAL, unpack_trit5


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

"""CRC-32C: two bits a cycle against a bit at a time."""

from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value

from sterna.gateware.link.crc import BYTE_CYCLES, Crc32c
from sterna.sim.formal.opened import Opened
from sterna.sim.formal.property import Property, always, free, given, implies

POLYNOMIAL = 0x82F63B78
"""Bits reversed: the lowest leaves first."""
ALL_ONES = 0xFFFF_FFFF


def _moved(register: Value, byte: Value, enters: Value, bits: int) -> Value:
    """A register after some bits of a byte: its own sum with them comes back, or they enter at the top."""
    for k in range(bits):
        back = (register[0] ^ byte[k]) & ~enters
        register = Cat(register[1:], byte[k] & enters) ^ Mux(back, C(POLYNOMIAL, 32), C(0, 32))
    return register


class CrcBits(Property):
    """After any bytes, none sooner than ``BYTE_CYCLES`` behind another, the register is that of the definition, eight
    shifts a byte; an exchange moves it down by one byte, which goes out, and takes another in, both inverted as a CRC's
    are. Until then it is as far as whole pairs of bits take it."""

    depth = 1

    def __init__(self, crc: Any = Crc32c) -> None:
        super().__init__()
        self.crc = crc()

    def build(self, m: Module) -> None:
        crc = self.crc
        m.submodules.crc = opened = Opened(crc)
        free(m, crc.start, crc.valid, crc.data, crc.exchange)
        taken = crc.valid | crc.exchange
        waits = Signal(range(BYTE_CYCLES))  # until the next may come
        given(m, implies(waits != 0, ~taken & ~crc.start), ~(taken & crc.start))
        before, byte, enters = Signal(32, init=ALL_ONES), Signal(8), Signal()  # what it was, and what goes into it
        whole = Signal(32)
        m.d.comb += whole.eq(_moved(before, byte, enters, 8))
        with m.If(taken):
            m.d.sync += [
                waits.eq(BYTE_CYCLES - 1), byte.eq(crc.data ^ crc.exchange.replicate(8)), enters.eq(crc.exchange),
            ]  # fmt: skip
        with m.Elif(waits != 0):
            m.d.sync += waits.eq(waits - 1)
            with m.If(waits == 1):
                m.d.sync += before.eq(whole)
        with m.If(crc.start):
            m.d.sync += before.eq(ALL_ONES)
        register, pairs = opened["register"], opened["left"]
        always(
            m,
            waits < BYTE_CYCLES,
            pairs == waits,
            implies(waits == 0, (register == before) & (crc.low == ~register[:8])),
        )
        for k in range(1, BYTE_CYCLES):
            at = _moved(before, byte, enters, 2 * (BYTE_CYCLES - 1 - k))
            always(m, implies(waits == k, (register == at) & (opened["enters"] == enters)))
            always(m, implies(waits == k, opened["byte"][: 2 * k] == byte[8 - 2 * k :]))

"""CRC-32C: a byte at a time against a bit at a time."""

from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value

from sterna.gateware.link.crc import Crc32c
from sterna.sim.formal.opened import Opened
from sterna.sim.formal.property import Property, always, free

POLYNOMIAL = 0x82F63B78
"""Bits reversed: the lowest leaves first."""
ALL_ONES = 0xFFFF_FFFF


class CrcBits(Property):
    """After any bytes the register is that of the definition, eight shifts a byte; an exchange moves it down by one
    byte, which goes out, and takes another in, both inverted as a CRC's are."""

    depth = 1

    def __init__(self, crc: Any = Crc32c) -> None:
        super().__init__()
        self.crc = crc()

    def build(self, m: Module) -> None:
        crc = self.crc
        m.submodules.crc = opened = Opened(crc)
        free(m, crc.start, crc.valid, crc.data, crc.exchange)
        register: Any = Signal(32, init=ALL_ONES)
        shifted: Value = Cat(register[:8] ^ crc.data, C(0, 24))  # linear: the other bytes only move down
        for _ in range(8):
            shifted = Cat(shifted[1:], C(0, 1)) ^ Mux(shifted[0], POLYNOMIAL, 0)
        with m.If(crc.start):
            m.d.sync += register.eq(ALL_ONES)
        with m.Elif(crc.exchange):
            m.d.sync += register.eq(Cat(register[8:], ~crc.data))
        with m.Elif(crc.valid):
            m.d.sync += register.eq(shifted ^ register[8:])
        always(m, opened["register"] == register, crc.low == ~register[:8])

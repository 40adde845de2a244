"""CRC-32C (Castagnoli 1993), two bits a cycle."""

import struct

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.crc import catalog
from amaranth.lib.wiring import In, Out

from sterna.gateware.kept import KEPT
from sterna.spec.frames import crc32c

ALL_ONES = 0xFFFF_FFFF
RESIDUE = crc32c(struct.pack("<I", crc32c(b"")))
"""CRC of anything followed by its own CRC."""
_REVERSED = int(f"{catalog.CRC32_ISCSI.polynomial:032b}"[::-1], 2)
BYTE_CYCLES = 5
"""From a byte to the next, at least."""


class Crc32c(wiring.Component):
    """CRC-32C of a run of bytes: ``crc32c`` of ``sterna.spec.frames``.

    The register moves down by two bits a cycle; those that leave it, with two of the byte, come back through the
    polynomial. Latency: five cycles from byte to CRC. Throughput: a byte in ``BYTE_CYCLES``, which whoever gives them
    keeps to. Flow control: none. Cost: 48 cells of iCE40; a byte at a time took 72.

    Members
    -------
    start : ``In(1)``
        Forgets all bytes; comes with none under way.
    valid, data : ``In(1)``, ``In(8)``
        A byte, and whether there is one.
    exchange : ``In(1)``
        The CRC moves down a byte, and ``data`` enters at its top.
    low : ``Out(8)``
        The CRC's low byte: four of them are the CRC of the bytes since ``start``, little-endian.
    """

    start: In(1)
    valid: In(1)
    data: In(8)
    exchange: In(1)
    low: Out(8)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        register = Signal(32, init=ALL_ONES)
        byte = Signal(8, reset_less=True)
        left = Signal(range(BYTE_CYCLES))  # pairs of its bits
        enters = Signal(reset_less=True)  # it does so at the top, and nothing comes back
        taken = self.valid | self.exchange
        m.d.comb += self.low.eq(~register)
        with m.If(taken | (left != 0)):
            m.d.sync += left.eq(Mux(taken, BYTE_CYCLES - 1, left - 1))
        m.d.sync += byte.eq(Mux(taken, self.data ^ self.exchange.replicate(8), byte[2:]))
        with m.If(taken):
            m.d.sync += enters.eq(self.exchange)

        following = [*register]
        for k in range(2):
            back = Signal(name=f"back_{k}", attrs=KEPT)
            m.d.comb += back.eq((register[k] ^ byte[k]) & ~enters)
            following = [*following[1:], byte[k] & enters]
            following = [bit ^ back if _REVERSED >> place & 1 else bit for place, bit in enumerate(following)]
        with m.If(self.start):
            m.d.sync += register.eq(ALL_ONES)
        with m.Elif(left != 0):
            m.d.sync += register.eq(Cat(*following))
        return m


assert not _REVERSED & 1, "what comes back first would change what leaves second"

"""iCE40's block RAM where single bits of a word are written: the primitive, and its model."""

from typing import Any

from amaranth.hdl import C, ClockSignal, Instance, Module, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In

from sterna.gateware.memory.ram import ReadPort
from sterna.gateware.part import is_ice40
from sterna.spec.errors import ConfigurationError

DEPTH = 256
WIDTH = 16


class BitRam(wiring.Component):
    """Up to 256 words of ``width`` bits in SB_RAM40_4K side by side; ``bits`` of a word take ``data``.

    Latency, and what is not defined: as :class:`~sterna.gateware.memory.ram.Ram`. Stated as the primitive because
    synthesis would work out a word's enable from those of its bits. Without a part to build for it is a model of the
    same. Raises :class:`ConfigurationError` on parts that have none.
    """

    def __init__(self, *, width: int, depth: int):
        if depth > DEPTH:
            raise ConfigurationError(f"memory that writes single bits is {depth} words deep; allowed: at most {DEPTH}")
        self.width = width
        self.depth = depth
        super().__init__({
            "read": In(ReadPort(depth, width)),
            "address": In((depth - 1).bit_length()),
            "bits": In(width),
            "data": In(width),
        })  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        if platform is not None and not is_ice40(platform):
            raise ConfigurationError(f"{platform.device} writes no single bits; mend: hold the masks in block RAM")
        m = Module()
        if platform is None:
            m.submodules.words = words = memory.Memory(shape=self.width, depth=self.depth, init=[])
            write, read = words.write_port(granularity=1), words.read_port()
            m.d.comb += [
                write.en.eq(self.bits),
                write.addr.eq(self.address),
                write.data.eq(self.data),
                read.en.eq(self.read.enable),
                read.addr.eq(self.read.address),
                self.read.data.eq(read.data),
            ]
            return m
        count = -(-self.width // WIDTH)
        layout = data.ArrayLayout(WIDTH, count)
        bits, written, read = Signal(layout), Signal(layout), Signal(layout)
        write_address, read_address = Signal(11), Signal(11)
        m.d.comb += [
            bits.as_value().eq(self.bits),
            written.as_value().eq(self.data),
            write_address.eq(self.address),
            read_address.eq(self.read.address),
            self.read.data.eq(read.as_value()),
        ]
        for k in range(count):
            m.submodules[f"words_{k}"] = Instance(
                "SB_RAM40_4K",
                p_READ_MODE=C(0, 32),  # 256 × 16
                p_WRITE_MODE=C(0, 32),
                # As synthesis writes them; a netlist is simulated with noise in place of all zeros.
                **{f"p_INIT_{row:X}": C(0, 256) for row in range(16)},
                i_WCLK=ClockSignal(),
                i_WCLKE=C(1, 1),
                i_WE=C(1, 1),
                i_WADDR=write_address,
                i_MASK=~bits[k],  # of what is not written
                i_WDATA=written[k],
                i_RCLK=ClockSignal(),
                i_RCLKE=self.read.enable,
                i_RE=C(1, 1),
                i_RADDR=read_address,
                o_RDATA=read[k],
            )
        return m

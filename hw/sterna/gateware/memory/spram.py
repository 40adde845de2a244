"""UP5K's single-port memories, 16384×16 each: the primitive, its model, and arrays of them."""

from typing import Any

from amaranth.hdl import C, Cat, ClockSignal, Instance, Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from sterna.gateware.part import is_ultraplus
from sterna.spec.errors import ConfigurationError

SPRAM_DEPTH = 16384
SPRAM_WIDTH = 16


class Spram(wiring.Component):
    """One SB_SPRAM256KA. Data one cycle after ``select`` without ``write``; held while ``select`` is low.

    A cycle that writes leaves nothing defined at ``read_data`` until the next read. Contents at power-up are random.

    Without a part to build for it is a model of the same: after a write ``read_data`` is the complement of what was
    there, so that whoever depends on it is found out. Raises :class:`ConfigurationError` on parts that have none.
    ``depth``: words of the model, as many as are used.
    """

    address: In((SPRAM_DEPTH - 1).bit_length())
    select: In(1)
    write: In(1)
    write_data: In(SPRAM_WIDTH)
    read_data: Out(SPRAM_WIDTH)

    def __init__(self, *, depth: int = SPRAM_DEPTH):
        self.depth = depth
        super().__init__()

    def elaborate(self, platform: Any) -> Module:
        if platform is not None and not is_ultraplus(platform):
            raise ConfigurationError(f"{platform.device} has no SPRAM; mend: hold weights and activations in block RAM")
        m = Module()
        if platform is not None:
            m.submodules.spram = Instance(
                "SB_SPRAM256KA",
                i_CLOCK=ClockSignal(),
                i_CHIPSELECT=self.select,
                i_WREN=self.write,
                i_MASKWREN=C(0b1111, 4),
                i_ADDRESS=self.address,
                i_DATAIN=self.write_data,
                o_DATAOUT=self.read_data,
                i_STANDBY=C(0, 1),
                i_SLEEP=C(0, 1),
                i_POWEROFF=C(1, 1),  # active low
            )
            return m
        m.submodules.words = words = memory.Memory(shape=SPRAM_WIDTH, depth=self.depth, init=[])
        write, read = words.write_port(), words.read_port()
        spoilt = Signal()
        with m.If(self.select):
            m.d.sync += spoilt.eq(self.write)
        m.d.comb += [
            write.en.eq(self.select & self.write),
            write.addr.eq(self.address),
            write.data.eq(self.write_data),
            read.en.eq(self.select & ~self.write),
            read.addr.eq(self.address),
            self.read_data.eq(read.data ^ spoilt.replicate(SPRAM_WIDTH)),
        ]
        return m


class SpramArray(wiring.Component):
    """``depth`` words of ``width`` bits in as many :class:`Spram` as they take, side by side and one after the other.

    When ``read`` and ``write`` are both high, only the write happens.
    """

    def __init__(self, *, width: int, depth: int):
        self.width = width
        self.depth = depth
        self.columns = -(-width // SPRAM_WIDTH)
        self.rows = -(-depth // SPRAM_DEPTH)
        address = (depth - 1).bit_length()
        super().__init__({
            "read": In(1),
            "read_address": In(address),
            "read_data": Out(width),
            "write": In(1),
            "write_address": In(address),
            "write_data": In(width),
        })  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        low_bits = (SPRAM_DEPTH - 1).bit_length()
        address = Mux(self.write, self.write_address, self.read_address)
        row = Signal(range(max(2, self.rows)))  # of the words that were read last
        with m.If(self.read & ~self.write):
            m.d.sync += row.eq(address[low_bits:])
        with m.Switch(row):
            for r in range(self.rows):
                words = []
                for column in range(self.columns):
                    m.submodules[f"spram_{r}_{column}"] = spram = Spram(depth=min(self.depth, SPRAM_DEPTH))
                    m.d.comb += [
                        spram.address.eq(address),
                        spram.select.eq((self.read | self.write) & (address[low_bits:] == r)),
                        spram.write.eq(self.write),
                        spram.write_data.eq(self.write_data[SPRAM_WIDTH * column :]),
                    ]
                    words.append(spram.read_data)
                with m.Case(r):
                    m.d.comb += self.read_data.eq(Cat(*words))
        return m

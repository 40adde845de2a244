"""Memories of every primitive against a dictionary, and what the single-port ones do not promise."""

import random
from types import SimpleNamespace
from typing import Any

import pytest
from amaranth.back import rtlil

from sterna.gateware.memory.ram import Ram
from sterna.gateware.memory.spram import Spram
from sterna.sim.checks.testbench import simulate
from sterna.spec.configuration import Primitive
from sterna.spec.errors import ConfigurationError


@pytest.mark.parametrize(
    ("primitive", "width", "depth"),
    [(Primitive.BLOCK, 12, 64), (Primitive.SPRAM, 16, 16384), (Primitive.SPRAM, 20, 64), (Primitive.SPRAM, 8, 32768)],
)
def test_a_word_read_is_the_word_written_and_stays_until_the_next_read_or_write(
    primitive: Primitive, width: int, depth: int
) -> None:
    rng = random.Random(f"{primitive} {width} {depth}")
    dut = Ram(shape=width, depth=depth, primitive=primitive)
    places = [rng.randrange(depth) for _ in range(12)] + [0, depth - 1]

    async def drive(ctx: Any) -> None:
        written: dict[int, int] = {}
        expected: int | None = None
        for _ in range(600):
            write, read = rng.random() < 0.4, rng.random() < 0.5
            written_at, read_at, word = rng.choice(places), rng.choice(places), rng.getrandbits(width)
            if primitive is Primitive.SPRAM:
                read = read and not write
            elif written_at == read_at:
                write = False
            ctx.set(dut.write.enable, write)
            ctx.set(dut.write.address, written_at)
            ctx.set(dut.write.data, word)
            ctx.set(dut.read.enable, read)
            ctx.set(dut.read.address, read_at)
            if expected is not None:
                assert ctx.get(dut.read.data) == expected
            if read:
                expected = written.get(read_at)
            elif write and primitive is Primitive.SPRAM:
                expected = None
            if write:
                written[written_at] = word
            await ctx.tick()

    simulate(dut, drive)


def test_the_model_of_a_single_port_memory_loses_what_was_read_when_it_writes() -> None:
    dut = Spram()

    async def drive(ctx: Any) -> None:
        ctx.set(dut.select, 1)
        ctx.set(dut.write, 1)
        ctx.set(dut.write_data, 0x1234)
        await ctx.tick()
        ctx.set(dut.write, 0)
        await ctx.tick()
        assert ctx.get(dut.read_data) == 0x1234
        ctx.set(dut.select, 0)
        ctx.set(dut.write, 1)  # not selected: nothing is written, what was read stays
        ctx.set(dut.write_data, 0xFFFF)
        await ctx.tick()
        assert ctx.get(dut.read_data) == 0x1234
        ctx.set(dut.select, 1)
        ctx.set(dut.address, 1)
        await ctx.tick()
        assert ctx.get(dut.read_data) == 0x1234 ^ 0xFFFF
        ctx.set(dut.write, 0)
        ctx.set(dut.address, 0)
        await ctx.tick()
        assert ctx.get(dut.read_data) == 0x1234

    simulate(dut, drive)


def test_an_ultraplus_part_gets_the_primitive_and_others_refuse() -> None:
    array = Ram(shape=33, depth=32768, primitive=Primitive.SPRAM)
    text = rtlil.convert(array, platform=SimpleNamespace(device="iCE40UP5K"), name="top")
    assert text.count("cell \\SB_SPRAM256KA") == 6
    with pytest.raises(
        ConfigurationError, match=r"^LFE5U-25F has no SPRAM; mend: hold weights and activations in block RAM$"
    ):
        rtlil.convert(Spram(), platform=SimpleNamespace(device="LFE5U-25F"), name="top")

# amaranth: UnusedElaboratable=no
"""The masks' store against its definition, whatever holds them."""

import dataclasses
import random
from types import SimpleNamespace
from typing import Any

import pytest
from amaranth.back import rtlil

from sterna.gateware.memory.bit_ram import BitRam
from sterna.gateware.memory.mask_store import WRITERS, MaskStore
from sterna.sim.checks.testbench import simulate
from sterna.spec.configuration import CHUNK, Configuration, Primitive
from sterna.spec.errors import ConfigurationError

C = Configuration(
    name="t", simd=4, pe=8, weight_depth=16, mask_depth=16, activation_depth=64, parameter_depth=16,
)  # fmt: skip


@pytest.mark.parametrize("primitive", [Primitive.BLOCK, Primitive.BITS])
@pytest.mark.parametrize("seed", range(3))
def test_two_writers_set_masks_chunk_by_chunk_and_reads_find_them(primitive: Primitive, seed: int) -> None:
    rng = random.Random(seed)
    dut = MaskStore(configuration=dataclasses.replace(C, activation_masks_in=primitive))
    chunks = C.activation_depth // CHUNK
    masks = [[0] * C.simd for _ in range(chunks)]
    at: list[int | None] = [None] * WRITERS  # chunk that each writes
    read: list[tuple[list[int], list[int]]] = []

    async def work(ctx: Any) -> None:
        for chunk in range(chunks):  # nothing is defined at first
            ctx.set(dut.write, {"word": CHUNK * chunk, "changes": 1, "nonzero": 0, "fresh": 1, "writer": 0})
            await ctx.tick()
        for _ in range(500):
            writer = rng.randrange(WRITERS)
            fresh = at[writer] is None or rng.random() < 0.1
            if fresh:
                at[writer] = rng.choice([k for k in range(chunks) if k not in at])
            chunk, position = at[writer], rng.randrange(CHUNK)
            banks, nonzero = rng.randrange(1 << C.simd), rng.randrange(1 << C.simd)
            assert chunk is not None
            if fresh and banks & nonzero:
                position = 0
            if not fresh and rng.random() < 0.3:  # nothing to write, wherever
                banks, chunk = 0, rng.randrange(chunks)
            for j in range(C.simd):
                masks[chunk][j] = (0 if fresh else masks[chunk][j]) | ((banks & nonzero) >> j & 1) << position
            word = CHUNK * chunk + position
            write = {
                "word": word, "changes": banks != 0, "nonzero": banks & nonzero, "fresh": fresh, "writer": writer,
            }  # fmt: skip
            ctx.set(dut.write, write)
            reading = rng.choice([k for k in range(chunks) if k != chunk])
            ctx.set(dut.read.enable, 1)
            ctx.set(dut.read.address, reading)
            expected = list(masks[reading])
            await ctx.tick()
            read.append(([*ctx.get(dut.read.data)], expected))

    simulate(dut, work)
    assert len(read) == 500
    assert all(found == expected for found, expected in read)


def test_an_ice40_gets_the_primitive_and_others_and_deeper_memories_are_refused() -> None:
    ice40, ecp5 = (SimpleNamespace(device=device) for device in ("iCE40HX8K", "LFE5U-25F"))
    text = rtlil.convert(BitRam(width=33, depth=16), platform=ice40, name="top")
    assert text.count("cell \\SB_RAM40_4K") == 3
    with pytest.raises(
        ConfigurationError, match=r"^LFE5U-25F writes no single bits; mend: hold the masks in block RAM$"
    ):
        rtlil.convert(BitRam(width=8, depth=16), platform=ecp5, name="top")
    with pytest.raises(
        ConfigurationError, match=r"^memory that writes single bits is 512 words deep; allowed: at most 256$"
    ):
        BitRam(width=8, depth=512)

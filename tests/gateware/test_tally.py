"""Counters: what they add up to, and what holds them on which part."""

import random
from types import SimpleNamespace
from typing import Any

from amaranth.back import rtlil

from sterna.gateware.tally import TALLY_BITS, TallyPair
from sterna.sim.checks.testbench import simulate


def test_both_counters_grow_by_what_they_are_told_each_while_enabled_and_wrap_round() -> None:
    dut, rng = TallyPair(), random.Random(0)
    totals = [0, 0]
    shown: list[list[int]] = [[0, 0], [0, 0]]

    async def drive(ctx: Any) -> None:
        for _ in range(400):
            enable, rises = rng.getrandbits(2), [rng.choice([0, 1, rng.getrandbits(TALLY_BITS)]) for _ in totals]
            ctx.set(dut.enable, enable)
            ctx.set(dut.rises, rises)
            for k, rise in enumerate(rises):
                totals[k] = (totals[k] + rise * (enable >> k & 1)) % (1 << TALLY_BITS)
            shown.append(list(totals))
            await ctx.tick()
            assert [ctx.get(count) for count in dut.counts] == shown[-2]

    simulate(dut, drive)


def test_an_ultraplus_part_counts_in_a_dsp_block_and_others_in_logic() -> None:
    for device, blocks in (("iCE40UP5K", 1), ("iCE40HX8K", 0), ("LFE5U-25F", 0)):
        text = rtlil.convert(TallyPair(), platform=SimpleNamespace(device=device), name="top")
        assert text.count("cell \\SB_MAC16") == blocks

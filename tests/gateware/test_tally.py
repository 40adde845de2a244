"""Counters: what they add up to, and what holds them on which part."""

import random
from types import SimpleNamespace
from typing import Any

import pytest
from amaranth.back import rtlil

from sterna.gateware.tally import NARROW_BITS, WIDE_BITS, TallyPair, WideTally, most_per_cycle, tally_bits
from sterna.sim.checks.testbench import Simulate, simulate
from sterna.sim.model import compiled, simulator
from sterna.sim.pins import vendor_cells
from sterna.spec.configuration import STANDARD
from sterna.spec.registers import Register

ULTRAPLUS = SimpleNamespace(device="iCE40UP5K")
RISES = [0, 1, (1 << NARROW_BITS) - 1]


def on(platform: Any, make: type) -> Simulate:
    """In logic by Amaranth's simulator, on a part's primitives by the vendor's models."""
    if platform is None:
        return simulate
    model = compiled(make(), name="tally", platform=platform, library=vendor_cells("ice40"))
    return simulator(model)


@pytest.mark.parametrize("platform", [None, ULTRAPLUS], ids=["logic", "block"])
def test_both_counters_grow_by_what_they_are_told_each_while_enabled_and_wrap_round(platform: Any) -> None:
    dut, rng = TallyPair(), random.Random(0)
    totals = [0, 0]
    shown: list[list[int]] = [[0, 0], [0, 0]]

    async def drive(ctx: Any) -> None:
        for _ in range(400):
            enable, rises = rng.getrandbits(2), [rng.choice([*RISES, rng.getrandbits(NARROW_BITS)]) for _ in totals]
            ctx.set(dut.enable, enable)
            ctx.set(dut.rises, rises)
            for k, rise in enumerate(rises):
                totals[k] = (totals[k] + rise * (enable >> k & 1)) % (1 << NARROW_BITS)
            shown.append(list(totals))
            await ctx.tick()
            counts = ctx.get(dut.counts)
            assert [counts[k] for k in range(2)] == shown[-2]

    on(platform, TallyPair)(dut, drive)


@pytest.mark.parametrize("platform", [None, ULTRAPLUS], ids=["logic", "block"])
def test_a_wide_counter_carries_into_its_upper_half_and_wraps_round(platform: Any) -> None:
    dut, rng = WideTally(), random.Random(1)
    total, wraps = 0, 0
    shown = [0, 0]

    async def drive(ctx: Any) -> None:
        nonlocal total, wraps
        for _ in range(1500):
            enable, rise = rng.getrandbits(1), rng.choice([*RISES, rng.getrandbits(NARROW_BITS)])
            ctx.set(dut.enable, enable)
            ctx.set(dut.rise, rise)
            total += rise * enable
            shown.append(total % (1 << WIDE_BITS))
            await ctx.tick()
            assert ctx.get(dut.count) == shown[-2]
        wraps = total >> WIDE_BITS

    on(platform, WideTally)(dut, drive)
    assert wraps >= 1


def test_an_ultraplus_part_counts_in_a_dsp_block_and_others_in_logic() -> None:
    for device, blocks in (("iCE40UP5K", 1), ("iCE40HX8K", 0), ("LFE5U-25F", 0)):
        for make in (TallyPair, WideTally):
            text = rtlil.convert(make(), platform=SimpleNamespace(device=device), name="top")
            assert text.count("cell \\SB_MAC16") == blocks


def test_no_counter_comes_round_before_the_link_looks_at_it_again() -> None:
    for configuration in STANDARD.values():
        for register in Register:
            if register >= Register.CYCLES:
                bits = tally_bits(register, configuration)
                assert bits in (NARROW_BITS, WIDE_BITS)
                assert most_per_cycle(register, configuration) << 16 <= 1 << bits

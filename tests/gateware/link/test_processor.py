# amaranth: UnusedElaboratable=no
"""The link's processor: its program begins anew with a reset, wherever it is."""

from typing import Any

import pytest
from amaranth.hdl import ResetInserter, Signal

from sterna.gateware.link.instructions import Action, Assembler, Condition
from sterna.gateware.link.processor import LinkProcessor
from sterna.sim.checks.testbench import simulate
from sterna.spec.configuration import Configuration

C = Configuration(name="t", simd=1, pe=4, weight_depth=16, mask_depth=16, activation_depth=16, parameter_depth=16)
BYTE = 7


@pytest.mark.parametrize("condition", [Condition.ALWAYS, Condition.CALL, Condition.VALUE])
@pytest.mark.parametrize("cycles", range(1, 14))
def test_a_reset_of_one_cycle_begins_the_program_anew_at_any_instruction(condition: Condition, cycles: int) -> None:
    a = Assembler(table=0)
    a.load(BYTE)
    a.act(Action.SEND)
    a.label("here")
    a.branch(condition, "here", unless=condition is Condition.VALUE)
    a.load(0)
    processor, reset = LinkProcessor(configuration=C, program=a.assembled(), work=[0]), Signal()
    sent: list[int] = []

    async def drive(ctx: Any) -> None:
        await ctx.tick().repeat(cycles)
        ctx.set(reset, 1)
        await ctx.tick()
        ctx.set(reset, 0)
        await ctx.tick()
        sent.clear()
        await ctx.tick().repeat(20)

    async def take(ctx: Any) -> None:
        ctx.set(processor.tx.ready, 1)
        async for _, _, valid, byte in ctx.tick().sample(processor.tx.valid, processor.tx.payload):
            if valid:
                sent.append(byte)

    simulate(ResetInserter(reset)(processor), drive, take=take)
    assert sent == [BYTE]

# amaranth: UnusedElaboratable=no
"""The link's processor: its program begins anew with a reset, wherever it is, and gives the CRC the time it takes."""

from dataclasses import replace
from typing import Any

import pytest
from amaranth.hdl import ResetInserter, Signal

from sterna.gateware.link.crc import BYTE_CYCLES
from sterna.gateware.link.firmware import program
from sterna.gateware.link.instructions import Action, Assembler, Condition
from sterna.gateware.link.processor import LinkProcessor
from sterna.sim.checks.testbench import simulate
from sterna.sim.configurations import VERIFIED, simulated
from sterna.spec.configuration import STANDARD, Configuration

C = Configuration(name="t", simd=1, pe=4, weight_depth=16, mask_depth=16, activation_depth=16, parameter_depth=16)
BYTE = 7
CYCLES = 2
"""Of an instruction."""


@pytest.mark.parametrize("condition", [Condition.ALWAYS, Condition.CALL, Condition.VALUE])
@pytest.mark.parametrize("latency", [1, 2])
@pytest.mark.parametrize("cycles", range(1, 14))
def test_a_reset_of_one_cycle_begins_the_program_anew_at_any_instruction(
    condition: Condition, latency: int, cycles: int
) -> None:
    a = Assembler(table=0)
    a.load(BYTE)
    a.act(Action.SEND)
    a.label("here")
    a.branch(condition, "here", unless=condition is Condition.VALUE)
    a.load(0)
    configuration = replace(C, read_latency=latency)
    processor, reset = LinkProcessor(configuration=configuration, program=a.assembled(), work=[0]), Signal()
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


def successors(words: list[int], at: int) -> list[int]:
    """Where the program may go on behind an instruction: a return, behind every call."""
    word = words[at]
    if word >> 15:
        always = Condition(word >> 10 & 15) in (Condition.ALWAYS, Condition.CALL) and not word >> 14 & 1
        return [word & 0x3FF] if always else [word & 0x3FF, at + 1]
    if acts(word, Action.RETURN):
        calls = [k for k, each in enumerate(words) if each >> 15 and Condition(each >> 10 & 15) == Condition.CALL]
        return [k + 1 for k in calls]
    return [at + 1]


def acts(word: int, *actions: Action) -> bool:
    return word >> 14 == 1 and any(word >> 11 & 7 == action >> 3 and word >> (action & 7) & 1 for action in actions)


@pytest.mark.parametrize("name", sorted(STANDARD | VERIFIED))
def test_no_byte_comes_to_the_crc_before_the_one_before_is_through(name: str) -> None:
    words = program(simulated(name))
    bytes_of_crc = Action.PUT, Action.SUM, Action.EXCHANGE
    giving = [at for at, word in enumerate(words) if acts(word, *bytes_of_crc)]
    assert len(giving) >= len(bytes_of_crc)
    for at in giving:
        reached = {at}
        for _ in range(CYCLES, BYTE_CYCLES, CYCLES):  # what begins sooner
            reached = {behind for each in reached for behind in successors(words, each)}
            assert not any(acts(words[each], *bytes_of_crc, Action.CRC_START) for each in reached), f"behind {at}"

"""The top of a board: reset from the PLL's lock, and what crosses into its one clock."""

import dataclasses
import json
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from amaranth import Fragment, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator, SimulatorContext

from sterna.boards import BOARDS
from sterna.boards.top import RESET_SECONDS, ClockAndReset
from sterna.flow.plan import make_plan
from sterna.flow.tools import Tool, find_tool
from sterna.spec.configuration import Configuration

SMALL = Configuration(
    name="small", simd=1, pe=4, weight_depth=16, mask_depth=16, activation_depth=16, parameter_depth=16,
    pool_depth=16, program_depth=16,
)  # fmt: skip

HALF = 1e-9
"""Seconds that the clock stands still after an edge. Nothing here depends on how long."""


class Pll(wiring.Component):
    """One whose clock and lock the test moves."""

    def __init__(self) -> None:
        super().__init__({"clock": Out(1), "locked": Out(1), "from_clock": In(1), "from_locked": In(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += [self.clock.eq(self.from_clock), self.locked.eq(self.from_locked)]
        return m


class Platform:
    """As much of one as a clock asks for."""

    default_clk, default_clk_frequency = "clk", 12_000_000

    def request(self, name: str, **options: Any) -> None:
        assert name == self.default_clk


@pytest.mark.parametrize("cores", [1, 4])
def test_reset_begins_with_the_loss_of_the_lock_and_ends_core_by_core(
    cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pll = Pll()
    monkeypatch.setattr("sterna.boards.top.Pll", lambda **options: pll)
    configuration = dataclasses.replace(SMALL, cores=cores)
    board = dataclasses.replace(BOARDS["ulx3s-85f"], configuration=configuration)
    dut = ClockAndReset(board=board)
    every = (1 << len(dut.reset)) - 1
    least = round(RESET_SECONDS * board.frequency)

    async def bench(ctx: SimulatorContext) -> None:
        async def tick() -> None:
            for level in (1, 0):
                ctx.set(pll.from_clock, level)
                await ctx.delay(HALF)

        async def cycles_of_reset() -> int:
            for cycle in range(4 * least):
                assert ctx.get(dut.reset) in {every & ~((1 << ended) - 1) for ended in range(len(dut.reset) + 1)}
                if not ctx.get(dut.reset[0]):
                    return cycle
                await tick()
            pytest.fail("reset does not end")

        assert ctx.get(dut.reset) == every
        ctx.set(pll.from_locked, 1)
        for _ in range(3):
            assert least <= await cycles_of_reset() <= 2 * least + 8
            for ended in range(1, len(dut.reset)):
                assert ctx.get(dut.reset) == every & ~((1 << ended) - 1)
                await tick()
            assert ctx.get(dut.reset) == 0
            ctx.set(pll.from_locked, 0)  # and the clock stands still
            await ctx.delay(HALF)
            assert ctx.get(dut.reset) == every
            ctx.set(pll.from_locked, 1)
            await ctx.delay(HALF)
            assert ctx.get(dut.reset) == every

    simulator = Simulator(Fragment.get(dut, Platform()))
    simulator.add_testbench(bench)
    simulator.run()


def test_all_has_one_clock_and_what_comes_in_passes_two_flip_flops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sterna.flow.plan.find_tool", lambda name: Tool(name, (name,), "1.0"))
    configuration = dataclasses.replace(SMALL, cores=2)
    plan = make_plan(dataclasses.replace(BOARDS["ulx3s-25f"], configuration=configuration))
    (tmp_path / "top.il").write_text(plan.files["top.il"])
    script = "read_rtlil top.il; hierarchy -top top; proc; flatten; opt_clean; simplemap; write_json top.json"
    subprocess.run([*find_tool("yosys").command, "-q", "-p", script], cwd=tmp_path, check=True, timeout=300)
    cells = json.loads((tmp_path / "top.json").read_text())["modules"]["top"]["cells"].values()
    (clock,) = next(cell["connections"]["CLKOP"] for cell in cells if cell["type"] == "EHXPLLL")
    (lock,) = next(cell["connections"]["LOCK"] for cell in cells if cell["type"] == "EHXPLLL")
    pads = [cell["connections"]["O"][0] for cell in cells if cell["type"] == "IB"]
    readers = defaultdict(list)
    for cell in cells:
        for port, bits in cell["connections"].items():
            if port in ("CLK", "C", "RD_CLK", "WR_CLK"):
                assert set(bits) == {clock}
            if port not in ("O", "Q", "Y", "CLKOP", "LOCK", "RD_DATA"):
                for bit in bits:
                    readers[bit].append((cell, port))
    (wire,) = (pad for pad in pads if all(cell["type"] != "EHXPLLL" for cell, _ in readers[pad]))
    for _ in range(2):
        ((flip_flop, port),) = readers[wire]
        assert (flip_flop["type"][:6], port) == ("$_DFF_", "D")
        (wire,) = flip_flop["connections"]["Q"]
    assert len(readers[wire]) > 1
    assert [(cell["type"], port) for cell, port in readers[lock]] == 2 * [("$_DFF_PN1_", "R")]

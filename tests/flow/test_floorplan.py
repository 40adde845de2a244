"""Sites of block RAM: each of the part, each once, for memories that the design has, and only where they are wanted."""

import dataclasses
import re

import pytest

from sterna.boards import BOARDS
from sterna.flow.floorplan import block_ram_sites
from sterna.flow.plan import make_plan
from sterna.flow.tools import Tool
from sterna.spec.configuration import STANDARD

FOUR_CORES = STANDARD["ecp5-85x4"]
SITES = re.compile(r'^setattr -set BEL "X(\d+)/Y(\d+)/EBR(\d)" c:(\S+)$', re.MULTILINE)


def test_each_block_ram_has_a_site_of_its_own() -> None:
    found = SITES.findall(block_ram_sites(FOUR_CORES, "LFE5U-85F"))
    assert len({site[:3] for site in found}) == len({site[3] for site in found}) == len(found) == 187
    for x, y, number, name in found:
        assert (int(x) - (4 if int(x) < 66 else 69)) % 9 == 2 * int(number)
        if core := re.search(r"core_(\d)", name):
            assert (int(x) < 60, int(y) < 60) == (not int(core[1]) & 1, int(core[1]) < 2)


def test_the_plan_gives_sites_to_memories_that_the_design_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sterna.flow.plan.find_tool", lambda name: Tool(name, (name,), "1.0"))
    plan = make_plan(dataclasses.replace(BOARDS["ulx3s-85f"], configuration=FOUR_CORES))
    named = {re.sub(r"(\.memory)?\.0\.\d$", "", site[3]) for site in SITES.findall(plan.files["top.ys"])}
    modules = re.split(r"^module \\top\.", plan.files["top.il"], flags=re.MULTILINE)[1:]
    declared = re.compile(r"^  memory .* \\(\S+)$", re.MULTILINE)
    memories = [(module.split()[0], name) for module in modules for name in declared.findall(module)]
    held = {module if name == "memory" else f"{module}.{name}" for module, name in memories}
    assert len(named) == 4 * (8 + 8 + 4 + 3) + 3
    assert named <= held


@pytest.mark.parametrize("name", sorted(STANDARD.keys() - {FOUR_CORES.name}))
def test_other_configurations_and_parts_are_left_to_the_placer(name: str) -> None:
    assert block_ram_sites(STANDARD[name], "LFE5U-85F") == ""
    assert block_ram_sites(FOUR_CORES, "LFE5U-45F") == ""

"""Coverage files, their summary by module, and the kinds of layers that were met."""

from pathlib import Path

import numpy as np
import pytest

from sterna.sim.benches.stand_ins import Echo
from sterna.sim.configurations import VERIFIED
from sterna.sim.coverage import CodeCoverage, FunctionalCoverage, layer_kinds, layer_shapes, module_name, read_points
from sterna.sim.device import open_simulation
from sterna.sim.networks import random_network
from sterna.spec.errors import InputError


def point(kind: str, module: str, lines: str, count: int, what: str = "block") -> str:
    keys = {"f": "design.v", "l": lines.split("-")[0], "t": kind, "page": f"v_{kind}/{module}", "o": what, "S": lines,
            "h": f"TOP.{module}"}  # fmt: skip
    return "C '" + "".join(f"\x01{key}\x02{value}" for key, value in keys.items()) + f"' {count}\n"


def test_files_add_up_by_module_over_instances_and_designs(tmp_path: Path) -> None:
    file = tmp_path / "coverage.dat"
    first = point("line", "top.core.feeder_0", "10-12,14", 5) + point("branch", "top.core.feeder_1", "20", 0, "if")
    file.write_text("# SystemC::Coverage-3\n" + first + point("toggle", "top.core", "", 0, "a[0]:0->1"))
    found = CodeCoverage()
    found.add("one", read_points(file))
    modules = found.summary()["modules"]
    assert modules["core.feeder"] == {"line": [4, 5], "toggle": [0, 0]}
    assert modules["core"] == {"line": [0, 0], "toggle": [0, 1]}
    assert modules["all"] == {"line": [4, 5], "toggle": [0, 1]}
    assert found.missed_lines() == ["one core.feeder:20"]
    file.write_text("# SystemC::Coverage-3\n" + point("branch", "top.core.feeder_1", "20", 1, "if"))
    found.add("one", read_points(file))
    assert found.summary()["modules"]["core.feeder"]["line"] == [5, 5]
    found.add("other", read_points(file))
    assert found.summary()["modules"]["core.feeder"]["line"] == [6, 6]


@pytest.mark.parametrize("text", ["", "nothing\n", "# SystemC::Coverage-3\nnothing\n"])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "coverage.dat"
    file.write_text(text)
    with pytest.raises(InputError, match="coverage"):
        list(read_points(file))


def test_instances_of_one_module_have_one_name() -> None:
    assert module_name("TOP.top.core.feeder_3") == module_name("TOP.top.core.feeder_12") == "core.feeder"
    assert module_name("TOP.top") == "top"


def test_a_simulation_writes_what_it_met(tmp_path: Path) -> None:
    file = tmp_path / "coverage.dat"
    with open_simulation("echo", component=Echo(key=3), coverage=file) as simulation:
        simulation.send(b"abc")
        assert simulation.receive(10)
    found = CodeCoverage()
    found.add("echo", read_points(file))
    total = found.summary()["modules"]["all"]
    assert 0 < total["line"][0] <= total["line"][1]
    assert 0 < total["toggle"][0] < total["toggle"][1]


def test_every_layer_has_a_kind_and_a_shape_and_fills_bins() -> None:
    configuration = VERIFIED["verify-8x8"]
    met = FunctionalCoverage((configuration.act_bits,), ("both skips",))
    for seed in range(20):
        network = random_network(np.random.default_rng(seed), configuration)
        assert all(layer_kinds(layer) and layer_shapes(network, layer, configuration) for layer in network.layers)
        met.add(network, configuration, "both skips")
    summary = met.summary()
    hit, bins = summary["groups"]["all"]
    assert 0 < hit < bins
    assert len(summary["holes"]) == bins - hit

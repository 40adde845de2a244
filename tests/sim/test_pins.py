"""Boards by their pins: the driver over UART wires, before and after synthesis, with the models of the part's cells."""

import dataclasses
import subprocess
from pathlib import Path

import numpy as np
import pytest

from sterna.boards import BOARDS, Board
from sterna.data import load
from sterna.driver import Device
from sterna.flow.tools import Tool, find_tool
from sterna.sim import pins
from sterna.sim.cache import cache_directory
from sterna.sim.networks import random_images, random_network
from sterna.sim.pins import Level, build_pins, level_named, open_pins, run_pins
from sterna.spec.configuration import Configuration, Primitive
from sterna.spec.errors import ConfigurationError, DeviceTimeoutError, ProtocolError, ToolError
from sterna.zoo import network

ICEBREAKER = BOARDS["icebreaker"]
SMALL = Configuration(
    name="small", simd=1, pe=4, weight_depth=256, mask_depth=256, activation_depth=256, parameter_depth=64,
    pool_depth=64, program_depth=256, weights_in=Primitive.SPRAM,
)  # fmt: skip
PAIR = dataclasses.replace(SMALL, name="pair", cores=2, weights_in=Primitive.BLOCK)


@pytest.fixture
def small_board(monkeypatch: pytest.MonkeyPatch) -> Board:
    """An iCEBreaker with fewer lanes; of the tools only yosys is there."""
    there = find_tool("yosys")
    monkeypatch.setattr(
        "sterna.flow.plan.find_tool", lambda name: there if name == "yosys" else Tool(name, ("false",), "none")
    )
    return dataclasses.replace(ICEBREAKER, configuration=SMALL)


@pytest.fixture(scope="module")
def written() -> Path:
    """The whole iCEBreaker before synthesis."""
    return build_pins(ICEBREAKER, Level.rtl, root=Path())


@pytest.mark.parametrize("power_up", [1, 2])
def test_a_network_of_the_zoo_through_the_pins_of_the_board_gives_goldens_outputs(written: Path, power_up: int) -> None:
    images, model = load("digits").test_images[:5], network("digits-mlp")
    run = run_pins(written, ICEBREAKER, model, images, power_up=power_up)
    assert np.array_equal(run.outputs, model.predict(images))
    assert run.wrong_counters == ()
    # Ten bits a byte, however fast the simulation is.
    assert run.statistics.cycles > 10 * (ICEBREAKER.frequency // ICEBREAKER.baud) * run.statistics.received


def test_wires_at_another_rate_carry_nothing(written: Path) -> None:
    wires = open_pins(written, dataclasses.replace(ICEBREAKER, baud=1_000_000))
    with wires, pytest.raises((DeviceTimeoutError, ProtocolError), match=r"^no answer to SYNC within "):
        Device(wires, timeout=0.5)


def test_the_harness_asks_for_the_rate(written: Path) -> None:
    done = subprocess.run([written, "--listen"], input="", capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2
    assert "--bit-cycles is needed, at least 2" in done.stderr


@pytest.mark.timeout(600)
def test_the_netlist_after_synthesis_gives_goldens_outputs_whatever_its_memories_held(small_board: Board) -> None:
    executable = build_pins(small_board, Level.netlist, root=cache_directory() / "boards")
    _check_random_networks(executable, small_board, images=2)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("level", [Level.rtl, Level.netlist])
def test_so_do_two_cores_with_resets_of_their_own(small_board: Board, level: Level) -> None:
    board = dataclasses.replace(BOARDS["ulx3s-25f"], configuration=PAIR)
    executable = build_pins(board, level, root=cache_directory() / "boards")
    _check_random_networks(executable, board, images=5)


def _check_random_networks(executable: Path, board: Board, *, images: int) -> None:
    for seed in range(1, 9):
        rng = np.random.default_rng(seed)
        model = random_network(rng, board.configuration)
        batch = random_images(rng, model, images)
        run = run_pins(executable, board, model, batch, power_up=seed)
        golden = model.predict(batch)
        for found, expected in zip(_listed(run.outputs), _listed(golden), strict=True):
            assert np.array_equal(found, expected)
        assert run.wrong_counters == ()


def _listed(outputs: object) -> list[np.ndarray]:
    return list(outputs) if isinstance(outputs, tuple) else [outputs]


def test_what_has_no_models_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match=r"^no level 'silicon'; known: rtl, netlist, routed$"):
        level_named("silicon")
    with pytest.raises(ConfigurationError, match=r"^ulx3s-25f has no models of what nextpnr writes; mend: "):
        build_pins(BOARDS["ulx3s-25f"], Level.routed, root=tmp_path)
    pins.vendor_cells.cache_clear()
    monkeypatch.setattr(pins.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ToolError, match=r"^the models of a part's cells are missing; mend: pip install 'sterna\[boards\]'$"
    ):
        pins.vendor_cells("ice40")

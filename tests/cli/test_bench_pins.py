"""``sterna bench pins``: what it prints, keeps and refuses; the simulation only pretends."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from sterna.boards import board_named
from sterna.cli.verbs import app
from sterna.driver import Counters
from sterna.sim import pins
from sterna.sim.device import Statistics

DOCS = Path(__file__).parents[2] / "docs"
ARGUMENTS = ("bench", "pins", "--board", "icebreaker", "--images", "4")


def sterna(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the pretended board does wrong: ``images`` and ``counters``."""
    wrong: dict[str, Any] = {"images": 0, "counters": ()}

    def run(executable: Path, board: object, network: Any, images: Any, *, power_up: int, progress: Any) -> pins.Run:
        assert (executable, power_up) == (Path("icebreaker-netlist-2"), 7)
        outputs = network.predict(images)
        outputs[: wrong["images"]] += 1
        return pins.Run(
            outputs, Counters(cycles=2800), wrong["counters"], "00ff",
            Statistics(cycles=10**6, received=12000, sent=900, seconds=3.14, busy_seconds=3.0),
        )  # fmt: skip

    monkeypatch.setattr(
        pins, "build_pins", lambda board, level, *, root, seeds, progress: Path(f"{board.name}-{level}-{len(seeds)}")
    )
    monkeypatch.setattr(pins, "run_pins", run)
    return wrong


def test_what_came_through_the_pins_is_printed_and_kept_with_its_command(
    tmp_path: Path, broken: dict[str, Any]
) -> None:
    given = (*ARGUMENTS, "--level", "netlist", "--seeds", "2", "--power-up", "7")
    result = sterna(*given, "--json", "--keep", tmp_path)
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert printed == {
        "board": "icebreaker", "level": "netlist", "model": "digits-mlp", "images": 4, "equal_golden": 4,
        "wrong_counters": [], "cycles_per_image": 700.0, "cycles": 10**6, "seconds": 3.1, "bytes_received": 12000,
        "bytes_sent": 900, "frequency": printed["frequency"], "baud": printed["baud"], "power_up": 7, "build": "00ff",
    }  # fmt: skip
    kept = json.loads((tmp_path / "pins-icebreaker-netlist.json").read_text())
    command = (
        "sterna bench pins --board icebreaker --level netlist --model digits-mlp --images 4 --seeds 2 --power-up 7"
    )
    assert kept == printed | {"command": f"{command} --json"}
    table = sterna(*given).stdout
    assert re.search(r"every output[\s│]+4", table)
    assert "as they should be" in table


@pytest.mark.parametrize(("images", "counters"), [(1, ()), (0, ("counter stored is 1, the emulator's 2",))])
def test_a_difference_fails(broken: dict[str, Any], images: int, counters: tuple[str, ...]) -> None:
    broken.update(images=images, counters=counters)
    result = sterna(*ARGUMENTS, "--level", "netlist", "--seeds", "2", "--power-up", "7")
    assert result.exit_code == 1
    assert re.search(rf"every output[\s│]+{4 - images}", result.stdout)
    assert all(text in result.stdout for text in counters)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--board", "none", "--level", "rtl"), "no board 'none'; known: "),
        (("--board", "icebreaker", "--level", "x"), "no level 'x'; known: rtl, netlist, routed"),
        (("--board", "icebreaker", "--level", "rtl", "--model", "x"), "no model 'x' in the zoo; known: "),
        (("--board", "versa-ecp5", "--level", "routed"), "versa-ecp5 has no models of what nextpnr writes; mend: "),
    ],
)
def test_what_it_does_not_know_is_said_on_one_line(arguments: tuple[str, ...], message: str) -> None:
    result = sterna("bench", "pins", *arguments)
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"sterna: {message}")


def test_the_page_holds_what_was_kept() -> None:
    subprocess.run([sys.executable, DOCS / "pins.py", "--check"], check=True, timeout=120)


def test_what_was_kept_ran_at_the_boards_clock_and_rate() -> None:
    kept = [json.loads(path.read_text()) for path in (DOCS / "results").glob("pins-*.json")]
    assert {(each["board"], each["level"]) for each in kept} >= {("icebreaker", "routed"), ("ulx3s-25f", "netlist")}
    for each in kept:
        board = board_named(each["board"])
        assert (each["frequency"], each["baud"]) == (board.frequency, board.baud)

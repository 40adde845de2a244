"""``sterna verify`` and ``sterna bench``."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sterna.cli.verbs import app
from sterna.sim import verification, zero_skip

RUN = CliRunner()


def test_verify_says_what_it_ran() -> None:
    found = RUN.invoke(app, ["verify", "--networks", "3", "--seed", "40", "--configuration", "verify-1x4", "--json"])
    assert found.exit_code == 0, found.output
    report = json.loads(found.stdout)
    assert (report["seed"], report["networks"], report["failed"]) == (40, 3, 0)
    assert report["configurations"]["verify-1x4"]["networks"] == 3
    assert report["functional"]["groups"]["all"][0] > 0


def test_a_failing_seed_is_printed_with_how_to_see_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(*_: object) -> None:
        raise verification.DifferenceError("counter stored is 1, the emulator's 2")

    monkeypatch.setattr(verification, "check_device", check)
    found = RUN.invoke(app, ["verify", "--networks", "1", "--seed", "41", "--configuration", "verify-1x4"])
    assert found.exit_code == 1
    assert "seed 41 on verify-1x4: DifferenceError: counter stored is 1, the emulator's 2" in found.stderr
    mend = "sterna verify --seed 41 --networks 1 --configuration verify-1x4 --waves 41.vcd"
    assert mend in found.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--networks", "2", "--waves", "x.vcd"], "--waves shows one network, not 2; mend: add --networks 1"),
        (["--configuration", "no"], "no configuration 'no'; known: bench-4x16"),
    ],
)
def test_bad_options_are_told_on_one_line(arguments: list[str], message: str) -> None:
    found = RUN.invoke(app, ["verify", *arguments])
    assert found.exit_code == 1
    assert message in found.stderr


def test_zero_skip_prints_rows_and_writes_all_beside_a_plot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(zero_skip, "BENCHES", zero_skip.BENCHES[:1])
    monkeypatch.setattr(zero_skip, "BLOCK_DENSITIES", (1.0,))
    monkeypatch.setattr(zero_skip, "ACTIVATION_DENSITIES", (1.0, 0.5))
    found = RUN.invoke(app, ["bench", "zero-skip", "--json", "-o", str(tmp_path / "zero-skip.json")])
    assert found.exit_code == 0, found.output
    rows = json.loads(found.stdout)
    assert [(row["block_density"], row["activation_density"]) for row in rows] == [(1, 1), (1, 0.5)]
    details = json.loads((tmp_path / "zero-skip.json").read_text())
    assert [{key: row[key] for key in rows[0]} for row in details] == rows
    assert (tmp_path / "zero-skip.png").exists()

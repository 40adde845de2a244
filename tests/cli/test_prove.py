"""``sterna prove``."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sterna.cli.verbs import app
from sterna.sim.formal import catalogue, sby

RUN = CliRunner()


def test_prove_prints_a_row_for_each_property() -> None:
    found = RUN.invoke(app, ["prove", "trit5-code", "crc-bits"])
    assert found.exit_code == 0, found.output
    rows = [line.split("│")[1:-1] for line in found.stdout.splitlines() if line.startswith("│")]
    assert [[row[0].strip(), row[1].strip(), row[4].strip()] for row in rows] == [
        ["trit5-code", "prove", "PASS"],
        ["crc-bits", "prove", "PASS"],
    ]


def test_a_property_that_does_not_hold_is_named_with_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = sby.Verdict("capture", "prove", 2, 1.25, "FAIL", ["capture.py:48"])
    monkeypatch.setattr(sby, "check", lambda *_, **__: verdict)
    found = RUN.invoke(app, ["prove", "capture"])
    assert found.exit_code == 1
    assert "capture does not hold: capture.py:48" in found.stdout
    found = RUN.invoke(app, ["prove", "capture", "--json"])
    assert found.exit_code == 1
    assert json.loads(found.stdout) == [
        {"name": "capture", "mode": "prove", "depth": 2, "seconds": 1.2, "result": "FAIL", "places": ["capture.py:48"]}
    ]


def test_an_unknown_property_is_told_on_one_line() -> None:
    found = RUN.invoke(app, ["prove", "everything"])
    assert found.exit_code == 1
    assert f"no property 'everything'; known: {', '.join(catalogue.PROPERTIES)}" in found.stderr


def test_a_missing_solver_is_told_with_the_mend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sby.sysconfig, "get_path", lambda _: str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    found = RUN.invoke(app, ["prove", "capture"])
    assert found.exit_code == 1
    assert "yowasp-sby is missing; mend: pip install 'sterna[formal]'" in found.stderr


def test_a_proof_that_takes_too_long_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sby, "TIMEOUT", 0.01)
    found = RUN.invoke(app, ["prove", "capture"])
    assert found.exit_code == 1
    assert "yowasp-sby took longer than 0.01 s" in found.stderr

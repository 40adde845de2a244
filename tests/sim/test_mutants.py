"""A few mutants of each unit, of which its checks notice nearly all; ``sterna bench mutants`` takes many, and proves
which of the others are no mutants at all."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sterna.cli.verbs import app
from sterna.sim.mutation import search
from sterna.sim.mutation.units import UNITS

RUN = CliRunner()
FEW = {"link-processor": 8}
"""Mutants of units whose checks take long; twenty of the others."""


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_the_checks_notice_a_sample_of_mutants(unit):
    count = FEW.get(unit.name, 20)
    found = search.search(unit, count=count, seed=1, prove=False)
    assert found.mutants == count == found.killed + len(found.survivors)
    # About one in twelve changes nothing that can be seen from outside, which only a proof tells.
    assert len(found.survivors) <= count // 6, found.survivors


def test_what_lives_and_is_no_mutant_is_proved_so():
    found = search.search(search.unit_named("requantiser"), count=20, seed=1)
    assert len(found.survivors) <= 1, found.survivors


def test_a_check_that_sees_nothing_lets_mutants_live_and_those_without_effect_are_proved_so():
    lanes = search.unit_named("lanes")
    blind = search.Unit(lanes.name, lanes.make, lanes.modules, [lambda _: None])
    found = search.search(blind, count=4, seed=1, prove=False)
    assert (found.killed, found.equivalent, len(found.survivors)) == (0, (), 4)


def test_the_command_prints_a_row_for_each_unit_and_names_survivors(monkeypatch, tmp_path: Path):
    found = search.Found("lanes", 5, 3, ("inv top $1.A[0]",), ("const0 top $2.Y[1]",))
    monkeypatch.setattr(search, "search", lambda *_, **__: found)
    printed = RUN.invoke(app, ["bench", "mutants", "lanes"])
    assert printed.exit_code == 0, printed.output
    assert "lanes: nothing notices const0 top $2.Y[1]" in printed.stdout
    written = RUN.invoke(app, ["bench", "mutants", "lanes", "--json", "-o", str(tmp_path / "mutants.json")])
    report = {
        "count": 250,
        "seed": 0,
        "units": [
            {"unit": "lanes", "mutants": 5, "killed": 3, "equivalent": ["inv top $1.A[0]"],
             "survivors": ["const0 top $2.Y[1]"]}
        ],
    }  # fmt: skip
    assert json.loads(written.stdout) == report
    assert json.loads((tmp_path / "mutants.json").read_text()) == report


def test_an_unknown_unit_is_told_on_one_line():
    found = RUN.invoke(app, ["bench", "mutants", "nothing"])
    assert found.exit_code == 1
    assert "no unit 'nothing'; known: scanner-feeder, lanes, requantiser, link-processor" in found.stderr


def test_the_plan_shows_the_mutants_that_were_found():
    docs = Path(__file__).parent.parent.parent / "docs"
    report = json.loads((docs / "results" / "mutants.json").read_text())
    page = (docs.parent / "sim" / "TESTPLAN.md").read_text()
    for unit in report["units"]:
        row = [unit["unit"], unit["mutants"], unit["killed"], len(unit["equivalent"]), len(unit["survivors"])]
        assert f"| {' | '.join(map(str, row))} |" in page
        assert unit["killed"] >= 0.95 * (unit["mutants"] - len(unit["equivalent"]))
        assert unit["mutants"] >= 200

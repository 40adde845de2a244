"""Runner, agents and scoreboard of the cocotb benches, on stand-ins: what is right passes, what is wrong is found."""

import pytest

from sterna.sim.bench import BenchFailedError, run_bench
from sterna.sim.benches.stand_ins import Echo, Impatient
from sterna.sim.streams import Scoreboard, Stalls

ECHO = "sterna.sim.benches.echo_bench"
RULES = "sterna.sim.benches.rules_bench"


@pytest.mark.parametrize(("seed", "stalls"), [(1, 0.0), (2, 0.5), (3, 0.95)])
def test_a_right_design_passes_under_random_stalls(seed: int, stalls: float) -> None:
    given = {"key": 0x55, "seed": seed, "stalls": stalls}
    passed = run_bench(Echo(key=0x55), ECHO, name="echo", seed=seed, parameters=given)
    assert sorted(passed) == ["echoes", "silence_times_out"]


def test_a_wrong_design_fails_with_the_first_difference() -> None:
    with pytest.raises(BenchFailedError, match=r"echoes: .*item 0 is \d+, expected \d+"):
        run_bench(Echo(key=0x55), ECHO, name="echo", parameters={"key": 0x54})


def test_a_bench_without_tests_fails() -> None:
    with pytest.raises(BenchFailedError, match=r"no test ran|without results"):
        run_bench(Echo(key=0x55), ECHO, name="echo", testcase="absent")


def test_a_bench_that_cannot_be_imported_fails() -> None:
    with pytest.raises(BenchFailedError):
        run_bench(Echo(key=0x55), "sterna.sim.benches.absent", name="echo")


@pytest.mark.parametrize(
    ("drops", "message"), [(True, "tx: valid fell before ready rose"), (False, "tx: payload changed while stalled")]
)
def test_the_monitor_finds_a_sender_that_breaks_the_rules(drops: bool, message: str) -> None:
    with pytest.raises(BenchFailedError, match=message):
        run_bench(Impatient(drops=drops), RULES, name="impatient")


def test_scoreboard_names_the_place_of_a_difference() -> None:
    board = Scoreboard("sums")
    board.expect([1, 2, 3])
    board.see(1)
    with pytest.raises(AssertionError, match="sums: item 1 is 5, expected 2"):
        board.see(5)


def test_scoreboard_finds_what_did_not_come_and_what_came_too_much() -> None:
    board = Scoreboard("sums")
    with pytest.raises(AssertionError, match="sums: nothing was compared"):
        board.finish()
    with pytest.raises(AssertionError, match="sums: item 0 is 1, expected no more"):
        board.see(1)
    board.expect([1, 2])
    board.see(1)
    with pytest.raises(AssertionError, match="sums: 1 items did not come"):
        board.finish()
    board.see(2)
    board.finish()
    assert board.matched == 2


def test_stalls_repeat_with_their_seed_and_never_come_unasked() -> None:
    def pattern(seed: int, most: float) -> list[bool]:
        stalls = Stalls(seed, most)
        return [stalls() for _ in range(2_000)]

    assert not any(pattern(1, 0.0))
    assert pattern(1, 0.9) == pattern(1, 0.9) != pattern(2, 0.9)
    assert 0.2 < sum(pattern(1, 0.9)) / 2_000 < 0.7

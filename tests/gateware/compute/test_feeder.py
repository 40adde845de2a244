"""Scanner and feeder against a loop over positions: each set bit of mask AND mask once, in order, at its address."""

import random

import pytest

from sterna.sim.checks.feeder import check_issues, check_longest_walks, check_pace
from sterna.sim.checks.testbench import simulate


@pytest.mark.parametrize("seed", range(24))
def test_every_position_that_counts_is_issued_once_in_order_under_any_stall(seed: int) -> None:
    check_issues(random.Random(seed), simulate)


def test_full_chunks_are_issued_without_a_gap() -> None:
    check_pace(simulate)


def test_the_longest_walks_end_where_they_must() -> None:
    check_longest_walks(simulate)

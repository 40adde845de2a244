from hypothesis import given
from hypothesis import strategies as st

from sterna.driver.counters import COUNT, Counters, CounterTotals

steps = st.lists(st.lists(st.integers(0, (1 << 32) - 1), min_size=COUNT, max_size=COUNT), max_size=6)


@given(st.lists(st.integers(0, (1 << 32) - 1), min_size=COUNT, max_size=COUNT), steps)
def test_totals_are_exact_though_registers_turn_over(start: list[int], taken: list[list[int]]) -> None:
    totals = CounterTotals()
    totals.add(start)
    now = list(start)
    for step in taken:
        now = [a + b for a, b in zip(now, step, strict=True)]
        totals.add([value % (1 << 32) for value in now])
    assert totals.total == Counters(*(a - b for a, b in zip(now, start, strict=True)))


def test_a_restart_adds_nothing() -> None:
    totals = CounterTotals()
    totals.add([100] * COUNT)
    totals.add([150] * COUNT)
    totals.restart()
    totals.add([3] * COUNT)
    totals.add([4] * COUNT)
    assert totals.total == Counters(*[51] * COUNT)


def test_counters_subtract_and_derive_what_was_skipped() -> None:
    run = Counters(positions=100, stored=70, issued=30, cycles=9) - Counters(positions=10, stored=10, cycles=4)
    assert (run.cycles, run.skipped_blocks, run.skipped_activations) == (5, 30, 30)

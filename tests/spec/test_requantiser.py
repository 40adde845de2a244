"""The fit of multipliers, shifts and biases to rising functions, and its count of differing values."""

import itertools
import math

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from sterna.spec.arithmetic import MAX_SHIFT, SUM_BITS
from sterna.spec.requantiser import (
    MAX_MULTIPLIER,
    Channel,
    fit_channel,
)

ranges = st.tuples(st.integers(-5000, 5000), st.integers(0, 6000)).map(lambda pair: (pair[0], pair[0] + pair[1]))
clamps = st.sampled_from([(0, 127), (-127, 127), (0, 1), (-1, 1), (0, 7)])
sensible_slopes = st.floats(1e-4, 10)
any_slopes = st.one_of(
    sensible_slopes, st.floats(0, 1e300), st.sampled_from([0.0, 5e-324, 1e-30, 1e-9, 0.5, 1.0, 65536.0])
)
any_offsets = st.one_of(st.floats(-300, 300), st.floats(-1e300, 1e300), st.sampled_from([0.0, -0.5, 0.5, 126.5]))


def requantise_real(accumulators: np.ndarray, slope: float, offset: float, minimum: int, maximum: int) -> np.ndarray:
    """``clip(floor(acc·slope + offset + 1/2), minimum, maximum)`` in float64."""
    with np.errstate(over="ignore"):  # infinity is clamped like any other
        real = np.floor(accumulators.astype(np.float64) * slope + offset + 0.5)
    return np.clip(real, minimum, maximum).astype(np.int64)


def convert_channel(slope: float, offset: float, lowest: int, highest: int, minimum: int, maximum: int) -> Channel:
    """What is fitted to an affine function."""
    wanted = requantise_real(np.arange(lowest, highest + 1), slope, offset, minimum, maximum)
    return fit_channel(wanted, lowest, minimum, maximum, line=(slope, offset))


def integer_value(channel, accumulator: int, clamp: tuple[int, int]) -> int:
    total = channel.multiplier * accumulator + channel.bias
    assert -(1 << (SUM_BITS - 1)) <= total < 1 << (SUM_BITS - 1)
    return min(max(total >> channel.shift, clamp[0]), clamp[1])


def real_value(accumulator: int, slope: float, offset: float, clamp: tuple[int, int]) -> int:
    real = float(accumulator) * slope + offset + 0.5
    return clamp[1] if real >= clamp[1] else clamp[0] if real < clamp[0] else math.floor(real)


@given(any_slopes, any_offsets, ranges, clamps)
@example(1e300, -1e300, (-5, 5), (-127, 127))
@example(1e300, 0.0, (-5, 5), (-127, 127))
@example(0.0, 3.2, (-5, 5), (-127, 127))
@example(65536.0, -65536.0 * 3, (-5, 5), (-127, 127))
def test_parameters_are_in_range_and_the_count_is_the_number_of_differing_values(slope, offset, bounds, clamp):
    channel = convert_channel(slope, offset, *bounds, *clamp)
    assert 0 <= channel.multiplier <= MAX_MULTIPLIER
    assert 0 <= channel.shift <= MAX_SHIFT
    assert -(1 << (SUM_BITS - 1)) <= channel.bias < 1 << (SUM_BITS - 1)
    assert channel.compared == bounds[1] - bounds[0] + 1
    step = max(1, channel.compared // 50)
    sampled = range(bounds[0], bounds[1] + 1, step)
    differing = [a for a in sampled if integer_value(channel, a, clamp) != real_value(a, slope, offset, clamp)]
    assert len(differing) <= channel.differing
    if step == 1:
        assert len(differing) == channel.differing


@given(any_slopes, any_offsets, st.tuples(st.integers(-9, 9), st.integers(0, 3)))
def test_a_steep_or_short_channel_never_differs(slope, offset, start):
    bounds = start[0], start[0] + start[1]
    if abs(slope * bounds[0] + offset) < 1e15:
        assert convert_channel(slope, offset, *bounds, -127, 127).differing == 0


def test_nothing_is_called_impossible_that_an_exhaustive_search_finds(monkeypatch):
    """On multipliers of 4 bits, every (m, b, s) can be tried."""
    monkeypatch.setattr("sterna.spec.requantiser.MAX_MULTIPLIER", 15)
    rng = np.random.default_rng(0)
    accumulators = np.arange(-12, 13)
    found = 0
    for _ in range(60):
        slope, offset = float(rng.uniform(0.05, 1)), float(rng.uniform(-3, 3))
        wanted = requantise_real(accumulators, slope, offset, -3, 3)
        possible = any(
            np.array_equal(np.clip((m * accumulators + b) >> s, -3, 3), wanted)
            for s, m in itertools.product(range(6), range(16))
            for b in range(int((offset - 1) * 2**s), int((offset + 2) * 2**s) + 1)
        )
        channel = convert_channel(slope, offset, -12, 12, -3, 3)
        assert channel.multiplier <= 15
        assert (channel.differing == 0) >= possible
        found += possible
    assert found > 10


def test_too_few_multiplier_bits_are_counted_not_hidden(monkeypatch):
    monkeypatch.setattr("sterna.spec.requantiser.MAX_MULTIPLIER", 3)
    channel = convert_channel(0.0371, 0.3, -4000, 4000, -127, 127)
    accumulators = np.arange(-4000, 4001)
    given_values = np.clip((channel.multiplier * accumulators + channel.bias) >> channel.shift, -127, 127)
    wanted = requantise_real(accumulators, 0.0371, 0.3, -127, 127)
    assert channel.differing == np.count_nonzero(given_values != wanted) > 0


@given(st.integers(1, 60), st.integers(-50, 50), st.sampled_from([1, 7, MAX_MULTIPLIER]))
def test_any_two_thresholds_are_met_within_the_multiplier(gap: int, lowest: int, most: int) -> None:
    channel = fit_channel(np.repeat([-1, 0, 1], [5, gap, 6]), lowest, -1, 1, most=most)
    assert channel.multiplier <= most
    assert channel.compared == 11 + gap
    if most == MAX_MULTIPLIER:
        assert channel.differing == 0


def test_a_jump_over_a_level_is_met_by_a_steep_line() -> None:
    channel = fit_channel(np.repeat([-1, 1], [9, 4]), -6, -1, 1)
    assert channel.differing == 0
    assert [integer_value(channel, a, (-1, 1)) for a in (-6, 2, 3, 6)] == [-1, -1, 1, 1]


def test_thresholds_off_any_line_are_counted() -> None:
    halves_to_even = np.round(np.arange(-20, 21) / 2).astype(np.int64)
    assert fit_channel(halves_to_even, -20, -10, 10).differing > 0

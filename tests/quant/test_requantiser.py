"""The fixed point: multipliers, biases and shifts in their widths, exact in float64, nearest to what they stand for."""

import math
import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sterna.quant.requantiser import FixedPoint, fixed_point, smallest_reaching
from sterna.spec.arithmetic import MAX_MULTIPLIER, MAX_SHIFT, SUM_BITS, requantise
from sterna.spec.errors import ModelError

any_slopes = st.one_of(
    st.floats(-10, 10), st.floats(-1e300, 1e300), st.sampled_from([0.0, 5e-324, -1e-30, 1e-9, 0.5, -1.0, 65536.0])
)
any_offsets = st.one_of(st.floats(-300, 300), st.floats(-1e300, 1e300), st.sampled_from([0.0, -0.5, 0.5, 126.5]))
planes = st.lists(st.tuples(any_slopes, st.integers(0, 1 << 23)), min_size=1, max_size=6)


def one_channel(slopes: list[float], offset: float, extremes: list[int]) -> FixedPoint:
    return fixed_point(np.array(slopes)[:, np.newaxis], np.array([offset]), np.array(extremes)[:, np.newaxis])


@given(planes, any_offsets)
@example([(1e300, 5)], -1e300)
@example([(65536.0, 1 << 23)], 0.0)
@example([(0.0, 0)], 3.2)
def test_everything_fits_its_width_whatever_the_slopes(drawn, offset):
    slopes, extremes = [slope for slope, _ in drawn], [extreme for _, extreme in drawn]
    found = one_channel(slopes, offset, extremes)
    assert (np.abs(found.multiplier) <= MAX_MULTIPLIER).all()
    assert 0 <= found.shift[0] <= MAX_SHIFT
    largest = sum(abs(int(m)) * e for m, e in zip(found.multiplier[:, 0], extremes, strict=True)) + abs(
        int(found.bias[0])
    )
    assert largest < 1 << (SUM_BITS - 1)
    assert all(m * slope >= 0 for m, slope in zip(found.multiplier[:, 0].tolist(), np.sign(slopes), strict=True))


@given(
    st.lists(st.tuples(st.floats(-10, 10), st.integers(0, 30000)), min_size=1, max_size=6),
    st.floats(-300, 300), st.integers(0, 2**32 - 1), st.sampled_from([(0, 127), (-127, 127), (-1, 1), (0, 1)]),
)  # fmt: skip
def test_float64_in_any_order_is_the_integer_formula(drawn, offset, seed, clamp):
    slopes, extremes = [slope for slope, _ in drawn], [extreme for _, extreme in drawn]
    found = one_channel(slopes, offset, extremes)
    rng = np.random.default_rng(seed)
    accumulators = np.array([rng.integers(-extreme, extreme + 1, 200) for extreme in extremes])
    total = (found.multiplier * accumulators).sum(axis=0) + found.bias
    wanted = requantise(total, found.shift, *clamp)
    terms = [*(found.slope * accumulators), np.full(200, found.offset)]
    for _ in range(3):
        rng.shuffle(terms)
        real = np.zeros(200)
        for term in terms:
            real += term
        assert np.array_equal(np.clip(np.floor(real), *clamp), wanted)


@given(st.lists(st.floats(1e-5, 1e4), min_size=1, max_size=5), st.floats(-200, 200), st.integers(0, 30000))
def test_rounding_moves_a_slope_by_at_most_half_a_last_bit_of_the_steepest(slopes, offset, extreme):
    found = one_channel(slopes, offset, [extreme] * len(slopes))
    bits = min(15, SUM_BITS - 3 - math.log2(sum(slopes) * extreme + abs(offset) + 1) + math.log2(max(slopes)))
    assert np.abs(found.slope[:, 0] - slopes).max() <= max(slopes) * 2.0**-bits
    assert 0 <= offset + 0.5 - found.offset[0] < 2.0 ** -int(found.shift[0]) + 1e-12


def test_zero_and_tiny_slopes_round_to_zero_and_huge_ones_to_the_steepest_that_fit():
    slopes = np.array([[0.0, -0.0, 1e-300, 1e300, -1e300]])
    found = fixed_point(slopes, np.zeros(5), np.full((1, 5), 10))
    assert found.multiplier.tolist() == [[0, 0, 0, MAX_MULTIPLIER, -MAX_MULTIPLIER]]
    assert found.shift[3:].tolist() == [0, 0]


@given(st.lists(st.tuples(st.integers(-40, 40), st.integers(0, 60), st.integers(0, 2**16)), min_size=1, max_size=4))
def test_thresholds_are_the_first_accumulators_that_reach_each_level(drawn):
    lowest = np.array([low for low, _, _ in drawn])
    highest = lowest + [width for _, width, _ in drawn]
    rising = [np.random.default_rng(seed).integers(-4, 5, 141) for _, _, seed in drawn]
    tables = np.sort(np.array(rising), axis=1)
    levels = np.arange(-3, 5)

    def values(accumulators: np.ndarray) -> np.ndarray:
        return np.take_along_axis(tables, np.clip(accumulators + 40, 0, 140), axis=1)

    found = smallest_reaching(values, lowest, highest, levels)
    for c, (low, high) in enumerate(zip(lowest, highest, strict=True)):
        for j, level in enumerate(levels):
            reaching = [a for a in range(low, high + 1) if tables[c, a + 40] >= level]
            assert found[c, j] == min(reaching, default=high + 1)


@pytest.mark.parametrize(
    ("slopes", "offset", "text"),
    [
        ([math.nan], 0.0, "channel 1: slope nan and offset 0.0 must be finite"),
        ([1.0, math.inf], 0.5, "channel 1: slope 1.0, inf and offset 0.5 must be finite"),
        ([1.0], -math.inf, "channel 1: slope 1.0 and offset -inf must be finite"),
    ],
)
def test_what_is_not_finite_is_refused_by_channel(slopes, offset, text):
    with pytest.raises(ModelError, match=re.escape(text)):
        fixed_point(
            np.array([[0.0] * len(slopes), slopes]).T, np.array([0.0, offset]), np.ones((len(slopes), 2), np.int64)
        )

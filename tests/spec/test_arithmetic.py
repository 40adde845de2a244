"""Integer arithmetic against Python's integers."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sterna.spec.arithmetic import MAX_SHIFT, SUM_BITS, accumulator_bounds, fits_signed, max_activation, requantise

sums = st.integers(-(1 << (SUM_BITS - 1)), (1 << (SUM_BITS - 1)) - 1)


@given(st.lists(sums, min_size=1, max_size=9), st.integers(0, MAX_SHIFT), st.integers(2, 8), st.booleans())
def test_requantise_is_floor_division_and_clamp(totals, shift, bits, rectified):
    limit = max_activation(bits)
    minimum = 0 if rectified else -limit
    result = requantise(np.array(totals), np.int64(shift), minimum, limit)
    assert result.dtype == np.int64
    assert result.tolist() == [min(max(total // 2**shift, minimum), limit) for total in totals]


def test_shifts_broadcast_over_channels():
    totals = np.array([[64, 64, 64], [-65, -65, -65]])
    assert requantise(totals, np.array([0, 3, 6]), -127, 127).tolist() == [[64, 8, 1], [-65, -9, -2]]


@pytest.mark.parametrize(("bits", "limit"), [(2, 1), (3, 3), (8, 127)])
def test_activations_are_symmetric(bits, limit):
    assert max_activation(bits) == limit
    assert fits_signed(np.array([-limit, limit]), bits)
    assert not fits_signed(np.array([limit + 1]), bits)


@given(st.integers(2, 40), st.lists(st.integers(-(2**40), 2**40), max_size=5))
def test_fits_signed_is_the_range_of_twos_complement(bits, values):
    expected = all(-(2 ** (bits - 1)) <= value < 2 ** (bits - 1) for value in values)
    assert fits_signed(np.array(values, np.int64), bits) is expected


@given(
    st.lists(st.lists(st.integers(-9, 9), min_size=3, max_size=3), min_size=1, max_size=4),
    st.integers(-4, 4),
    st.integers(0, 3),
    st.booleans(),
)
def test_accumulator_bounds_are_the_extremes_over_all_inputs_and_the_zeros_around_them(rows, low, span, padded):
    weights = np.array(rows, np.int8)
    values = sorted({*range(low, low + span + 1), *([0] if padded else [])})
    sums = np.array(list(itertools.product(values, repeat=3))) @ weights.T.astype(np.int64)
    least, most = accumulator_bounds(weights.reshape(-1, 3, 1, 1), low, low + span, (0, int(padded), 0, 0))
    assert least.dtype == most.dtype == np.int64
    assert np.array_equal(least, sums.min(axis=0))
    assert np.array_equal(most, sums.max(axis=0))

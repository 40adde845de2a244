"""Steps in real values, and the input's scale, offset and clamp from its thresholds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sterna.interop.levels import common_step, fit_input
from sterna.spec.network import InputSpec

counts = st.lists(st.integers(-121, 121), min_size=1, max_size=12)
scales = st.floats(2.0**-60, 2.0**60, width=32)


@given(counts, scales, st.booleans())
def test_the_step_of_rounded_multiples_is_found(integers: list[int], scale: float, told: bool) -> None:
    values = np.array(integers, np.float32) * np.float32(scale)
    step = common_step(values, 121, scale if told else None)
    assert step is not None
    found = np.rint(values / step)
    assert (np.abs(found) <= 121).all()
    if any(integers):
        shared = np.gcd.reduce(integers)
        assert step == pytest.approx(scale * shared, rel=1e-6)
        assert np.array_equal(found, np.array(integers) // shared)


@pytest.mark.parametrize("values", [[1.0, 1.3, 1.7112], [1.0, 122.0], [np.inf, 1.0], [np.nan, 1.0]])
def test_values_without_a_step_have_none(values: list[float]) -> None:
    assert common_step(np.array(values), 121) is None
    assert common_step(np.array(values), 121, 1.0) is None


@given(st.floats(0.7, 300), st.floats(-300, 300), st.integers(-127, 0), st.integers(1, 127))
def test_an_input_is_fitted_to_its_levels(scale: float, offset: float, low: int, high: int) -> None:
    spec = InputSpec(name="input", shape=(1, 1, 256), low=0.0, high=255.0, scale=1.0)
    levels = np.clip(np.floor((np.arange(256) - offset) / scale + 0.5), low, high).astype(np.int64)
    thresholds = offset + scale * (np.arange(low, high + 2) - 0.5)
    lines: list[tuple[float, float] | None] = [(scale, offset)]
    if np.abs(thresholds - np.rint(thresholds)).min() > 1e-6:  # else only the line itself may tell its inputs apart
        lines.append(None)
    for line in lines:
        fitted = fit_input(spec, levels, line)
        assert fitted is not None
        assert np.array_equal(fitted.quantise(np.arange(256).reshape(1, -1)).reshape(-1), levels)
        assert fitted.levels == (levels[0], levels[-1])


def test_levels_that_are_no_clamped_line_fit_nothing() -> None:
    spec = InputSpec(name="input", shape=(1, 1, 1), low=0.0, high=255.0, scale=1.0)
    assert fit_input(spec, np.repeat([0, 1, 2, 5], 64), None) is None
    assert fit_input(spec, np.repeat([0, 1, 2, 3], [10, 100, 10, 136]), None) is None

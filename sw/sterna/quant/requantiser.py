"""From real-valued slopes and offsets to the integer requantiser, with nothing lost on the way.

A layer says ``y = clip(floor(Σ_i acc_i·A_i[c] + B[c] + 1/2), low, high)`` with one slope a plane and channel and one
offset a channel, folded from BatchNorm, scales and steps. The hardware says ``y = clip((Σ_i m_i·acc_i + b) >> s, low,
high)``. :func:`fixed_point` chooses per channel one shift s for all planes, multipliers ``m_i``, the nearest to
``A_i·2^s``, and ``b = floor((B + 1/2)·2^s)``. The model that is evaluated is from then on the one with
``A_i = m_i/2^s`` and ``B + 1/2 = b/2^s``.

**Why float64 gives the integer formula, for all values.** Every product ``x·m_i/2^s`` and ``b/2^s`` is an integer times
``2^-s``, so is every partial sum, and none exceeds ``(Σ_i m_i·|acc_i| + |b|)·2^-s`` with the absolute products summed,
which is far below ``2^53·2^-s``: each is a float64, every addition is exact, in any order and with or without fused
operations, and ``floor(n/2^s)`` is ``n >> s``. No enumeration is needed, however many planes a layer has.

**What the rounding costs.** Rounding b down changes nothing: Σ m_i·acc_i is an integer n, and ``floor((n + f)/2^s) =
floor((n + floor(f))/2^s)``. Rounding slopes moves the sum by at most ``Σ_i |m_i/2^s - A_i|·max|acc_i|`` steps of the
output, which export reports; for layers of one plane it also counts the accumulator values whose output changed.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sterna.spec.arithmetic import MAX_MULTIPLIER, MAX_SHIFT, SUM_BITS, SUM_LIMIT, Float64, Int64
from sterna.spec.errors import ModelError


@dataclass(frozen=True, kw_only=True, eq=False)
class FixedPoint:
    """Requantisers of a layer's channels."""

    multiplier: Int64
    """(planes, out); negative where the slope is: export turns the trits' signs instead."""
    bias: Int64
    """(out,), the rounding constant in it."""
    shift: Int64
    """(out,)."""

    @property
    def slope(self) -> Float64:
        """``m/2^s``, exact: (planes, out)."""
        exact: Float64 = np.ldexp(self.multiplier.astype(np.float64), -self.shift)
        return exact

    @property
    def offset(self) -> Float64:
        """``b/2^s``, exact, the half for rounding in it: (out,)."""
        exact: Float64 = np.ldexp(self.bias.astype(np.float64), -self.shift)
        return exact


def fixed_point(slopes: Float64, offset: Float64, extremes: Int64) -> FixedPoint:
    """Multipliers, biases and shifts: the largest shift at which multipliers fit 16 bits and all sums 34.

    ``slopes``: (planes, out), in output steps, of either sign. ``offset``: (out,). ``extremes``: (planes, out), largest
    magnitudes of the accumulators. A channel whose sums would not even fit unshifted, which is to say one that
    saturates nearly everywhere, gets the steepest slopes of the same proportions that fit.
    Raises :class:`ModelError` naming the first channel with a value that is not finite.
    """
    for c in np.flatnonzero(~(np.isfinite(slopes).all(axis=0) & np.isfinite(offset))):
        listed = ", ".join(str(slope) for slope in slopes[:, c].tolist())
        raise ModelError(f"channel {c}: slope {listed} and offset {offset[c]} must be finite")
    magnitude = np.abs(slopes)
    with np.errstate(over="ignore"):
        spread = (magnitude * extremes).sum(axis=0) + np.abs(offset) + 1
    fitting = np.minimum(1.0, SUM_LIMIT / 2 / spread)
    magnitude, wanted = magnitude * fitting, offset * fitting
    with np.errstate(divide="ignore"):
        for_multiplier = np.floor(np.log2(MAX_MULTIPLIER) - np.log2(magnitude.max(axis=0)))
    for_sum = np.floor(SUM_BITS - 1 - np.log2(spread * fitting))
    shift = np.clip(np.minimum(for_multiplier, for_sum), 0, MAX_SHIFT).astype(np.int64)
    while True:
        rounded = np.minimum(np.floor(np.ldexp(magnitude, shift) + 0.5), MAX_MULTIPLIER).astype(np.int64)
        bias = np.floor(np.ldexp(wanted + 0.5, shift)).astype(np.int64)
        beyond = (rounded * extremes).sum(axis=0) + np.abs(bias) >= SUM_LIMIT  # rounding up may just exceed it
        if not beyond.any():
            return FixedPoint(multiplier=np.where(slopes < 0, -rounded, rounded), bias=bias, shift=shift)
        shift = shift - beyond


def smallest_reaching(values: Callable[[Int64], Int64], lowest: Int64, highest: Int64, levels: Int64) -> Int64:
    """Thresholds of rising functions, one a channel.

    ``values``: from accumulators (out, levels) to outputs of the same shape. ``lowest``, ``highest``: (out,), what is
    reachable. Returns int64 (out, levels): the smallest reachable accumulator whose output is that level or more,
    ``highest + 1`` where none is. Two rising functions are the same everywhere if their thresholds are.
    """
    low = np.repeat(lowest[:, np.newaxis], len(levels), axis=1)
    high = np.repeat(highest[:, np.newaxis] + 1, len(levels), axis=1)
    while (low < high).any():
        middle = (low + high) // 2
        reached = (values(middle) >= levels) & (low < high)
        high = np.where(reached, middle, high)
        low = np.where(reached | (low >= high), low, middle + 1)
    return low

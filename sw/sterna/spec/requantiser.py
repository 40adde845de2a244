"""From a real-valued affine map per channel to the integer requantiser, with the proof that both are the same.

The model says ``y = clip(floor(acc·A + B + 1/2), low, high)`` with A and B float64, folded from BatchNorm, scales and
steps. The hardware says ``y = clip((m·acc + b) >> s, low, high)`` with m of 16 unsigned bits and sums of 34 bits. Both
rise with ``acc`` (a negative slope is folded into the trits beforehand), so each is known by its thresholds: the
smallest accumulator ``t_y`` that reaches y. They are the same on every reachable accumulator if and only if

    m·t_y + b ≥ y·2^s    and    m·(t_y - 1) + b < y·2^s    for every y,

which for given m and s is one interval of b. :func:`fit_channel` looks for an (m, s) whose interval is not empty,
then compares both functions on every reachable value, one by one, and counts. The real function need not be that
affine one: any rising function can be given by its values. :func:`convert_channel` gives those of a slope and offset.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sterna.spec.arithmetic import MAX_SHIFT, MULTIPLIER_BITS, SUM_BITS, requantise
from sterna.spec.errors import ModelError

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

MAX_MULTIPLIER = (1 << MULTIPLIER_BITS) - 1
MAX_REACHABLE = 1 << 26
"""Most accumulator values of one channel that are compared; hardware accumulators have at most 24 bits."""

_LIMIT = 1 << (SUM_BITS - 1)


def requantise_real(
    accumulators: npt.NDArray[np.int64], slope: float, offset: float, minimum: int, maximum: int
) -> Int64:
    """``clip(floor(acc·slope + offset + 1/2), minimum, maximum)`` in float64; the order of operations counts."""
    with np.errstate(over="ignore"):  # infinity is clamped like any other
        real = np.floor(accumulators.astype(np.float64) * slope + offset + 0.5)
    return np.clip(real, minimum, maximum).astype(np.int64)


def reachable(trits: npt.NDArray[np.integer], low: int, high: int) -> tuple[Int64, Int64]:
    """Bounds of each channel's accumulator.

    ``trits``: (out, positions), -1, 0, 1. ``low``, ``high``: bounds of the source's integers.
    Returns int64 (out,) twice: smallest and largest; every integer between them counts as reachable.
    """
    plus = np.count_nonzero(trits > 0, axis=1)
    minus = np.count_nonzero(trits < 0, axis=1)
    return plus * low - minus * high, plus * high - minus * low


def round_slopes(slope: Float64, offset: Float64, lowest: Int64, highest: Int64) -> Float64:
    """Rounds slopes to ``±m / 2**s`` with the largest s at which m fits its 16 bits and every sum its 34.

    All float64 or int64 (out,); ``lowest`` and ``highest`` bound the accumulators. Returns float64 (out,), exact. A
    channel that is not finite is left as it is.
    """
    finite = np.isfinite(slope) & np.isfinite(offset)
    magnitude = np.abs(np.where(finite, slope, 0.0))
    extreme = np.maximum(np.abs(lowest), np.abs(highest))
    with np.errstate(over="ignore"):
        spread = magnitude * extreme + np.abs(np.where(finite, offset, 0.0)) + 1.0
    with np.errstate(divide="ignore"):
        for_multiplier = np.floor(np.log2(MAX_MULTIPLIER) - np.log2(magnitude))
    for_sum = np.floor(SUM_BITS - 1 - np.log2(spread))
    shift = np.clip(np.minimum(for_multiplier, for_sum), 0, MAX_SHIFT)
    multiplier = np.minimum(np.floor(np.ldexp(magnitude, shift.astype(np.int64)) + 0.5), MAX_MULTIPLIER)
    rounded = np.copysign(np.ldexp(multiplier, -shift.astype(np.int64)), slope)
    return np.where(finite, rounded, slope)


@dataclass(frozen=True, kw_only=True)
class Channel:
    """Integer requantiser of one channel, and what its proof found."""

    multiplier: int
    bias: int
    shift: int
    compared: int
    """Reachable accumulator values, each compared."""
    differing: int
    """How many of them the integer requantiser maps to another value than the real one."""


@dataclass(frozen=True, eq=False)
class _Bounds:
    """Points that ``m·acc + b`` has to reach, and points that it has to stay below; all int64, values in steps."""

    reach: Int64
    reach_value: Int64
    below: Int64
    below_value: Int64
    lowest: int
    highest: int

    def interval(self, multiplier: int, shift: int) -> tuple[int, int]:
        """Smallest and largest b that meets all of them and keeps sums within their width; empty if reversed."""
        smallest = int((self.reach_value * (1 << shift) - multiplier * self.reach).max())
        largest = int((self.below_value * (1 << shift) - multiplier * self.below).min()) - 1
        return (
            max(smallest, -_LIMIT, -_LIMIT - multiplier * self.lowest),
            min(largest, _LIMIT - 1, _LIMIT - 1 - multiplier * self.highest),
        )

    def slopes(self) -> tuple[float, float]:
        """Between which real slopes a line can meet all of them: every reached point against every later one."""
        rise = np.subtract.outer(self.below_value, self.reach_value).astype(np.float64)
        run = np.subtract.outer(self.below, self.reach).astype(np.float64)
        later, earlier = run > 0, run < 0
        largest = float((rise[later] / run[later]).min(initial=np.inf))
        smallest = float((rise[earlier] / run[earlier]).max(initial=0.0))
        return smallest, largest


def _bounds(values: Int64, lowest: int, minimum: int, maximum: int) -> _Bounds:
    """Thresholds of a rising function given by its ``values`` from ``lowest`` on."""
    first, last = int(values[0]), int(values[-1])
    highest = lowest + len(values) - 1
    levels = np.arange(first + 1, last + 1)
    thresholds = lowest + np.searchsorted(values, levels, side="left")
    at_start = [(lowest, first)] if first > minimum else []
    at_end = [(highest, last + 1)] if last < maximum else []
    return _Bounds(
        reach=np.array([p for p, _ in at_start] + thresholds.tolist(), np.int64),
        reach_value=np.array([v for _, v in at_start] + levels.tolist(), np.int64),
        below=np.array((thresholds - 1).tolist() + [p for p, _ in at_end], np.int64),
        below_value=np.array(levels.tolist() + [v for _, v in at_end], np.int64),
        lowest=lowest,
        highest=highest,
    )


def _near(slope: float, most: int) -> Iterator[tuple[int, int]]:
    """Multipliers, at most ``most``, next to ``slope``, finest first: (m, s)."""
    for shift in range(MAX_SHIFT, -1, -1):
        nearest = int(min(slope * 2.0**shift + 0.5, 2.0**SUM_BITS))
        for multiplier in (nearest, nearest - 1, nearest + 1):
            if 0 < multiplier <= most:
                yield multiplier, shift


def _between(smallest: float, largest: float, most: int) -> Iterator[tuple[int, int]]:
    """Multipliers, at most ``most``, spread over a range of slopes, finest first: (m, s)."""
    for shift in range(MAX_SHIFT, -1, -1):
        first = int(min(max(np.ceil(smallest * 2.0**shift), 1.0), most + 1.0))
        last = int(min(np.floor(min(largest, 2.0**SUM_BITS) * 2.0**shift), most))
        if first <= last:
            for multiplier in sorted(set(np.linspace(first, last, 9).astype(np.int64).tolist())):
                yield multiplier, shift


def _closest(bounds: _Bounds, slope: float, offset: float, most: int) -> tuple[int, int, int]:
    """The finest (m, b, s) near the slope whose sums fit, where no exact one exists."""
    for multiplier, shift in [*_near(slope, most), (most, 0), (1, 0), (0, 0)]:
        wanted = float(np.clip(np.floor(np.ldexp(offset + 0.5, shift)), -_LIMIT, _LIMIT - 1))
        low = max(-_LIMIT, -_LIMIT - multiplier * bounds.lowest)
        high = min(_LIMIT - 1, _LIMIT - 1 - multiplier * bounds.highest)
        if low <= high:
            return multiplier, min(max(int(wanted), low), high), shift
    raise AssertionError("m = 0 fits always")


def convert_channel(slope: float, offset: float, lowest: int, highest: int, minimum: int, maximum: int) -> Channel:
    """The integer requantiser of one channel, proved on every reachable accumulator.

    ``slope``: not negative, finite, like ``offset``, in output steps. ``lowest … highest``: reachable accumulators.
    ``minimum … maximum``: clamp. Raises :class:`ModelError` for values that are not finite and for a range that is too
    long to be compared.
    """
    if not (np.isfinite(slope) and np.isfinite(offset) and slope >= 0):
        raise ModelError(f"slope {slope!r} and offset {offset!r} must be finite, the slope not negative")
    if highest - lowest >= MAX_REACHABLE:
        raise ModelError(f"accumulator reaches {lowest}…{highest}; at most {MAX_REACHABLE} values can be compared")
    accumulators = np.arange(lowest, highest + 1)
    wanted = requantise_real(accumulators, slope, offset, minimum, maximum)
    return fit_channel(wanted, lowest, minimum, maximum, line=(slope, offset))


def fit_channel(
    wanted: Int64,
    lowest: int,
    minimum: int,
    maximum: int,
    *,
    line: tuple[float, float] | None = None,
    most: int | None = None,
) -> Channel:
    """The integer requantiser that gives ``wanted``, proved on every reachable accumulator.

    ``wanted``: int64 (n,), never falling, within ``minimum … maximum``: the values for the accumulators from ``lowest``
    on. ``line``: slope and offset that they come from, if they do. ``most``: largest multiplier allowed. What no
    multiplier, shift and bias can give is counted in ``differing``.
    """
    most = MAX_MULTIPLIER if most is None else most
    if wanted[0] == wanted[-1]:
        multiplier, bias, shift = 0, int(wanted[0]), 0
    else:
        bounds = _bounds(wanted, lowest, minimum, maximum)
        multiplier, bias, shift = _search(bounds, line or _line(bounds), most)
    accumulators = np.arange(lowest, lowest + len(wanted))
    given = requantise(multiplier * accumulators + bias, np.array(shift), minimum, maximum)
    differing = int(np.count_nonzero(given != wanted))
    return Channel(multiplier=multiplier, bias=bias, shift=shift, compared=len(wanted), differing=differing)


def _line(bounds: _Bounds) -> tuple[float, float]:
    """A line through the middle of the thresholds: slope and offset."""
    smallest, largest = bounds.slopes()
    slope = (smallest + largest) / 2 if np.isfinite(largest) else max(2 * smallest, 1.0)
    above = (bounds.reach_value - slope * bounds.reach).max(initial=-np.inf)
    below = (bounds.below_value - slope * bounds.below).min(initial=np.inf)
    return slope, (above + below) / 2 - 0.5


def _search(bounds: _Bounds, line: tuple[float, float], most: int) -> tuple[int, int, int]:
    slope, offset = line

    def candidates() -> Iterator[tuple[int, int]]:
        yield from _near(slope, most)
        yield from _between(*bounds.slopes(), most)

    for multiplier, shift in candidates():
        smallest, largest = bounds.interval(multiplier, shift)
        if smallest <= largest:
            rounded = float(np.clip(np.floor(np.ldexp(offset + 0.5, shift)), -_LIMIT, _LIMIT - 1))
            return multiplier, min(max(int(rounded), smallest), largest), shift
    return _closest(bounds, slope, offset, most)

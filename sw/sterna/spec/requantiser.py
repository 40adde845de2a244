"""From a rising function to an integer requantiser, with the proof that both are the same.

A channel's outputs are given for every reachable accumulator; they never fall. The hardware says
``y = clip((m·acc + b) >> s, low, high)`` with m of 16 unsigned bits and sums of 34 bits (a negative slope is folded
into the trits beforehand). Both rise with ``acc``, so each is known by its thresholds: the smallest accumulator ``t_y``
that reaches y. They are the same on every reachable accumulator if and only if

    m·t_y + b ≥ y·2^s    and    m·(t_y - 1) + b < y·2^s    for every y,

which for given m and s is one interval of b. :func:`fit_channel` looks for an (m, s) whose interval is not empty, then
compares both functions on every reachable value, one by one, and counts.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sterna.spec.arithmetic import MAX_MULTIPLIER, MAX_SHIFT, SUM_BITS, SUM_LIMIT, Int64, requantise


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
            max(smallest, -SUM_LIMIT, -SUM_LIMIT - multiplier * self.lowest),
            min(largest, SUM_LIMIT - 1, SUM_LIMIT - 1 - multiplier * self.highest),
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
        wanted = float(np.clip(np.floor(np.ldexp(offset + 0.5, shift)), -SUM_LIMIT, SUM_LIMIT - 1))
        low = max(-SUM_LIMIT, -SUM_LIMIT - multiplier * bounds.lowest)
        high = min(SUM_LIMIT - 1, SUM_LIMIT - 1 - multiplier * bounds.highest)
        if low <= high:
            return multiplier, min(max(int(wanted), low), high), shift
    raise AssertionError("m = 0 fits always")


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
            rounded = float(np.clip(np.floor(np.ldexp(offset + 0.5, shift)), -SUM_LIMIT, SUM_LIMIT - 1))
            return multiplier, min(max(int(rounded), smallest), largest), shift
    return _closest(bounds, slope, offset, most)

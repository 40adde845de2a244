"""Finding integers in real values: values that are multiples of one step, and an input's thresholds.

Graphs keep quantised numbers as floats. Where the graph names the step (the scale of its last quantiser) that is used;
else the largest step is searched of which all values are whole multiples, but for one rounding each.
"""

import dataclasses

import numpy as np

from sterna.interop.operators import Array
from sterna.spec.arithmetic import Int64
from sterna.spec.network import UNCLAMPED, InputSpec

ROUNDING = 2.0**-22
"""Relative error that a product of a step and an integer may have from its rounding to float32, twice over."""


def common_step(values: Array, most: int, known: float | None = None) -> float | None:
    """The largest step of which all values are integer multiples, at most ``most`` of them; None if there is none.

    ``values``: real, any shape. ``known``: a step of which the result is a multiple.
    """
    sizes = np.unique(np.abs(np.asarray(values, np.float64)))
    if not np.isfinite(sizes).all():
        return None
    sizes = sizes[sizes > 0]
    if not sizes.size:
        return known or 1.0
    if known is not None:
        counts = np.rint(sizes / known)
        if counts.max() < 1 << 53 and _fits(sizes, counts, known):
            shared = int(np.gcd.reduce(counts.astype(np.int64)))
            return known * shared if counts.max() / shared <= most else None
    gaps = np.diff(sizes, prepend=0.0)
    gap = gaps[gaps > 1e-5 * sizes[-1]].min()  # smaller ones are one value, rounded differently
    for part in range(1, most + 1):
        counts = np.rint(sizes * part / gap)
        if counts[-1] > most:
            return None
        refined = float((counts @ sizes) / (counts @ counts))
        if _fits(sizes, counts, refined):
            return refined
    return None


def _fits(sizes: Array, counts: Array, step: float) -> bool:
    return bool((np.abs(sizes - counts * step) <= ROUNDING * sizes).all())


def fit_input(spec: InputSpec, levels: Int64, line: tuple[float, float] | None) -> InputSpec | None:
    """An input that quantises every integer of ``low … high`` to its entry of ``levels``; None if there is none.

    ``levels``: int64 (high - low + 1,), never falling. ``line``: a scale and offset to try first. The scale and offset
    of ``spec`` do not count.
    """
    first, last = int(spec.low), int(spec.high)
    inputs = np.arange(first, last + 1)
    ends = (int(levels[0]), int(levels[-1]))
    for low, high in ((-UNCLAMPED, UNCLAMPED), ends):
        for scale, offset in [*([line] if line else []), _line(first, last, levels, clamped=(low, high) == ends)]:
            if np.isfinite([scale, offset]).all() and scale > 0:
                found = dataclasses.replace(spec, scale=scale, offset=offset, minimum=low, maximum=high)
                given = np.floor((inputs - offset) / scale + 0.5)
                if np.array_equal(np.clip(given, found.minimum, found.maximum), levels):
                    return found
    return None


def _line(first: int, last: int, levels: Int64, *, clamped: bool) -> tuple[float, float]:
    """The scale and offset with the most room on both sides of every threshold; of a clamped line, of those between
    levels that occur."""
    low, high = int(levels[0]), int(levels[-1])
    if low == high:
        scale = 2.0 * (last - first + 1)
        return scale, (first + last) / 2 - low * scale
    rises = np.arange(low + 1, high + 1)
    at = first + np.searchsorted(levels, rises)  # the smallest input of each level
    # The threshold offset + scale·(level - 1/2) lies above `at - 1`, and not above `at`; the first level's not above
    # the first input, and that after the last above the last input.
    above_level, above = np.append(rises, high + 1) - 0.5, np.append(at - 1, last).astype(np.float64)
    below_level, below = np.append(rises, low) - 0.5, np.append(at, first).astype(np.float64)
    if clamped:
        above_level, above, below_level, below = above_level[:-1], above[:-1], below_level[:-1], below[:-1]

    def room(scale: float) -> tuple[float, float]:
        least, most = (above - scale * above_level).max(), (below - scale * below_level).min()
        return float(most - least), float(most + least) / 2

    small, large = 1e-9, 4.0 * (last - first + 1)
    for _ in range(200):  # the room is a concave function of the scale
        third = (large - small) / 3
        if room(small + third)[0] < room(large - third)[0]:
            small += third
        else:
            large -= third
    scale = (small + large) / 2
    return scale, room(scale)[1]

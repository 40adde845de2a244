"""Numbers of settings, told from what only looks like one: text, truth values, infinities and NaN."""

import math

MAX_SEED = (1 << 63) - 1
"""What the generators of torch take."""


def is_whole(value: object) -> bool:
    """Whether it is an ``int``; ``True`` is none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_count(value: object) -> bool:
    """Whether it is an ``int`` of 1 or more."""
    return isinstance(value, int) and is_whole(value) and value >= 1


def is_number(value: object) -> bool:
    """Whether it is an ``int`` or ``float``, and finite as a ``float``."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False

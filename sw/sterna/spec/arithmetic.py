"""Integer arithmetic of a layer: ``y = clamp((Σ_i m_i·acc_i + b) >> s)``, the same in NumPy and in gateware.

Activations are signed and symmetric, ``|x| ≤ 2**(bits-1) - 1``, so that ``-x`` is an activation too and two bits are
a ternary activation. Sums are exact: a compiler bounds every channel from its actual weights and refuses what would not
fit. The shift is arithmetic (floor); rounding to nearest is a constant in ``b``.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

MULTIPLIER_BITS = 16
"""Multipliers ``m`` are unsigned: a negative slope is folded into the sign of its channel's trits."""
SUM_BITS = 34
"""Signed width of ``Σ m·acc`` and of ``b``; partial sums may wrap, the whole sum must fit."""
SHIFT_BITS = 6
MAX_SHIFT = SUM_BITS - 1
MAX_MULTIPLIER = (1 << MULTIPLIER_BITS) - 1
SUM_LIMIT = 1 << (SUM_BITS - 1)
"""Sums and biases lie in ``-SUM_LIMIT … SUM_LIMIT - 1``."""

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]


def max_activation(bits: int) -> int:
    """Largest magnitude of an activation of ``bits`` bits: 1 for 2 bits, 127 for 8."""
    return (1 << (bits - 1)) - 1


def fits_signed(values: npt.NDArray[Any], bits: int) -> bool:
    """Whether every element is a two's complement number of ``bits`` bits."""
    limit = 1 << (bits - 1)
    return bool(((values >= -limit) & (values < limit)).all())


def accumulator_bounds(
    weights: npt.NDArray[np.integer], low: int, high: int, padding: tuple[int, ...]
) -> tuple[Int64, Int64]:
    """Smallest and largest sum of products of each output, each of which some input reaches.

    ``weights``: (out, …), integers. ``low``, ``high``: bounds of the source's values. ``padding``: zeros around it,
    which count as values if there are any. Returns int64 (out,) twice.
    """
    if any(padding):
        low, high = min(low, 0), max(high, 0)
    flat = weights.reshape(len(weights), -1)
    positive = np.maximum(flat, 0).sum(axis=1, dtype=np.int64)
    negative = np.minimum(flat, 0).sum(axis=1, dtype=np.int64)
    return positive * low + negative * high, positive * high + negative * low


def requantise(total: Int64, shift: Int64, minimum: int, maximum: int) -> Int64:
    """``clamp(total >> shift, minimum, maximum)``; int64 in, int64 out; ``shift`` broadcasts over ``total``."""
    clamped: Int64 = np.clip(total >> shift, minimum, maximum)
    return clamped

"""Windows of sensors' rows as images for anomaly detection."""

import numpy as np
import numpy.typing as npt

STEPS = 127
"""Integers either side of the mean."""
SPREAD = 6.0
"""Standard deviations that :data:`STEPS` stand for; what is further away is cut off."""
LEAST = 1e-6
"""Smallest standard deviation that is divided by: that of a sensor which never changes."""


def standardised(
    rows: npt.NDArray[np.float64], reference: npt.NDArray[np.float64], least: npt.NDArray[np.float64]
) -> npt.NDArray[np.int8]:
    """Rows in standard deviations of reference rows, :data:`STEPS` for :data:`SPREAD` of them.

    ``rows``: (n, sensors). ``reference``: (m, sensors). ``least``: (sensors,), smallest standard deviation that is
    believed. Returns int8 of the rows' shape.
    """
    spread = np.maximum(np.maximum(reference.std(axis=0), least), LEAST)
    steps = np.floor((rows - reference.mean(axis=0)) / spread * (STEPS / SPREAD) + 0.5)
    levels: npt.NDArray[np.int8] = np.clip(steps, -STEPS, STEPS).astype(np.int8)
    return levels


def windows(rows: npt.NDArray[np.int8], length: int, stride: int) -> npt.NDArray[np.int8]:
    """All windows of ``length`` rows, each ``stride`` after the last: int8 (n, length, sensors, 1)."""
    seen = np.lib.stride_tricks.sliding_window_view(rows, length, axis=0)[::stride]
    return np.ascontiguousarray(seen.transpose(0, 2, 1)[..., np.newaxis])


def any_within(flags: npt.NDArray[np.bool_], length: int, stride: int) -> npt.NDArray[np.int64]:
    """1 for each window with any flag set: int64 (n,)."""
    seen: npt.NDArray[np.bool_] = np.lib.stride_tricks.sliding_window_view(flags, length)[::stride]
    return np.asarray(seen.any(axis=1), np.int64)

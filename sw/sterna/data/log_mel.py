"""Log-mel features of speech: energy over time and pitch, as an image of bytes (mel scale: Stevens 1937)."""

import numpy as np
import numpy.typing as npt

RATE = 8000
"""Samples a second."""
SAMPLES = 8000
"""Of a clip: a second."""
FRAME = 256
HOP = 160
FRAMES = 1 + (SAMPLES - FRAME) // HOP
BANDS = 16
RANGE = 60.0
"""Decibels below the loudest value of a clip that count; quieter is 0."""
STEPS = 127
"""Of the loudest value."""


def fitted(samples: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
    """The clip at :data:`SAMPLES` samples: the middle of a longer one; a shorter one between equally many zeros."""
    spare = len(samples) - SAMPLES
    if spare >= 0:
        return samples[spare // 2 : spare // 2 + SAMPLES]
    return np.pad(samples, (-spare // 2, -spare - -spare // 2))


def mel_filters() -> npt.NDArray[np.float64]:
    """Triangles of the same width on the mel scale, overlapping by half: (bands, frame / 2 + 1)."""
    top = 2595 * np.log10(1 + RATE / 2 / 700)
    centres = 700 * (10 ** (np.linspace(0, top, BANDS + 2) / 2595) - 1)
    left, middle, right = (centres[i : BANDS + i, np.newaxis] for i in range(3))
    hertz = np.arange(FRAME // 2 + 1) * RATE / FRAME
    rising, falling = (hertz - left) / (middle - left), (right - hertz) / (right - middle)
    filters: npt.NDArray[np.float64] = np.maximum(0, np.minimum(rising, falling))
    return filters


_FILTERS = mel_filters()
_WINDOW = np.hanning(FRAME)


def log_mel(samples: npt.NDArray[np.int16]) -> npt.NDArray[np.uint8]:
    """Features of a clip.

    ``samples``: int16 (n,) at :data:`RATE`, cut or padded by :func:`fitted`. Returns uint8 (frames, bands, 1): 127 for
    the loudest value, 0 for what is :data:`RANGE` quieter, so that silence is zeros.
    """
    clip = fitted(samples).astype(np.float64)
    frames = np.lib.stride_tricks.sliding_window_view(clip, FRAME)[::HOP] * _WINDOW
    energy = np.abs(np.fft.rfft(frames, axis=1)) ** 2 @ _FILTERS.T
    loudest = energy.max()
    if loudest <= 0:
        return np.zeros((FRAMES, BANDS, 1), np.uint8)
    decibels = 10 * np.log10(np.maximum(energy / loudest, 10 ** (-RANGE / 10)))
    levels: npt.NDArray[np.uint8] = np.floor((1 + decibels / RANGE) * STEPS + 0.5).astype(np.uint8)
    return levels[..., np.newaxis]

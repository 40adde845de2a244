"""IDX, the file format of MNIST: a big-endian header (type, axes, extent of each axis), then the bytes."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sterna.spec.errors import DataError

MAX_BYTES = 1 << 28
"""Largest array that is read: 256 MiB; MNIST's largest is 45 MiB."""

_UNSIGNED_BYTE = 0x08


def parse_idx(content: bytes, axes: int) -> npt.NDArray[np.uint8]:
    """Parses an IDX array of unsigned bytes.

    ``content``: header and data. ``axes``: how many axes it must have.
    Returns uint8 of the shape in the header. Raises :class:`DataError` for another type, another number of axes, or
    more or fewer bytes than the header announces.
    """
    header = 4 + 4 * axes
    if len(content) < header:
        raise DataError(f"IDX header needs {header} bytes, the file has {len(content)}")
    magic = (_UNSIGNED_BYTE << 8) | axes
    found: int
    found, *extents = struct.unpack_from(f">{1 + axes}I", content)
    if found != magic:
        raise DataError(f"IDX magic is 0x{found:08x}; expected 0x{magic:08x}: unsigned bytes on {axes} axes")
    if len(content) - header != math.prod(extents):
        shape = "×".join(map(str, extents))
        raise DataError(f"IDX header announces {shape} bytes, the file holds {len(content) - header}")
    return np.frombuffer(content, np.uint8, offset=header).reshape(extents).copy()  # torch wants it writable


def read_idx(path: Path, axes: int) -> npt.NDArray[np.uint8]:
    """Reads a gzipped IDX file, see :func:`parse_idx`. Raises :class:`DataError` naming the file."""
    try:
        with gzip.open(path) as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise DataError(f"holds more than {MAX_BYTES} bytes")
        return parse_idx(content, axes)
    except (OSError, EOFError, zlib.error, DataError) as error:
        raise DataError(f"{path}: {error}") from error

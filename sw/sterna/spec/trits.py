"""Trit codes: ``trit2`` for the lanes, ``trit5`` for files; weight memories hold either.

``trit2`` is two's complement: ``00`` = 0, ``01`` = +1, ``11`` = -1, and ``10`` is illegal. Trit k lies at bits
``2k+1 … 2k``; four make a byte.

``trit5`` puts five trits into a byte (1.6 bits each, of log2 3 = 1.585), in a code made for four-input look-up tables:

* Bits 4…0 say the first three trits, by the table ``TRIPLES``: 27 of 32 values are used. Each of the six bits of its
  ``trit2`` output depends on four of the five bits only, so it costs one LUT4.
* Bits 7…5 say the last two trits, by the table ``PAIRS``: eight of its nine pairs.
* ``TRIPLES`` leaves unused all values whose upper three bits are ones. A byte whose bits 4…2 are ones therefore is
  an *escape*: its pair is the ninth, and bits 7…5 take the place of bits 4…2 in the look-up of the triple.

A decoder is thus an AND (the escape), three multiplexers and ten tables of four inputs: 14 LUT4, against 98 to 117 for
a base-3 table. Byte 0 is five zeros, and the 13 unused bytes decode to the illegal ``trit2`` code in the third trit.
"""

from enum import StrEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sterna.spec.errors import IllegalTritError

Trits = npt.NDArray[np.int8]
Packed = npt.NDArray[np.uint8]

TRIT2: Final = {0: 0b00, 1: 0b01, -1: 0b11}
"""The ``trit2`` code of each trit."""
TRIT2_ILLEGAL: Final = 0b10

TRITS_PER_BYTE2: Final = 4
TRITS_PER_BYTE5: Final = 5


class TritCode(StrEnum):
    """How trits lie in bytes."""

    TRIT2 = "trit2"
    """Four a byte."""
    TRIT5 = "trit5"
    """Five a byte."""

    @property
    def trits_per_byte(self) -> int:
        """4 or 5."""
        return TRITS_PER_BYTE2 if self is TritCode.TRIT2 else TRITS_PER_BYTE5

    def pack(self, trits: npt.NDArray[Any]) -> Packed:
        """:func:`pack_trit2` or :func:`pack_trit5`."""
        return pack_trit2(trits) if self is TritCode.TRIT2 else pack_trit5(trits)

    def unpack(self, packed: Packed, count: int) -> Trits:
        """:func:`unpack_trit2` or :func:`unpack_trit5`."""
        return unpack_trit2(packed, count) if self is TritCode.TRIT2 else unpack_trit5(packed, count)


_SIGNS: Final = {"0": TRIT2[0], "+": TRIT2[1], "-": TRIT2[-1], "x": TRIT2_ILLEGAL}


def _codes(per_word: int, names: str) -> tuple[int, ...]:
    """``trit2`` words of groups of signs, first trit lowest."""
    return tuple(sum(_SIGNS[sign] << 2 * k for k, sign in enumerate(word[:per_word])) for word in names.split())


# Found by a satisfiability search for six functions of four inputs each; of what it gave, the cheapest decoder.
TRIPLES: Final = _codes(
    3,
    "000 0-x 0-+ 0+- -0- --+ +0- -++ "
    "+00 ++0 +-+ +++ -+0 --0 +-0 -00 "
    "00- 0-- +-- ++- -0+ --- +0+ -+- "
    "00+ 0++ 0-0 0+0 -+x --x +-x -0x",
)
"""Three ``trit2`` codes (6 bits) for each 5-bit value; ``x`` marks the unused values, in the third trit."""
PAIRS: Final = _codes(2, "00 +0 -0 0+ ++ -+ 0- +- --")
"""Two ``trit2`` codes (4 bits) for each 3-bit value, and for the escape, the last."""
ESCAPE: Final = 0b111
"""Bits 4…2 of an escape."""


def trit5_word(byte: int) -> int:
    """The five ``trit2`` codes (10 bits) of a ``trit5`` byte; an unused byte has ``TRIT2_ILLEGAL`` as its third."""
    upper, middle, lower = byte >> 5, byte >> 2 & 0b111, byte & 0b11
    escaped = middle == ESCAPE
    return TRIPLES[(upper if escaped else middle) << 2 | lower] | PAIRS[8 if escaped else upper] << 6


def _trits_of(word: int, count: int) -> list[int]:
    """The trits of ``count`` two's complement codes; -2 for the illegal one."""
    return [((word >> 2 * k & 0b11) ^ 0b10) - 0b10 for k in range(count)]


_BYTES2 = np.array([_trits_of(byte, 4) for byte in range(256)], np.int8)
_BYTES5 = np.array([_trits_of(trit5_word(byte), 5) for byte in range(256)], np.int8)
_LEGAL2 = np.asarray((_BYTES2 >= -1).all(axis=1))
_LEGAL5 = np.asarray((_BYTES5 >= -1).all(axis=1))
_POWERS = 3 ** np.arange(5, dtype=np.int8)
# Indexed by the balanced base-3 value -121…121, seen as an unsigned byte.
_CODE5 = np.zeros(256, np.uint8)
_CODE5[(_BYTES5[_LEGAL5] @ _POWERS).view(np.uint8)] = np.flatnonzero(_LEGAL5)

_GATHER2 = np.uint32(1 << 24 | 1 << 18 | 1 << 12 | 1 << 6)
"""Times four bytes of two bits: brings them side by side in the upper byte."""
_RUN = 1 << 16
"""Packed bytes worked on at a time, so that temporaries stay in the cache."""


def pack_trit2(trits: npt.NDArray[Any]) -> Packed:
    """``trit2`` bytes, uint8 (⌈size / 4⌉,), of integer ``trits`` of any shape in C order, filled up with zeros.

    Raises :class:`IllegalTritError` for a value outside -1…1.
    """
    flat = _filled(trits, TRITS_PER_BYTE2)
    packed = np.empty(flat.size // TRITS_PER_BYTE2, np.uint8)
    quads = flat.view("<u4")
    for at in range(0, packed.size, _RUN):
        part = quads[at : at + _RUN] & np.uint32(0x03030303)
        part *= _GATHER2
        part >>= np.uint32(24)
        packed[at : at + _RUN] = part
    return packed


def unpack_trit2(packed: Packed, count: int) -> Trits:
    """Inverse of :func:`pack_trit2`: int8 (count,).

    Raises :class:`IllegalTritError` for an illegal code, a length that does not go with ``count``, or a last byte
    that is not filled with zeros.
    """
    return _unpack(packed, count, "trit2", _BYTES2, _LEGAL2)


def pack_trit5(trits: npt.NDArray[Any]) -> Packed:
    """``trit5`` bytes, uint8 (⌈size / 5⌉,), of integer ``trits`` of any shape in C order, filled up with zeros.

    Raises :class:`IllegalTritError` for a value outside -1…1.
    """
    groups = _filled(trits, TRITS_PER_BYTE5).reshape(-1, TRITS_PER_BYTE5)
    packed = np.empty(len(groups), np.uint8)
    for at in range(0, packed.size, _RUN):
        part = groups[at : at + _RUN]
        value = part[:, 4] * np.int8(3)
        for k in (3, 2, 1):
            value += part[:, k]
            value *= np.int8(3)
        value += part[:, 0]
        np.take(_CODE5, value.view(np.uint8), out=packed[at : at + _RUN], mode="clip")
    return packed


def unpack_trit5(packed: Packed, count: int) -> Trits:
    """Inverse of :func:`pack_trit5`: int8 (count,).

    Raises :class:`IllegalTritError` for an unused byte, a length that does not go with ``count``, or a last byte that
    is not filled with zeros.
    """
    return _unpack(packed, count, "trit5", _BYTES5, _LEGAL5)


def _filled(trits: npt.NDArray[Any], group: int) -> Trits:
    """Contiguous int8 trits, filled up with zeros to whole groups."""
    array = np.asarray(trits)
    if array.dtype.kind not in "iu":
        raise IllegalTritError(f"trits have dtype {array.dtype}; allowed: integers")
    narrow = np.ascontiguousarray(array, np.int8).reshape(-1)
    strays = narrow.size and (narrow.view(np.uint8) + np.uint8(1)).max() > 2  # one pass: -1, 0, 1 become 0, 1, 2
    if strays or (array.dtype != np.int8 and (array != narrow.reshape(array.shape)).any()):
        stray = array[(array < -1) | (array > 1)].flat[0]
        raise IllegalTritError(f"trit is {stray}; allowed: -1, 0, 1")
    missing = -narrow.size % group
    return np.concatenate([narrow, np.zeros(missing, np.int8)]) if missing else narrow


def _unpack(packed: Packed, count: int, code: str, table: Trits, legal: npt.NDArray[np.bool_]) -> Trits:
    group = table.shape[1]
    if packed.dtype != np.uint8 or packed.ndim != 1:
        raise IllegalTritError(f"{code} bytes have dtype {packed.dtype} and {packed.ndim} axes; allowed: uint8, 1 axis")
    if count < 0 or packed.size != -(-count // group):
        raise IllegalTritError(f"{packed.size} {code} bytes for {count} trits; expected {-(-max(count, 0) // group)}")
    trits = np.empty((packed.size, group), np.int8)
    for at in range(0, packed.size, _RUN):
        part = packed[at : at + _RUN]
        if not legal[part].all():
            position = at + int(np.flatnonzero(~legal[part])[0])
            raise IllegalTritError(f"byte {position} is 0x{packed[position]:02x}, which is not a {code} code")
        np.take(table, part, axis=0, out=trits[at : at + _RUN], mode="clip")
    flat = trits.reshape(-1)
    if flat[count:].any():
        raise IllegalTritError(f"the last {code} byte is not filled with zeros: 0x{packed[-1]:02x}")
    return flat[:count]

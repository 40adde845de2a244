"""Program image: everything that one configuration needs to run one network, as bytes.

    magic "STRNIMG\\0" · format u32 · configuration digest 8 bytes · header length u32 · header (canonical JSON)
    · sections · CRC-32C u32 of all before it

Each section is the words of one memory region from an address on, exactly as WRITE carries them; the header lists them
as ``[region, address, bytes]`` and gives the entry points that the driver needs. All numbers are little-endian.
"""

import json
import struct
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from typing import Any, Self

from sterna.spec.arithmetic import MULTIPLIER_BITS, SHIFT_BITS, SUM_BITS
from sterna.spec.configuration import FORMAT_VERSION, Configuration
from sterna.spec.errors import ImageError
from sterna.spec.frames import crc32c

MAGIC = b"STRNIMG\0"
MAX_IMAGE_BYTES = 64 << 20


class Region(IntEnum):
    """Memories that WRITE reaches. Banked regions take ``bank * depth + word`` as the address."""

    WEIGHTS = 0
    """Banked; a word is a block: ``pe`` trits as ``trit2``, ``pe // 4`` bytes."""
    MASKS = 1
    """Banked; a word is a chunk, 1 byte."""
    PARAMETERS = 2
    """Not banked (``requantisers`` words side by side make a memory word); see :func:`pack_parameter`. 7 bytes."""
    PROGRAM = 3
    """Not banked; a word is 2 bytes."""


def word_bytes(region: Region, configuration: Configuration) -> int:
    """Bytes of one word of a region on the link."""
    sizes = {
        Region.WEIGHTS: configuration.pe // 4,
        Region.MASKS: 1,
        Region.PARAMETERS: PARAMETER_BYTES,
        Region.PROGRAM: 2,
    }
    return sizes[region]


def region_words(region: Region, configuration: Configuration) -> int:
    """Words that a region has in all, its banks counted."""
    c = configuration
    sizes = {
        Region.WEIGHTS: c.simd * c.weight_depth,
        Region.MASKS: c.simd * c.mask_depth,
        Region.PARAMETERS: c.requantisers * c.parameter_depth,
        Region.PROGRAM: c.program_depth,
    }
    return sizes[region]


PARAMETER_BYTES = 7
assert PARAMETER_BYTES * 8 == MULTIPLIER_BITS + SHIFT_BITS + SUM_BITS


def pack_parameter(multiplier: int, shift: int, bias: int) -> bytes:
    """One parameter word: ``multiplier | shift << 16 | bias << 22``, 56 bits."""
    value = multiplier | shift << MULTIPLIER_BITS | (bias & ((1 << SUM_BITS) - 1)) << (MULTIPLIER_BITS + SHIFT_BITS)
    return value.to_bytes(PARAMETER_BYTES, "little")


@dataclass(frozen=True)
class Section:
    """Consecutive words of one region."""

    region: Region
    address: int
    data: bytes


@dataclass(frozen=True)
class TensorPlace:
    """A tensor in activation memory, in slot 0. ``word``: its first word (slot s adds s · slot offset)."""

    name: str
    word: int
    count: int
    """Activations, channel-last."""


@dataclass(frozen=True, kw_only=True)
class Image:
    """A program image. ``input`` is written before, ``outputs`` are read after each run of the program at ``entry``."""

    digest: bytes
    """Of the configuration it was compiled for."""
    entry: int
    slot_offset: int
    """Activation words from slot 0's input and outputs to slot 1's."""
    input: TensorPlace
    outputs: tuple[TensorPlace, ...]
    ops: tuple[TensorPlace, ...]
    """The tensor that each op of the program writes, in order (for tracing)."""
    estimated_cycles: int
    """Upper bound of a run's cycles: every position of every chunk issued, every sum drained."""
    sections: tuple[Section, ...] = field(repr=False)

    def payload_crc(self) -> int:
        """CRC-32C over the words of all sections in order: COMMIT's argument."""
        crc = None
        for section in self.sections:
            crc = crc32c(section.data, crc)
        return crc32c(b"") if crc is None else crc

    def to_bytes(self) -> bytes:
        """The image as a file's bytes; the same image gives the same bytes."""
        header = {
            "entry": self.entry,
            "slot_offset": self.slot_offset,
            "input": asdict(self.input),
            "outputs": [asdict(place) for place in self.outputs],
            "ops": [asdict(place) for place in self.ops],
            "estimated_cycles": self.estimated_cycles,
            "sections": [[int(s.region), s.address, len(s.data)] for s in self.sections],
        }
        text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
        body = MAGIC + struct.pack("<I", FORMAT_VERSION) + self.digest + struct.pack("<I", len(text)) + text
        body += b"".join(s.data for s in self.sections)
        return body + struct.pack("<I", crc32c(body))

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Inverse of :meth:`to_bytes`. Raises :class:`ImageError` for anything else, saying what is wrong."""
        if len(data) > MAX_IMAGE_BYTES:
            raise ImageError(f"program image has {len(data)} bytes; at most {MAX_IMAGE_BYTES}")
        start = len(MAGIC) + 4 + 8 + 4
        if data[: len(MAGIC)] != MAGIC:
            raise ImageError("not a program image: it does not begin with STRNIMG")
        if len(data) < start + 4:
            raise ImageError(f"program image cut short: {len(data)} bytes")
        (version,) = struct.unpack_from("<I", data, len(MAGIC))
        if version != FORMAT_VERSION:
            raise ImageError(f"program image has format {version}; this release reads {FORMAT_VERSION}")
        if struct.unpack("<I", data[-4:])[0] != crc32c(data[:-4]):
            raise ImageError("program image is damaged or cut short: its CRC-32C differs")
        digest = data[len(MAGIC) + 4 :][:8]
        (length,) = struct.unpack_from("<I", data, start - 4)
        try:
            header = json.loads(data[start : start + length])
            return cls._from_parts(digest, header, data[start + length : -4])
        except ImageError:
            raise
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ImageError(f"program image has a bad header: {error}") from None

    @classmethod
    def _from_parts(cls, digest: bytes, header: dict[str, Any], payload: bytes) -> Self:
        sections, at = [], 0
        for region, address, size in header["sections"]:
            if not (isinstance(address, int) and isinstance(size, int) and address >= 0 and size >= 0):
                raise ImageError("program image has a bad header: section address or size")
            sections.append(Section(Region(region), address, payload[at : at + size]))
            at += size
        if at != len(payload):
            raise ImageError(f"program image has {len(payload)} bytes of sections; its header says {at}")

        def place(entry: dict[str, Any]) -> TensorPlace:
            name, word, count = entry["name"], entry["word"], entry["count"]
            if not (
                isinstance(name, str) and isinstance(word, int) and isinstance(count, int) and min(word, count) >= 0
            ):
                raise ImageError(f"program image has a bad header: tensor {entry!r}")
            return TensorPlace(name, word, count)

        numbers = [header["entry"], header["slot_offset"], header["estimated_cycles"]]
        if not all(isinstance(number, int) and 0 <= number < 1 << 48 for number in numbers):
            raise ImageError("program image has a bad header: entry, slot offset or cycles")
        return cls(
            digest=digest, entry=numbers[0], slot_offset=numbers[1], estimated_cycles=numbers[2],
            input=place(header["input"]), outputs=tuple(map(place, header["outputs"])),
            ops=tuple(map(place, header["ops"])), sections=tuple(sections),
        )  # fmt: skip

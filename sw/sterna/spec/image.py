"""Program image: everything that one configuration needs to run one network, as bytes.

    magic "STRNIMG\\0" · format u32 · configuration digest 8 bytes · header length u32 · header (canonical JSON)
    · sections · CRC-32C u32 of all before it

Each section is the words of one memory region from an address on, exactly as WRITE carries them; the header lists them
as ``[region, address, bytes]`` and gives the entry points that the driver needs. All numbers are little-endian.

What fits is written once, when the image is loaded. The rest is *streamed*: it belongs to a segment of the program and
is written again for each run, over what an earlier segment needed, while the segment before is running.
"""

import json
import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields
from enum import IntEnum
from itertools import accumulate
from typing import Any, Self

from sterna.spec import strict_json
from sterna.spec.arithmetic import MULTIPLIER_BITS, SHIFT_BITS, SUM_BITS
from sterna.spec.configuration import FORMAT_VERSION, Configuration
from sterna.spec.errors import EncodingError, ImageError
from sterna.spec.frames import MAX_CONTENT, WRITE_HEADER_BYTES, crc32c, write_header
from sterna.spec.layout import TensorLayout
from sterna.spec.strict_json import brief

MAGIC = b"STRNIMG\0"
MAX_IMAGE_BYTES = 64 << 20


class Region(IntEnum):
    """Memories that WRITE reaches. Banked regions take ``bank * depth + word`` as the address."""

    WEIGHTS = 0
    """Banked; a word is a block: ``pe`` trits in the configuration's ``weight_code``, four or five a byte."""
    MASKS = 1
    """Banked; a word is a chunk, 1 byte."""
    PARAMETERS = 2
    """Not banked (``requantisers`` words side by side make a memory word); see :func:`pack_parameter`. 7 bytes."""
    PROGRAM = 3
    """Not banked; a word is 2 bytes."""


def word_bytes(region: Region, configuration: Configuration) -> int:
    """Bytes of one word of a region on the link."""
    sizes = {
        Region.WEIGHTS: configuration.pe // configuration.weight_code.trits_per_byte,
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


def write_requests(
    sections: Iterable[Section], configuration: Configuration, most: int = MAX_CONTENT - 2
) -> Iterator[bytes]:
    """The arguments of the WRITE requests for sections in order, at most ``most`` bytes each, whole words in each."""
    for section in sections:
        size = word_bytes(section.region, configuration)
        step = (most - WRITE_HEADER_BYTES) // size * size
        for at in range(0, len(section.data), step):
            yield write_header(section.region, section.address + at // size) + section.data[at : at + step]


@dataclass(frozen=True)
class TensorPlace:
    """A tensor in activation memory, in slot 0. ``word``: its first word (slot s adds s · slot offset)."""

    name: str
    word: int
    layout: TensorLayout


@dataclass(frozen=True)
class OpPlace:
    """One op of the program: it begins at program word ``entry``, reads ``sources`` and writes ``tensor``. If its layer
    is in parts, they are ops of their own, whose tensors have the layer's name and hold its channels in order."""

    tensor: TensorPlace
    entry: int
    sources: tuple[str, ...]


MAX_SEGMENT_OPS = 255
"""START's limit of ops is a byte."""


@dataclass(frozen=True)
class Segment:
    """Consecutive ops that one START runs, and what is to be written before: words that may lie over those of any other
    segment's sections, never over the image's own."""

    ops: int
    """How many: 1…``MAX_SEGMENT_OPS``."""
    sections: tuple[Section, ...] = field(default=(), repr=False)


@dataclass(frozen=True, kw_only=True)
class Image:
    """A program image. ``input`` is written before, ``outputs`` are read after each run of all segments in order."""

    digest: bytes
    """Of the configuration it was compiled for."""
    slot_offset: int
    """Activation words from slot 0's input and outputs to slot 1's."""
    input: TensorPlace
    outputs: tuple[TensorPlace, ...]
    """Those of one name follow each other: parts of one tensor, in the order of channels."""
    ops: tuple[OpPlace, ...]
    """The program's ops, in order; each can be started on its own. A layer that was split is several of them."""
    segments: tuple[Segment, ...]
    """Of the program, in order; together all of its ops."""
    estimated_cycles: int
    """Upper bound of a run's cycles: every position of every chunk issued, every sum drained."""
    sections: tuple[Section, ...] = field(repr=False)
    """What is written when the image is loaded."""

    @property
    def streamed_bytes(self) -> int:
        """Bytes of sections that each run has to write."""
        return sum(len(section.data) for segment in self.segments for section in segment.sections)

    def first_op(self, segment: int) -> int:
        """Number of a segment's first op."""
        return sum(each.ops for each in self.segments[:segment])

    def segment_of(self, op: int) -> int:
        """Number of the segment that an op belongs to."""
        return bisect_right(list(accumulate(segment.ops for segment in self.segments)), op)

    def parts(self, name: str) -> list[TensorPlace]:
        """The place of the input or of what an op writes; of its parts if it has several, in the order of channels."""
        if name == self.input.name:
            return [self.input]
        return [op.tensor for op in self.ops if op.tensor.name == name]

    def payload_crc(self) -> int:
        """CRC-32C over the words of the image's own sections in order: COMMIT's argument."""
        crc = None
        for section in self.sections:
            crc = crc32c(section.data, crc)
        return crc32c(b"") if crc is None else crc

    def to_bytes(self) -> bytes:
        """The image as a file's bytes; the same image gives the same bytes."""
        header = {
            "slot_offset": self.slot_offset,
            "input": asdict(self.input),
            "outputs": [asdict(place) for place in self.outputs],
            "ops": [asdict(place) for place in self.ops],
            "segments": [[segment.ops, _listed(segment.sections)] for segment in self.segments],
            "estimated_cycles": self.estimated_cycles,
            "sections": _listed(self.sections),
        }
        text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
        body = MAGIC + struct.pack("<I", FORMAT_VERSION) + self.digest + struct.pack("<I", len(text)) + text
        streamed = (section for segment in self.segments for section in segment.sections)
        body += b"".join(section.data for section in (*self.sections, *streamed))
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
            header = strict_json.parse(data[start : start + length])
        except EncodingError as error:
            raise ImageError(f"program image has a bad header: {error}") from None
        return cls._from_parts(digest, header, data[start + length : -4])

    @classmethod
    def _from_parts(cls, digest: bytes, header: Any, payload: bytes) -> Self:
        keys = {"slot_offset", "input", "outputs", "ops", "segments", "estimated_cycles", "sections"}
        _require(isinstance(header, dict), "not an object")
        _require(header.keys() >= keys, "lacks", min(keys - header.keys(), default=""))
        _require(header.keys() <= keys, "unknown key", min(header.keys() - keys, default=""))
        for name in ("outputs", "ops", "segments"):
            _require(isinstance(header[name], list), name, header[name])
        for name in ("slot_offset", "estimated_cycles"):
            _require(_is_count(header[name]), name, header[name])
        sections, at = _sections(header["sections"], payload, 0)
        ops = tuple(map(_op, header["ops"]))
        segments = []
        for entry in header["segments"]:
            known = isinstance(entry, list) and len(entry) == 2 and _is_count(entry[0])
            _require(known and 1 <= entry[0] <= MAX_SEGMENT_OPS, "segment", entry)
            streamed, at = _sections(entry[1], payload, at)
            segments.append(Segment(entry[0], streamed))
        of_segments = sum(segment.ops for segment in segments)
        _require(of_segments == len(ops) > 0, f"segments of {of_segments} ops in all, where there are {len(ops)}")
        if at != len(payload):
            raise ImageError(f"program image has {len(payload)} bytes of sections; its header says {at}")
        return cls(
            digest=digest,
            slot_offset=header["slot_offset"],
            estimated_cycles=header["estimated_cycles"],
            input=_place(header["input"]),
            outputs=tuple(map(_place, header["outputs"])),
            ops=ops,
            segments=tuple(segments),
            sections=sections,
        )


_REGIONS = set(map(int, Region))


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 48


def _listed(sections: tuple[Section, ...]) -> list[list[int]]:
    return [[int(section.region), section.address, len(section.data)] for section in sections]


def _sections(entries: Any, payload: bytes, at: int) -> tuple[tuple[Section, ...], int]:
    """The sections whose bytes begin at ``at``, and where they end."""
    _require(isinstance(entries, list), "sections", entries)
    sections = []
    for entry in entries:
        known = isinstance(entry, list) and len(entry) == 3 and all(map(_is_count, entry)) and entry[0] in _REGIONS
        _require(known, "section", entry)
        region, address, size = entry
        sections.append(Section(Region(region), address, payload[at : at + size]))
        at += size
    return tuple(sections), at


_LAYOUT = {field.name for field in fields(TensorLayout)}
_MAX_EXTENT = 1 << 16


def _place(entry: Any) -> TensorPlace:
    known = isinstance(entry, dict) and entry.keys() == {"name", "word", "layout"} and isinstance(entry["name"], str)
    _require(known and _is_count(entry["word"]), "tensor", entry)
    layout = entry["layout"]
    known = isinstance(layout, dict) and layout.keys() == _LAYOUT and all(map(_is_count, layout.values()))
    _require(known and max(layout.values()) <= _MAX_EXTENT, "tensor", entry)
    counts = [layout[name] for name in ("height", "width", "channels", "simd")]
    _require(min(counts) >= 1 and layout["pixel"] >= layout["channels"], "tensor", entry)
    return TensorPlace(entry["name"], entry["word"], TensorLayout(**layout))


def _op(entry: Any) -> OpPlace:
    known = isinstance(entry, dict) and entry.keys() == {"tensor", "entry", "sources"} and _is_count(entry["entry"])
    _require(known and isinstance(entry["sources"], list), "op", entry)
    _require(all(isinstance(source, str) for source in entry["sources"]), "op", entry)
    return OpPlace(_place(entry["tensor"]), entry["entry"], tuple(entry["sources"]))


def _require(ok: bool, *what: Any) -> None:
    """``what``: the thing that is wrong, and its value."""
    if not ok:
        raise ImageError(f"program image has a bad header: {' '.join((what[0], *map(brief, what[1:])))}")

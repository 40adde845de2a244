"""Op descriptors: the 16-bit words of the program memory, as the compiler writes and the sequencer reads them.

A program is a run of ops; an op is ``OP_WORDS`` words and ``PLANE_WORDS`` words for each of its planes. The words that
tell what its first output is stand first: the op's first ``OP_HEAD_WORDS`` and the first plane's; then the op's others,
which are read when the op has begun, and the first plane's last word; then the other planes. One op computes one output
tensor: for each row, pixel, tile of ``pe`` channels and plane, one *output* is accumulated; the
planes of a tile are summed, the pixels of a pooling window reduced to their maximum.
Weights, masks and parameters are read in order: a pointer to each begins at the op's first word, runs through its tiles
and planes, and rewinds at the next pixel. Where the windows of neighbouring pixels begin in different banks (an input
of one or three channels), weights and masks are stored once for each of ``phases`` pixels, and rewind after so many,
and at each row.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Self

from sterna.spec.errors import EncodingError

WORD_BITS = 16


@dataclass(frozen=True)
class Field:
    """Bits ``low … low+width-1`` of word ``word``; ``bias`` is subtracted before storing (counts are stored - 1)."""

    word: int
    low: int
    width: int
    bias: int = 0
    signed: bool = False

    @property
    def range(self) -> tuple[int, int]:
        """Smallest and largest value, inclusive."""
        if self.signed:
            return -(1 << (self.width - 1)), (1 << (self.width - 1)) - 1
        return self.bias, self.bias + (1 << self.width) - 1


OP_FIELDS = {
    "planes": Field(0, 0, 4, bias=1),
    "pool_width": Field(0, 4, 4, bias=1),  # max-pool window; divides width and height
    "pool_height": Field(0, 8, 4, bias=1),
    "keeps_zeros": Field(0, 13, 1),  # zeros that are written, also by inputs, are not skipped; the same in all ops
    "slotted": Field(0, 14, 1),  # destination moves with the run's slot
    "last": Field(0, 15, 1),  # the program ends after this op
    "tiles": Field(1, 0, 16, bias=1),
    "width": Field(2, 0, 16, bias=1),  # pixels per row, before pooling
    "height": Field(3, 0, 16, bias=1),  # rows, before pooling
    "phases": Field(4, 0, 5, bias=1),  # pixels after which the weights rewind
    "fraction": Field(4, 5, 5),  # bank of the first window's first activation,
    "fraction_step": Field(4, 10, 5),  # and banks by which it moves from pixel to pixel
    "masks": Field(5, 0, 16),  # first mask word in every mask bank,
    "weights": Field(6, 0, 16),  # first block in every weight bank,
    "parameters": Field(7, 0, 16),  # first word of the parameter memory
    "minimum": Field(8, 0, 8, signed=True),
    "maximum": Field(8, 8, 8, signed=True),
    "tail_groups": Field(9, 0, 8, bias=1),  # requantiser groups of the last tile that are written
    "destination": Field(10, 0, 16),  # first activation word (bank address), multiple of CHUNK
    "lead": Field(11, 0, 16),  # words of zeros before the first row that is written,
    "gap": Field(12, 0, 16),  # between two rows,
    "trail": Field(13, 0, 16),  # and after the last
}
OP_WORDS = 14
OP_HEAD_WORDS = 6

PLANE_FIELDS = {
    "source": Field(0, 0, 16),  # activation word of the first window
    "slotted": Field(1, 15, 1),  # source moves with the run's slot
    "fractional": Field(1, 14, 1),  # windows follow the op's fraction: one word more when it passes the last bank
    "rows": Field(1, 0, 8, bias=1),  # rows of the window
    "chunks": Field(2, 0, 13, bias=1),  # mask words per window row
    "tail": Field(2, 13, 3, bias=1),  # block positions in the last of them, 1…CHUNK
    "pitch": Field(3, 0, 16),  # activation words from one source row to the next
    "step_x": Field(4, 0, 16),  # activation words from one window to the next in a row
    "step_row": Field(5, 0, 16, signed=True),  # … from a row's last window to the next row's first
}
PLANE_WORDS = 7
"""The last word of a plane is the sequencer's: where the plane's next window begins."""
BEGINNING_WORDS = OP_HEAD_WORDS + PLANE_WORDS - 1
"""Of a descriptor, what its first output needs: the op's head and the first plane's words, all but the last."""
_FIRST_PLANE = slice(OP_HEAD_WORDS, BEGINNING_WORDS)


def op_place(field: Field) -> int:
    """The word of a descriptor in which a field of the op stands, behind the first plane's if it is not in the head."""
    return field.word if field.word < OP_HEAD_WORDS else field.word + PLANE_WORDS - 1


def _encode(kind: str, layout: dict[str, Field], words: int, values: dict[str, int]) -> list[int]:
    encoded = [0] * words
    for name, field in layout.items():
        value, (low, high) = int(values[name]), field.range
        if not low <= value <= high:
            raise EncodingError(f"{kind}.{name} is {value}; allowed: {low}…{high}")
        encoded[field.word] |= ((value - (0 if field.signed else field.bias)) & ((1 << field.width) - 1)) << field.low
    return encoded


def _decode(layout: dict[str, Field], words: list[int]) -> dict[str, int]:
    values = {}
    for name, field in layout.items():
        value = (words[field.word] >> field.low) & ((1 << field.width) - 1)
        if field.signed and value >> (field.width - 1):
            value -= 1 << field.width
        values[name] = value + field.bias
    return values


@dataclass(frozen=True, kw_only=True)
class PlaneDescriptor:
    """One plane's walk over its source tensor; the fields are those of ``PLANE_FIELDS``."""

    source: int
    slotted: bool = False
    fractional: bool = False
    rows: int = 1
    chunks: int
    tail: int
    pitch: int = 0
    step_x: int = 0
    step_row: int = 0

    def encode(self) -> list[int]:
        """``PLANE_WORDS`` words. Raises :class:`EncodingError` naming a field out of range."""
        return _encode("plane", PLANE_FIELDS, PLANE_WORDS, {f.name: getattr(self, f.name) for f in fields(self)})

    @classmethod
    def decode(cls, words: list[int]) -> Self:
        """Inverse of :meth:`encode`."""
        values = _decode(PLANE_FIELDS, words)
        flags = {"slotted": bool(values["slotted"]), "fractional": bool(values["fractional"])}
        return cls(**(values | flags))  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class OpDescriptor:
    """One op; the fields are those of ``OP_FIELDS``, with the planes themselves in place of their number."""

    planes: tuple[PlaneDescriptor, ...]
    last: bool
    keeps_zeros: bool = False
    slotted: bool = False
    tiles: int
    width: int = 1
    height: int = 1
    tail_groups: int
    pool_width: int = 1
    pool_height: int = 1
    destination: int
    minimum: int
    maximum: int
    lead: int = 0
    gap: int = 0
    trail: int = 0
    phases: int = 1
    fraction: int = 0
    fraction_step: int = 0
    weights: int = 0
    masks: int = 0
    parameters: int = 0

    def encode(self) -> list[int]:
        """The op's words, planes included. Raises :class:`EncodingError` naming a field out of range."""
        values = {f.name: getattr(self, f.name) for f in fields(self)} | {"planes": len(self.planes)}
        words = _encode("op", OP_FIELDS, OP_WORDS, values)
        *first, window = self.planes[0].encode()
        words = [*words[:OP_HEAD_WORDS], *first, *words[OP_HEAD_WORDS:], window]
        for plane in self.planes[1:]:
            words += plane.encode()
        return words

    @classmethod
    def decode(cls, words: list[int]) -> tuple[Self, int]:
        """The op at the start of ``words`` and how many words it takes. Raises :class:`EncodingError` if cut short."""
        least = OP_WORDS + PLANE_WORDS
        if len(words) < least:
            raise EncodingError(f"op descriptor cut short: {len(words)} words of {least}")
        values = _decode(OP_FIELDS, words[: _FIRST_PLANE.start] + words[_FIRST_PLANE.stop :])
        end = OP_WORDS + PLANE_WORDS * values["planes"]
        if len(words) < end:
            raise EncodingError(f"op descriptor cut short: {len(words)} words of {end}")
        others = (words[at : at + PLANE_WORDS] for at in range(least, end, PLANE_WORDS))
        planes = tuple(map(PlaneDescriptor.decode, [words[_FIRST_PLANE], *others]))
        flags = {name: bool(values[name]) for name in ("last", "keeps_zeros", "slotted")}
        return cls(**(values | flags | {"planes": planes})), end  # type: ignore[arg-type]


def encode_program(ops: Iterable[OpDescriptor]) -> list[int]:
    """The words of a program. Raises :class:`EncodingError` unless exactly its last op is marked ``last``."""
    ops = list(ops)
    if [op.last for op in ops] != [False] * (len(ops) - 1) + [True]:
        raise EncodingError("a program needs at least one op, and exactly its last op marked last")
    return [word for op in ops for word in op.encode()]


def decode_program(words: list[int]) -> list[OpDescriptor]:
    """Inverse of :func:`encode_program`; stops after the op marked ``last``."""
    ops: list[OpDescriptor] = []
    at = 0
    while not ops or not ops[-1].last:
        op, used = OpDescriptor.decode(words[at:])
        ops.append(op)
        at += used
    return ops

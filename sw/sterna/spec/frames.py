"""Frames of the link: what driver and device say to each other over any byte stream.

A frame on the wire is ``COBS(content · CRC-32C(content), little-endian) · 0x00``. Contents:

* request: ``sequence u8 · opcode u8 · arguments``;
* response: ``sequence u8 · status u8 · data``; one for each request whose frame arrived whole, in order.

Damaged frames are counted and dropped without an answer; empty frames (two delimiters in a row) are ignored.

Sequence numbers make writes idempotent and runs happen once. The device expects the sequence number after that of the
last request it took. A request with the expected number is executed, and taken whatever its status. One that lies up
to 127 behind is a repetition: it is answered again, and executed again where that changes nothing (WRITE, INPUT, READ,
RESULT; a repeated WRITE does not enter the image's CRC; after COMMIT it stores nothing, since a run may be reading what
it stored); BEGIN, COMMIT and START are answered with the status that their checks find now, without being executed
(COMMIT: OK or NOT_LOADED; START: OK or NOT_LOADED or BAD_ADDRESS, without waiting). One that lies ahead (a frame before
it was lost) is answered OUT_OF_ORDER, with the expected number as its only data byte, and not executed; the driver goes
back and sends from there. SYNC is always executed and sets the expected number to its own plus one. Every other status
but OK has no data.

A device that was reset holds no image; START and RESULT then answer NOT_LOADED whatever their sequence number, so
that no repetition turns into a stale result. A driver leaves at most ``WINDOW_FRAMES`` requests, of ``WINDOW_BYTES``
bytes in all (contents and CRCs), unanswered; a device buffers so much. It sends nothing after COMMIT until that is
answered, and writes a slot's input only when all results of that slot's former run have arrived; a program never
writes its input.

A device may have several *cores*, each of which holds the same image and has two slots: slot s is of core s // 2. WRITE
reaches all of them; INPUT, START and RESULT name one. What is said of runs holds for each core by itself: START waits
only for the run of its own core, while others run on. A request that names a core which the device does not have is
answered BAD_ADDRESS; only a device of one core need not look whether START and RESULT name another.

A request is judged in this order: opcode, length, addresses, then state; an unknown opcode is taken like any other.

All numbers are little-endian.
"""

import struct
from enum import IntEnum

import anycrc
from cobs import cobs

from sterna.spec.errors import EncodingError

MAX_CONTENT = 640
"""Bytes between the delimiters before CRC and stuffing; CRC-32C has Hamming distance 6 up to there."""
CRC_BYTES = 4
DELIMITER = b"\0"
LONGEST_BLOCK = 254
"""Most bytes other than zero between two codes of the stuffing."""
WINDOW_FRAMES = 4
"""Most requests that a driver leaves unanswered."""
WINDOW_BYTES = 1008
"""Most bytes of contents and CRCs in them: what a device must be able to buffer."""


class Opcode(IntEnum):
    """Requests; ``→`` gives the data of an OK response."""

    SYNC = 0x01
    """``nonce u32`` → ``nonce u32``. Starts a session."""
    READ = 0x02
    """``register u8 · count u8`` → ``count × u32``; registers in ``sterna.spec.registers``. BAD_ADDRESS if
    ``register + count`` is more than there are."""
    BEGIN = 0x10
    """``configuration digest 8 bytes`` → nothing. Forgets the image and starts a new one; clears the image's CRC."""
    WRITE = 0x11
    """``region u8 · address u24 · words`` → nothing. Words of ``sterna.spec.image.Region``, whole ones only (else
    BAD_LENGTH); BAD_ADDRESS for another region, or if the last word lies outside it. After COMMIT, any region but the
    program may be written, words that no run under way reads: that is how networks larger than the memories are
    streamed. After any refusal the driver goes back to BEGIN: what a refused WRITE has written, and its share of the
    CRC, are not specified."""
    COMMIT = 0x12
    """``CRC-32C u32`` → nothing. The CRC is over the words of all WRITE requests since BEGIN, in order."""
    INPUT = 0x20
    """``activation word + core u16 · activations i8…`` → nothing. Word is a multiple of CHUNK; activation k goes to
    bank k mod simd. The words up to the next multiple of CHUNK that are not given count as zero. An activation beyond
    the symmetric range of ``act_bits``, ±(2**(act_bits-1) - 1), is taken as the nearer end of it. BAD_ADDRESS for
    another word, or if the last activation lies outside the memory."""
    START = 0x21
    """``entry u16 · slot offset u16 · flags + core << 3 u8 · ops u8`` → nothing. Runs the program at word ``entry`` of
    the program memory; waits while another run is under way, and is answered when its own begins (State.RUNNING is set
    from then on). Stops after ``ops`` ops (0 stands for 256), or at the program's end, whichever comes first.
    BAD_ADDRESS if ``entry`` lies outside the program memory."""
    RESULT = 0x22
    """``slot u8 · activation word u16 · count u16`` → ``count × i8``. Waits until no run of that slot is under way;
    activation k comes from bank k mod simd. BAD_LENGTH for a count over ``MAX_RESULT``; BAD_ADDRESS if the last
    activation lies outside the memory."""


class Status(IntEnum):
    """First byte of a response's answer."""

    OK = 0
    OUT_OF_ORDER = 1
    UNKNOWN_OPCODE = 2
    BAD_LENGTH = 3
    WRONG_CONFIGURATION = 4
    """BEGIN: the image was made for another configuration."""
    NOT_LOADED = 5
    """START, RESULT or a WRITE of more than BEGIN … COMMIT allows without a complete, checked image; COMMIT, or a WRITE
    of the program, outside BEGIN … COMMIT, unless repeated."""
    BAD_ADDRESS = 6
    BAD_TRIT = 7
    """WRITE: a weight word holds an illegal trit code, or a byte that ``trit5`` does not use. Nothing of that word was
    written; the image is forgotten."""
    BAD_CHECKSUM = 8
    """COMMIT: the CRC differs; the image is forgotten."""
    BUSY = 9
    """BEGIN while a run is under way, on whichever core."""


class StartFlag(IntEnum):
    """Bits of START's flags."""

    SLOT = 1 << 0
    """The run's slot, of the two that its core has; RESULT waits for it."""


CORE_IN_FLAGS = 3
"""Where the core begins in START's flags; bits between are ignored."""
WRITE_HEADER_BYTES = 4
"""Of WRITE's arguments, before its words."""
MAX_RESULT = MAX_CONTENT - 2
"""Most activations that one RESULT returns."""
_crc32c = anycrc.Model("CRC32C")


def crc32c(data: bytes, initial: int | None = None) -> int:
    """CRC-32C (Castagnoli) of ``data``, going on from ``initial`` (an earlier result) if given."""
    return int(_crc32c.calc(data) if initial is None else _crc32c.calc(data, initial))


def encode_frame(content: bytes) -> bytes:
    """The frame on the wire, its delimiter included. Raises :class:`EncodingError` over ``MAX_CONTENT`` bytes."""
    if not 2 <= len(content) <= MAX_CONTENT:
        raise EncodingError(f"frame content has {len(content)} bytes; allowed: 2…{MAX_CONTENT}")
    return bytes(cobs.encode(content + struct.pack("<I", crc32c(content)))) + DELIMITER


def decode_frame(stuffed: bytes) -> bytes:
    """Content of the bytes between two delimiters. Raises :class:`EncodingError` for any damage."""
    try:
        whole = bytes(cobs.decode(stuffed))
    except cobs.DecodeError as error:
        raise EncodingError(f"damaged frame: {error}") from None
    content, crc = whole[:-CRC_BYTES], whole[-CRC_BYTES:]
    if not 2 <= len(content) <= MAX_CONTENT:
        raise EncodingError(f"damaged frame: {len(content)} bytes of content; allowed: 2…{MAX_CONTENT}")
    if crc != struct.pack("<I", crc32c(content)):
        raise EncodingError("damaged frame: CRC-32C differs")
    return content


def request(sequence: int, opcode: Opcode, arguments: bytes = b"") -> bytes:
    """Content of a request; ``sequence`` counts modulo 256."""
    return bytes((sequence & 0xFF, opcode)) + arguments


def sync_arguments(nonce: int) -> bytes:
    return struct.pack("<I", nonce)


def read_arguments(register: int, count: int) -> bytes:
    return struct.pack("<BB", register, count)


def write_header(region: int, address: int) -> bytes:
    return struct.pack("<BI", region, address)[:WRITE_HEADER_BYTES]


def commit_arguments(crc: int) -> bytes:
    return struct.pack("<I", crc)


def input_header(word: int, core: int = 0) -> bytes:
    return struct.pack("<H", word + core)


def start_arguments(entry: int, offset: int, flags: int, ops: int = 0, core: int = 0) -> bytes:
    return struct.pack("<HHBB", entry, offset, flags | core << CORE_IN_FLAGS, ops)


def result_arguments(slot: int, word: int, count: int) -> bytes:
    return struct.pack("<BHH", slot, word, count)

"""The protocol in plain Python: what the endpoint has to answer, and what has to reach its cores."""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from sterna.spec.arithmetic import max_activation
from sterna.spec.configuration import CHUNK, FORMAT_VERSION, Configuration
from sterna.spec.frames import CORE_IN_FLAGS, MAX_RESULT, Opcode, Status, crc32c
from sterna.spec.image import Region, region_words, word_bytes
from sterna.spec.registers import MAGIC, REGISTER_COUNT, State
from sterna.spec.trits import TritCode

BUILD_ID = 0x0123_4567_89AB_CDEF
Answer = tuple[Status, bytes]
_ARGUMENTS = {
    Opcode.SYNC: (4, 4), Opcode.READ: (2, 2), Opcode.BEGIN: (8, 8), Opcode.WRITE: (5, 638), Opcode.COMMIT: (4, 4),
    Opcode.INPUT: (3, 638), Opcode.START: (6, 6), Opcode.RESULT: (5, 5),
}  # fmt: skip


def trit_bytes(code: TritCode) -> list[int]:
    """The bytes that hold trits, in order; all others are illegal."""
    every = np.array(list(product((-1, 0, 1), repeat=code.trits_per_byte)), np.int8)
    return sorted(code.pack(every).tolist())


@dataclass
class Notes:
    """What reached a core."""

    writes: list[tuple[int, int, int]] = field(default_factory=list)
    """Region, address, word."""
    inputs: list[tuple[int, list[int]]] = field(default_factory=list)
    """Word and activations of each burst."""
    starts: list[tuple[int, int, int]] = field(default_factory=list)
    """Entry, offset, ops."""


class Protocol:
    """Answers requests as ``sterna.spec.frames`` says; ``notes`` is what each core must have seen."""

    def __init__(self, configuration: Configuration, activations: Callable[[int, int, int], int], counters: list[int]):
        """``activations``: of core, word and bank."""
        self.c = configuration
        self.activations = activations
        self.counters = counters
        self.taken = 0
        self.notes = [Notes() for _ in range(configuration.cores)]
        self.expected = 0
        self.open = False
        self.loaded = False
        self.crc: int | None = None
        self._legal = frozenset(trit_bytes(configuration.weight_code))

    def answer(self, content: bytes, busy: bool = False) -> Answer:
        """``busy``: a run is under way."""
        sequence, opcode, arguments = content[0], content[1], content[2:]
        self.taken += 1
        behind = (self.expected - sequence) % 256
        if opcode == Opcode.SYNC and len(arguments) == 4:
            self.expected = (sequence + 1) % 256
            return Status.OK, arguments
        if behind > 127:
            return Status.OUT_OF_ORDER, bytes([self.expected])
        if behind == 0:
            self.expected = (sequence + 1) % 256
        if opcode not in set(Opcode):
            return Status.UNKNOWN_OPCODE, b""
        low, high = _ARGUMENTS[Opcode(opcode)]
        if not low <= len(arguments) <= high:
            return Status.BAD_LENGTH, b""
        handler = getattr(self, Opcode(opcode).name.lower())
        result = handler(arguments, behind > 0, busy) if opcode == Opcode.BEGIN else handler(arguments, behind > 0)
        return result if isinstance(result, tuple) else (result, b"")

    def read(self, arguments: bytes, repeated: bool) -> Answer | Status:
        first, count = arguments
        if first + count > REGISTER_COUNT:
            return Status.BAD_ADDRESS
        values = [MAGIC, FORMAT_VERSION, *struct.unpack("<II", self.c.digest), BUILD_ID & 0xFFFF_FFFF, BUILD_ID >> 32]
        values += [State.LOADED if self.loaded else 0, self.taken, 0, *self.counters]
        return Status.OK, struct.pack(f"<{count}I", *values[first : first + count])

    def begin(self, arguments: bytes, repeated: bool, busy: bool) -> Status:
        if arguments != self.c.digest:
            return Status.WRONG_CONFIGURATION
        if not repeated:
            if busy:
                return Status.BUSY
            self.open, self.loaded, self.crc = True, False, None
        return Status.OK

    def write(self, arguments: bytes, repeated: bool) -> Status:
        number, address, data = arguments[0], int.from_bytes(arguments[1:4], "little"), arguments[4:]
        if number >= len(Region):
            return Status.BAD_ADDRESS
        region = Region(number)
        size = word_bytes(region, self.c)
        if len(data) % size:
            return Status.BAD_LENGTH
        if address + len(data) // size > region_words(region, self.c):
            return Status.BAD_ADDRESS
        if not (self.open or (self.loaded and (repeated or region != Region.PROGRAM))):
            return Status.NOT_LOADED
        if self.loaded and repeated:
            return Status.OK
        for k in range(len(data) // size):
            word = int.from_bytes(data[k * size : (k + 1) * size], "little")
            if region == Region.WEIGHTS and not self._legal.issuperset(data[k * size : (k + 1) * size]):
                self.open, self.loaded = self.open and repeated, False
                return Status.BAD_TRIT
            for notes in self.notes:
                notes.writes.append((region, address + k, word))
        if not repeated:
            self.crc = crc32c(data, self.crc)
        return Status.OK

    def commit(self, arguments: bytes, repeated: bool) -> Status:
        if repeated:
            return Status.OK if self.loaded else Status.NOT_LOADED
        if not self.open:
            return Status.NOT_LOADED
        self.open = False
        self.loaded = int.from_bytes(arguments, "little") == (crc32c(b"") if self.crc is None else self.crc)
        return Status.OK if self.loaded else Status.BAD_CHECKSUM

    def input(self, arguments: bytes, repeated: bool) -> Status:
        word, values = int.from_bytes(arguments[:2], "little"), struct.unpack(f"{len(arguments) - 2}b", arguments[2:])
        word, core = word - word % CHUNK, word % CHUNK
        if core >= self.c.cores or word + (len(values) - 1) // self.c.simd >= self.c.activation_depth:
            return Status.BAD_ADDRESS
        limit = max_activation(self.c.act_bits)
        self.notes[core].inputs.append((word, [max(-limit, min(limit, value)) for value in values]))
        return Status.OK

    def start(self, arguments: bytes, repeated: bool) -> Status:
        entry, offset, flags, ops = struct.unpack("<HHBB", arguments)
        core = flags >> CORE_IN_FLAGS if self.c.cores > 1 else 0
        if entry >= self.c.program_depth or core >= self.c.cores:
            return Status.BAD_ADDRESS
        if not self.loaded:
            return Status.NOT_LOADED
        if not repeated:
            self.notes[core].starts.append((entry, offset, ops))
        return Status.OK

    def result(self, arguments: bytes, repeated: bool) -> Answer | Status:
        slot, word, count = struct.unpack("<BHH", arguments)
        if count > MAX_RESULT:
            return Status.BAD_LENGTH
        core = slot // 2 if self.c.cores > 1 else 0
        if core >= self.c.cores:
            return Status.BAD_ADDRESS
        if count and word + (count - 1) // self.c.simd >= self.c.activation_depth:
            return Status.BAD_ADDRESS
        if not self.loaded:
            return Status.NOT_LOADED
        values = [self.activations(core, word + k // self.c.simd, k % self.c.simd) for k in range(count)]
        return Status.OK, struct.pack(f"{count}b", *values)

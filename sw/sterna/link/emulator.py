"""A device in this process: the whole protocol of ``sterna.spec.frames``, and programs carried out in NumPy.

It is as unkind as the protocol allows. Memories hold noise at power-up, each core's another; a run is carried out as
late as it may be (when something waits for it); requests are taken only while the driver listens, and what exceeds the
receive buffer until then is lost, as on a serial port without flow control.
"""

import struct
import time
from collections import deque
from enum import Enum, auto

import numpy as np

from sterna.link.framing import FrameReader
from sterna.link.machine import Machine
from sterna.spec.configuration import CHUNK, FORMAT_VERSION, Configuration
from sterna.spec.errors import DeviceLostError
from sterna.spec.frames import (
    CORE_IN_FLAGS,
    CRC_BYTES,
    MAX_RESULT,
    WINDOW_BYTES,
    WINDOW_FRAMES,
    Opcode,
    StartFlag,
    Status,
    crc32c,
    encode_frame,
)
from sterna.spec.image import Region, region_words, word_bytes
from sterna.spec.registers import MAGIC, REGISTER_COUNT, Register, State


class _Loading(Enum):
    """How far an image has come."""

    NONE = auto()
    BEGUN = auto()
    LOADED = auto()


_ARGUMENT_BYTES = {
    Opcode.SYNC: (4, 4),
    Opcode.READ: (2, 2),
    Opcode.BEGIN: (8, 8),
    Opcode.WRITE: (5, 638),
    Opcode.COMMIT: (4, 4),
    Opcode.INPUT: (3, 638),
    Opcode.START: (6, 6),
    Opcode.RESULT: (5, 5),
}
"""Fewest and most bytes of arguments."""

_Run = tuple[int, int, int, int]
"""Entry, offset, slot, ops."""
_Answer = tuple[Status, bytes]
_OK: _Answer = (Status.OK, b"")


class Emulator:
    """A :class:`~sterna.link.transport.Transport` to a device of ``configuration``; ``seed`` is that of its noise.

    Counters of frames and issue slots are exact; cycles and stalls are not modelled and stay 0; the build id is 0.
    """

    def __init__(self, configuration: Configuration, *, seed: int = 0) -> None:
        self.configuration = configuration
        self.runs = 0
        """Runs carried out since the emulator was made."""
        self._seed = seed
        self._closed = False
        self.reset()

    def reset(self) -> None:
        """Power-up: noise in the memories, no image, nothing in the buffers."""
        self._seed += 1
        cores = self.configuration.cores
        self._machines = [Machine(self.configuration, seed=self._seed * cores + core) for core in range(cores)]
        self._runs: list[_Run | None] = [None] * cores
        """Under way, by core."""
        self._reader = FrameReader()
        self._inbox: deque[bytes] = deque()
        self._outbox = bytearray()
        self._overruns = 0
        self._expected = 0
        self._loading = _Loading.NONE
        self._image_crc: int | None = None

    # Transport

    def send(self, data: bytes) -> None:
        self._check_open()
        for content in self._reader.feed(data):
            self._inbox.append(content)
            waiting = sum(len(each) + CRC_BYTES for each in self._inbox)
            if len(self._inbox) > WINDOW_FRAMES or waiting > WINDOW_BYTES:
                self._inbox.pop()
                self._overruns += 1

    def receive(self, timeout: float) -> bytes:
        self._check_open()
        while self._inbox:
            content = self._inbox.popleft()
            status, data = self._answer(content)
            self._outbox += encode_frame(bytes((content[0], status)) + data)
        if not self._outbox:
            time.sleep(max(timeout, 0.0))
        answers = bytes(self._outbox)
        self._outbox.clear()
        return answers

    def close(self) -> None:
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise DeviceLostError("the emulator is closed")

    # Requests

    def _answer(self, content: bytes) -> _Answer:
        sequence, opcode, arguments = content[0], content[1], content[2:]
        if opcode == Opcode.SYNC and len(arguments) == 4:
            self._expected = (sequence + 1) & 0xFF
            return Status.OK, arguments
        behind = (self._expected - sequence) & 0xFF
        if behind > 127:
            return Status.OUT_OF_ORDER, bytes((self._expected,))
        repeated = behind > 0
        if not repeated:
            self._expected = (self._expected + 1) & 0xFF
        if opcode not in set(Opcode):
            return Status.UNKNOWN_OPCODE, b""
        fewest, most = _ARGUMENT_BYTES[Opcode(opcode)]
        if not fewest <= len(arguments) <= most:
            return Status.BAD_LENGTH, b""
        match opcode:
            case Opcode.READ:
                return self._read(*arguments)
            case Opcode.BEGIN:
                return self._begin(arguments, repeated)
            case Opcode.WRITE:
                region, address = arguments[0], int.from_bytes(arguments[1:4], "little")
                return self._write(region, address, arguments[4:], repeated)
            case Opcode.COMMIT:
                return self._commit(int.from_bytes(arguments, "little"), repeated)
            case Opcode.INPUT:
                return self._input(int.from_bytes(arguments[:2], "little"), arguments[2:])
            case Opcode.START:
                entry, offset, flags, ops = struct.unpack("<HHBB", arguments)
                return self._start(entry, offset, flags, ops, repeated)
            case _:
                return self._result(*struct.unpack("<BHH", arguments))

    def _read(self, register: int, count: int) -> _Answer:
        if register + count > REGISTER_COUNT:
            return Status.BAD_ADDRESS, b""
        values = self._registers()
        self._finish_runs()  # time passes
        return Status.OK, struct.pack(f"<{count}I", *(value & 0xFFFFFFFF for value in values[register:][:count]))

    def _registers(self) -> list[int]:
        values = [0] * REGISTER_COUNT
        values[Register.MAGIC] = MAGIC
        values[Register.FORMAT] = FORMAT_VERSION
        values[Register.DIGEST_LOW], values[Register.DIGEST_HIGH] = struct.unpack("<II", self.configuration.digest)
        values[Register.STATE] = State.LOADED * (self._loading is _Loading.LOADED) | State.RUNNING * self._running
        values[Register.GOOD_FRAMES] = self._reader.good - self._overruns
        values[Register.BAD_FRAMES] = self._reader.damaged + self._overruns
        values[Register.ISSUED] = sum(machine.issued for machine in self._machines)
        values[Register.STORED] = sum(machine.stored for machine in self._machines)
        values[Register.POSITIONS] = sum(machine.positions for machine in self._machines)
        return values

    def _begin(self, digest: bytes, repeated: bool) -> _Answer:
        if digest != self.configuration.digest:
            return Status.WRONG_CONFIGURATION, b""
        if repeated:
            return _OK
        if self._running:
            self._finish_runs()  # time passes
            return Status.BUSY, b""
        self._loading = _Loading.BEGUN
        self._image_crc = None
        return _OK

    def _write(self, number: int, address: int, data: bytes, repeated: bool) -> _Answer:
        if number not in set(Region):
            return Status.BAD_ADDRESS, b""
        region = Region(number)
        words, rest = divmod(len(data), word_bytes(region, self.configuration))
        if rest:
            return Status.BAD_LENGTH, b""
        if address + words > region_words(region, self.configuration):
            return Status.BAD_ADDRESS, b""
        loaded = self._loading is _Loading.LOADED
        if self._loading is _Loading.NONE or (loaded and region is Region.PROGRAM and not repeated):
            return Status.NOT_LOADED, b""
        if loaded and repeated:
            return _OK
        written = [machine.write(region, address, data) for machine in self._machines]
        if not all(written):
            if not repeated:
                self._loading = _Loading.NONE
            return Status.BAD_TRIT, b""
        if not repeated:
            self._image_crc = crc32c(data, self._image_crc)
        return _OK

    def _commit(self, crc: int, repeated: bool) -> _Answer:
        if repeated or self._loading is not _Loading.BEGUN:
            return (Status.OK if repeated and self._loading is _Loading.LOADED else Status.NOT_LOADED), b""
        if crc != (crc32c(b"") if self._image_crc is None else self._image_crc):
            self._loading = _Loading.NONE
            return Status.BAD_CHECKSUM, b""
        self._loading = _Loading.LOADED
        return _OK

    def _input(self, word: int, data: bytes) -> _Answer:
        word, core = word - word % CHUNK, word % CHUNK
        last = word + (len(data) - 1) // self.configuration.simd
        if core >= self.configuration.cores or last >= self.configuration.activation_depth:
            return Status.BAD_ADDRESS, b""
        self._machines[core].put(word, np.frombuffer(data, np.int8))
        return _OK

    def _start(self, entry: int, offset: int, flags: int, ops: int, repeated: bool) -> _Answer:
        core = flags >> CORE_IN_FLAGS
        if entry >= self.configuration.program_depth or core >= self.configuration.cores:
            return Status.BAD_ADDRESS, b""
        if self._loading is not _Loading.LOADED:
            return Status.NOT_LOADED, b""
        if not repeated:
            self._finish_run(core)
            self._runs[core] = (entry, offset, flags & StartFlag.SLOT, ops)
        return _OK

    def _result(self, slot: int, word: int, count: int) -> _Answer:
        if count > MAX_RESULT:
            return Status.BAD_LENGTH, b""
        core, last = slot // 2, word + (count - 1) // self.configuration.simd
        if core >= self.configuration.cores or last >= self.configuration.activation_depth:
            return Status.BAD_ADDRESS, b""
        if self._loading is not _Loading.LOADED:
            return Status.NOT_LOADED, b""
        run = self._runs[core]
        if run is not None and run[2] == slot % 2:
            self._finish_run(core)
        return Status.OK, self._machines[core].get(word, count).tobytes()

    @property
    def _running(self) -> bool:
        return any(run is not None for run in self._runs)

    def _finish_run(self, core: int) -> None:
        run, self._runs[core] = self._runs[core], None
        if run is not None:
            entry, offset, _, ops = run
            self._machines[core].run(entry, offset, ops)
            self.runs += 1

    def _finish_runs(self) -> None:
        for core in range(self.configuration.cores):
            self._finish_run(core)

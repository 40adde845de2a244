"""The protocol, request by request."""

import dataclasses
import struct
import time
from collections.abc import Sequence

import numpy as np
import pytest

from sterna.link.emulator import Emulator
from sterna.link.framing import FrameReader
from sterna.spec.configuration import CHUNK, Configuration
from sterna.spec.descriptors import OpDescriptor, PlaneDescriptor, encode_program
from sterna.spec.errors import DeviceLostError
from sterna.spec.frames import (
    MAX_RESULT,
    WINDOW_FRAMES,
    Opcode,
    StartFlag,
    Status,
    commit_arguments,
    crc32c,
    encode_frame,
    input_header,
    read_arguments,
    request,
    result_arguments,
    start_arguments,
    sync_arguments,
    write_header,
)
from sterna.spec.image import Region, pack_parameter
from sterna.spec.registers import MAGIC, REGISTER_COUNT, Register, State
from sterna.spec.trits import TritCode

SMALL = Configuration(
    name="small",
    simd=4,
    pe=4,
    weight_depth=64,
    mask_depth=16,
    activation_depth=64,
    parameter_depth=16,
    program_depth=32,
)
# One op: activation k of word 0 is copied to word 8, times two.
COPY = OpDescriptor(
    planes=(PlaneDescriptor(source=0, slotted=True, chunks=1, tail=1),), last=True, slotted=True, tiles=1,
    tail_groups=4, destination=8, minimum=-127, maximum=127,
)  # fmt: skip
WORDS = [
    *((Region.WEIGHTS, bank * 64, bytes([1 << 2 * bank])) for bank in range(4)),
    *((Region.MASKS, bank * 16, b"\1") for bank in range(4)),
    (Region.PARAMETERS, 0, pack_parameter(2, 0, 0) * 4),
    (Region.PROGRAM, 0, np.array(encode_program([COPY]), "<u2").tobytes()),
]


class Host:
    """Sends one request at a time and keeps count."""

    def __init__(self, configuration: Configuration = SMALL) -> None:
        self.emulator = Emulator(configuration)
        self.reader = FrameReader()
        self.sequence = 0

    def exchange(self, *contents: bytes) -> list[bytes]:
        self.emulator.send(b"".join(map(encode_frame, contents)))
        return self.reader.feed(self.emulator.receive(0.0))

    def ask(self, opcode: int, arguments: bytes = b"", *, back: int = 0) -> tuple[int, bytes]:
        """Status and data; ``back``: how far behind the expected sequence number (a repetition), or ahead."""
        sequence = (self.sequence - back) & 0xFF
        (answer,) = self.exchange(bytes((sequence, opcode)) + arguments)
        assert answer[0] == sequence
        self.sequence = (self.sequence + (back == 0)) & 0xFF
        return answer[1], answer[2:]

    def ok(self, opcode: Opcode, arguments: bytes = b"", *, back: int = 0) -> bytes:
        status, data = self.ask(opcode, arguments, back=back)
        assert status == Status.OK
        return data

    def refused(self, opcode: int, arguments: bytes = b"", *, back: int = 0) -> int:
        status, data = self.ask(opcode, arguments, back=back)
        assert data == b""
        return status

    def load(self) -> None:
        self.ok(Opcode.BEGIN, self.emulator.configuration.digest)
        for region, address, data in WORDS:
            self.ok(Opcode.WRITE, write_header(region, address) + data)
        self.ok(Opcode.COMMIT, commit_arguments(crc32c(b"".join(data for _, _, data in WORDS))))

    def registers(self, first: int = 0, count: int = REGISTER_COUNT) -> Sequence[int]:
        return struct.unpack(f"<{count}I", self.ok(Opcode.READ, read_arguments(first, count)))

    def state(self) -> int:
        return self.registers(Register.STATE, 1)[0]


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def loaded(host: Host) -> Host:
    host.load()
    return host


def test_a_program_runs_between_input_and_result(loaded: Host) -> None:
    loaded.ok(Opcode.INPUT, input_header(0) + bytes([1, 2, 0, 0xFD]))
    loaded.ok(Opcode.START, start_arguments(0, 0, 0))
    assert loaded.ok(Opcode.RESULT, result_arguments(0, 8, 4)) == bytes([2, 4, 0, 0xFA])
    assert loaded.emulator.runs == 1
    assert loaded.registers(Register.ISSUED, 3) == (3, 4, 4)


def test_registers_say_what_the_device_is(host: Host) -> None:
    host.emulator.send(b"\x05damaged\0\0\0")
    registers = host.registers()
    assert registers[Register.MAGIC] == MAGIC
    assert registers[Register.FORMAT] == 1
    assert struct.pack("<II", *registers[Register.DIGEST_LOW : Register.BUILD_LOW]) == SMALL.digest
    assert registers[Register.GOOD_FRAMES : Register.CYCLES] == (1, 1)
    assert registers[Register.CYCLES : Register.ISSUED] == (0,) * 6
    assert host.state() == 0
    host.load()
    assert host.state() == State.LOADED


def test_a_run_is_under_way_until_something_waits_for_it(loaded: Host) -> None:
    loaded.ok(Opcode.INPUT, input_header(0) + b"\1\1\1\1")
    loaded.ok(Opcode.START, start_arguments(0, 0, 0))
    assert loaded.refused(Opcode.BEGIN, SMALL.digest) == Status.BUSY
    assert loaded.state() == State.LOADED
    loaded.ok(Opcode.START, start_arguments(0, 0, 0))
    assert loaded.state() == State.LOADED | State.RUNNING
    assert loaded.emulator.runs == 2


def test_results_wait_for_runs_of_their_slot_only(loaded: Host) -> None:
    loaded.ok(Opcode.INPUT, input_header(16) + b"\1\2\3\4")
    loaded.ok(Opcode.START, start_arguments(0, 16, StartFlag.SLOT))
    loaded.ok(Opcode.RESULT, result_arguments(0, 8, 4))
    assert loaded.emulator.runs == 0
    assert loaded.ok(Opcode.RESULT, result_arguments(1, 24, 4)) == bytes([2, 4, 6, 8])
    assert loaded.emulator.runs == 1


def test_a_start_waits_for_the_run_before_it(loaded: Host) -> None:
    for slot in (0, 1):
        loaded.ok(Opcode.INPUT, input_header(16 * slot) + bytes([slot + 1] * 4))
        loaded.ok(Opcode.START, start_arguments(0, 16 * slot, slot))
    assert loaded.emulator.runs == 1
    for slot in (0, 1):
        assert loaded.ok(Opcode.RESULT, result_arguments(slot, 8 + 16 * slot, 4)) == bytes([2 * slot + 2] * 4)
    assert loaded.emulator.runs == 2


@pytest.mark.parametrize("behind", [1, 2, 127])
def test_repetitions_change_nothing_and_are_answered(loaded: Host, behind: int) -> None:
    loaded.ok(Opcode.INPUT, input_header(0) + b"\1\1\1\1")
    loaded.ok(Opcode.START, start_arguments(0, 0, 0))
    loaded.ok(Opcode.START, start_arguments(0, 0, 0), back=behind)
    loaded.ok(Opcode.COMMIT, commit_arguments(0), back=behind)
    loaded.ok(Opcode.BEGIN, SMALL.digest, back=behind)
    loaded.ok(Opcode.WRITE, write_header(Region.MASKS, 0) + b"\1", back=behind)
    loaded.ok(Opcode.INPUT, input_header(0) + b"\1\1\1\1", back=behind)
    for _ in range(2):
        assert loaded.ok(Opcode.RESULT, result_arguments(0, 8, 4), back=behind) == bytes([2] * 4)
    assert loaded.state() == State.LOADED
    assert loaded.emulator.runs == 1


def test_a_repeated_write_does_not_enter_the_checksum(host: Host) -> None:
    host.ok(Opcode.BEGIN, SMALL.digest)
    host.ok(Opcode.WRITE, write_header(Region.MASKS, 0) + b"\1\2")
    host.ok(Opcode.WRITE, write_header(Region.MASKS, 0) + b"\1\2", back=1)
    host.ok(Opcode.COMMIT, commit_arguments(crc32c(b"\1\2")))


def test_a_gap_is_answered_with_the_expected_number(host: Host) -> None:
    host.sequence = 250
    host.emulator._expected = 250
    for ahead in (1, 7, 128):
        assert host.ask(Opcode.READ, read_arguments(0, 1), back=-ahead) == (Status.OUT_OF_ORDER, bytes([250]))
    assert host.state() == 0


def test_sync_is_taken_at_any_time(host: Host) -> None:
    for sequence in (0, 77, 200, 255):
        host.sequence = sequence
        assert host.ok(Opcode.SYNC, sync_arguments(1234567)) == sync_arguments(1234567)
        assert host.state() == 0


def test_refused_requests_are_taken(host: Host) -> None:
    assert host.refused(0x55) == Status.UNKNOWN_OPCODE
    assert host.refused(Opcode.COMMIT, bytes(3)) == Status.BAD_LENGTH
    assert host.state() == 0


@pytest.mark.parametrize("repeated", [False, True])
def test_a_device_without_an_image_starts_nothing_and_returns_nothing(host: Host, repeated: bool) -> None:
    host.sequence = host.emulator._expected = 100
    back = 3 if repeated else 0
    host.ok(Opcode.INPUT, input_header(0) + b"\1", back=back)
    for opcode, arguments in [
        (Opcode.START, start_arguments(0, 0, 0)),
        (Opcode.RESULT, result_arguments(0, 0, 1)),
        (Opcode.WRITE, write_header(Region.MASKS, 0) + b"\1"),
        (Opcode.COMMIT, commit_arguments(crc32c(b""))),
    ]:
        assert host.refused(opcode, arguments, back=back) == Status.NOT_LOADED
    assert host.emulator.runs == 0


def test_an_image_is_closed_by_commit(loaded: Host) -> None:
    assert loaded.refused(Opcode.WRITE, write_header(Region.PROGRAM, 0) + b"\1\1") == Status.NOT_LOADED
    assert loaded.refused(Opcode.COMMIT, commit_arguments(0)) == Status.NOT_LOADED
    assert loaded.state() == State.LOADED
    loaded.ok(Opcode.BEGIN, SMALL.digest)
    assert loaded.state() == 0
    assert loaded.refused(Opcode.START, start_arguments(0, 0, 0)) == Status.NOT_LOADED


def test_a_wrong_checksum_forgets_the_image(host: Host) -> None:
    host.ok(Opcode.BEGIN, SMALL.digest)
    host.ok(Opcode.WRITE, write_header(Region.MASKS, 0) + b"\1")
    assert host.refused(Opcode.COMMIT, commit_arguments(crc32c(b"\2"))) == Status.BAD_CHECKSUM
    assert host.state() == 0
    assert host.refused(Opcode.START, start_arguments(0, 0, 0)) == Status.NOT_LOADED


@pytest.mark.parametrize(
    ("opcode", "arguments", "status"),
    [
        (Opcode.BEGIN, bytes(8), Status.WRONG_CONFIGURATION),
        (Opcode.BEGIN, bytes(7), Status.BAD_LENGTH),
        (Opcode.SYNC, bytes(5), Status.BAD_LENGTH),
        (Opcode.READ, read_arguments(REGISTER_COUNT - 1, 2), Status.BAD_ADDRESS),
        (Opcode.READ, bytes(3), Status.BAD_LENGTH),
        (Opcode.WRITE, write_header(9, 0) + bytes(2), Status.BAD_ADDRESS),
        (Opcode.WRITE, write_header(Region.WEIGHTS, 4 * 64 - 1) + bytes(2), Status.BAD_ADDRESS),
        (Opcode.WRITE, write_header(Region.MASKS, 4 * 16) + bytes(1), Status.BAD_ADDRESS),
        (Opcode.WRITE, write_header(Region.PARAMETERS, 16) + bytes(7), Status.BAD_ADDRESS),
        (Opcode.WRITE, write_header(Region.PARAMETERS, 0) + bytes(8), Status.BAD_LENGTH),
        (Opcode.WRITE, write_header(Region.PROGRAM, 31) + bytes(4), Status.BAD_ADDRESS),
        (Opcode.WRITE, write_header(Region.PROGRAM, 0xFFFFFF) + bytes(4), Status.BAD_ADDRESS),
        (Opcode.WRITE, write_header(Region.PROGRAM, 0) + bytes(3), Status.BAD_LENGTH),
        (Opcode.WRITE, write_header(Region.WEIGHTS, 0) + b"\x55\x20", Status.BAD_TRIT),
        (Opcode.INPUT, input_header(CHUNK + 1) + bytes(4), Status.BAD_ADDRESS),
        (Opcode.INPUT, input_header(56) + bytes(4 * 8 + 1), Status.BAD_ADDRESS),
        (Opcode.INPUT, bytes(1), Status.BAD_LENGTH),
        (Opcode.START, start_arguments(32, 0, 0), Status.BAD_ADDRESS),
        (Opcode.START, bytes(7), Status.BAD_LENGTH),
        (Opcode.RESULT, result_arguments(0, 0, MAX_RESULT + 1), Status.BAD_LENGTH),
        (Opcode.RESULT, result_arguments(0, 63, 5), Status.BAD_ADDRESS),
        (Opcode.RESULT, bytes(4), Status.BAD_LENGTH),
    ],
)
def test_bad_arguments_have_their_status(host: Host, opcode: Opcode, arguments: bytes, status: Status) -> None:
    host.load()
    host.ok(Opcode.BEGIN, SMALL.digest)
    assert host.refused(opcode, arguments) == status


def test_weights_in_trit5_may_be_any_byte_but_thirteen() -> None:
    host = Host(dataclasses.replace(SMALL, pe=5, weight_code=TritCode.TRIT5))
    refused = []
    for byte in range(256):
        host.ok(Opcode.BEGIN, host.emulator.configuration.digest)
        status, _ = host.ask(Opcode.WRITE, write_header(Region.WEIGHTS, 9) + bytes([0, byte]))
        assert status in {Status.OK, Status.BAD_TRIT}
        if status == Status.BAD_TRIT:
            refused.append(byte)
            assert host.refused(Opcode.COMMIT, commit_arguments(crc32c(bytes([0, byte])))) == Status.NOT_LOADED
    assert refused == sorted([*range(0x01, 0x100, 0x20), 0x1D, *range(0xFC, 0x100)])


def test_the_last_word_of_each_memory_can_be_used(host: Host) -> None:
    host.ok(Opcode.BEGIN, SMALL.digest)
    words = [
        (Region.WEIGHTS, 255, b"\0"),
        (Region.MASKS, 63, b"\0"),
        (Region.PARAMETERS, 15, bytes(7)),
        (Region.PROGRAM, 31, bytes(2)),
    ]
    for region, address, data in words:
        host.ok(Opcode.WRITE, write_header(region, address) + data)
    host.ok(Opcode.COMMIT, commit_arguments(crc32c(bytes(11))))
    host.ok(Opcode.INPUT, input_header(56) + bytes(range(32)))
    assert host.ok(Opcode.RESULT, result_arguments(0, 63, 4)) == bytes(range(28, 32))


@pytest.fixture
def several() -> Host:
    host = Host(dataclasses.replace(SMALL, cores=2))
    host.load()
    return host


def test_every_core_has_the_image_and_its_own_activations(several: Host) -> None:
    for core in (0, 1):
        several.ok(Opcode.INPUT, input_header(0, core) + bytes([core + 1] * 4))
        several.ok(Opcode.START, start_arguments(0, 0, 0, core=core))
    assert several.emulator.runs == 0
    for core in (1, 0):
        assert several.ok(Opcode.RESULT, result_arguments(2 * core, 8, 4)) == bytes([2 * core + 2] * 4)
    assert several.emulator.runs == 2
    assert several.registers(Register.ISSUED, 3) == (8, 8, 8)


def test_starts_and_results_wait_for_runs_of_their_core_only(several: Host) -> None:
    several.ok(Opcode.START, start_arguments(0, 0, 0, core=1))
    several.ok(Opcode.START, start_arguments(0, 16, StartFlag.SLOT))
    several.ok(Opcode.RESULT, result_arguments(0, 8, 4))
    several.ok(Opcode.RESULT, result_arguments(3, 8, 4))
    assert several.emulator.runs == 0
    several.ok(Opcode.START, start_arguments(0, 0, 0, core=0))
    assert several.emulator.runs == 1
    several.ok(Opcode.RESULT, result_arguments(2, 8, 4))
    assert several.emulator.runs == 2
    assert several.refused(Opcode.BEGIN, several.emulator.configuration.digest) == Status.BUSY
    assert several.emulator.runs == 3


@pytest.mark.parametrize(
    ("opcode", "arguments"),
    [
        (Opcode.INPUT, input_header(0, 2) + bytes(4)),
        (Opcode.START, start_arguments(0, 0, 0, core=2)),
        (Opcode.START, start_arguments(0, 0, 0, core=31)),
        (Opcode.RESULT, result_arguments(4, 0, 1)),
        (Opcode.RESULT, result_arguments(255, 0, 1)),
    ],
)
def test_a_core_that_is_not_there_is_a_bad_address(several: Host, opcode: Opcode, arguments: bytes) -> None:
    assert several.refused(opcode, arguments) == Status.BAD_ADDRESS


def test_what_exceeds_the_window_is_lost(host: Host) -> None:
    reads = [request(at, Opcode.READ, read_arguments(0, 1)) for at in range(WINDOW_FRAMES + 1)]
    assert len(host.exchange(*reads)) == WINDOW_FRAMES
    host.sequence = WINDOW_FRAMES
    assert host.registers(Register.BAD_FRAMES, 1) == (1,)
    large = [request(host.sequence + at, Opcode.INPUT, input_header(0) + bytes(200)) for at in range(3)]
    larger = [*large, request(host.sequence + 3, Opcode.INPUT, input_header(0) + bytes(400))]
    assert len(host.exchange(*larger)) == 3


def test_memories_hold_noise_after_a_reset(loaded: Host) -> None:
    loaded.emulator.reset()
    loaded.sequence = 0
    assert loaded.state() == 0
    host = loaded
    host.ok(Opcode.BEGIN, SMALL.digest)
    host.ok(Opcode.COMMIT, commit_arguments(crc32c(b"")))
    found = np.frombuffer(host.ok(Opcode.RESULT, result_arguments(0, 0, 64)), np.int8)
    assert len(np.unique(found)) > 20
    assert found.min() >= -127


def test_receive_waits_when_there_is_nothing(host: Host) -> None:
    start = time.monotonic()
    assert host.emulator.receive(0.02) == b""
    assert time.monotonic() - start >= 0.02


def test_a_closed_emulator_is_lost(host: Host) -> None:
    host.emulator.close()
    for use in (lambda: host.emulator.send(b""), lambda: host.emulator.receive(0)):
        with pytest.raises(DeviceLostError, match="the emulator is closed"):
            use()

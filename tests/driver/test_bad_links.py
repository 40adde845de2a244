"""Whatever happens to the bytes: right results or a typed error, in bounded time, and usable afterwards."""

import dataclasses
import itertools
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sterna.compiler import compile_network
from sterna.driver import Device
from sterna.driver.device import SLOWEST_CLOCK
from sterna.link.emulator import Emulator
from sterna.link.faults import FaultyTransport
from sterna.spec.configuration import Configuration
from sterna.spec.errors import (
    DeviceError,
    DeviceLostError,
    DeviceRefusedError,
    DeviceTimeoutError,
    ProtocolError,
)
from sterna.spec.frames import Opcode, Status, decode_frame, encode_frame
from sterna.spec.network import IntegerNetwork

Images = npt.NDArray[np.float64]
OpenOver = Callable[..., Device]

pytestmark = pytest.mark.timeout(120)

SMALL = Configuration(
    name="small",
    simd=2,
    pe=4,
    weight_depth=256,
    mask_depth=64,
    activation_depth=256,
    parameter_depth=64,
    program_depth=64,
)


class Meddler:
    """A transport that does something at its ``at``-th call: before, or for ``send`` in the midst of it."""

    def __init__(self, inner: Emulator) -> None:
        self.inner = inner
        self.calls = 0
        self.at = -1
        self.deed: Callable[[], None] = lambda: None

    def plan(self, at: int, deed: Callable[[], None]) -> None:
        self.calls, self.at, self.deed = 0, at, deed

    def send(self, data: bytes) -> None:
        self.calls += 1
        if self.calls == self.at:
            half = len(data) // 2
            self.inner.send(data[:half])
            self.deed()
            self.inner.send(data[half:])
        else:
            self.inner.send(data)

    def receive(self, timeout: float) -> bytes:
        self.calls += 1
        if self.calls == self.at:
            self.deed()
        return self.inner.receive(timeout)

    def close(self) -> None:
        self.inner.close()


def raising(error: BaseException) -> Callable[[], None]:
    def deed() -> None:
        raise error

    return deed


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 1 << 32),
    rate=st.sampled_from([0.01, 0.05, 0.15, 0.4]),
    kinds=st.lists(st.sampled_from(FaultyTransport.KINDS), min_size=1, unique=True),
)
def test_a_faulty_link_gives_right_results_or_a_typed_error(
    make_network: Callable[..., IntegerNetwork], infer_over_faults: Callable[..., Any], seed: int, rate: float,
    kinds: list[str],
) -> None:  # fmt: skip
    network = make_network(30, 12, 5, seed=seed % 5)
    images = np.random.default_rng(seed).uniform(-8, 8, (6, 30))
    emulator = Emulator(SMALL, seed=seed)
    transport = FaultyTransport(emulator, seed=seed, rate=rate, kinds=tuple(kinds))
    got = infer_over_faults(emulator, transport, network, images)
    assert np.array_equal(got, network.predict(images))


def test_some_faults_are_survived_without_an_error(make_network: Callable[..., IntegerNetwork]) -> None:
    network = make_network(30, 12, 5)
    images = np.random.default_rng(0).uniform(-8, 8, (20, 30))
    faults: Counter[str] = Counter()
    for seed in range(8):
        emulator = Emulator(SMALL)
        transport = FaultyTransport(emulator, seed=seed, rate=0.05)
        with Device(transport, timeout=1.0, configuration=SMALL) as device:
            device.load(network)
            assert np.array_equal(device.infer(images), network.predict(images))
            assert emulator.runs == len(images)
            assert device.statistics.retransmissions > 0
        faults += transport.faults
    assert set(faults) == set(FaultyTransport.KINDS)


@pytest.mark.parametrize("deed", ["interrupt", "lose"])
def test_an_interruption_anywhere_leaves_the_device_usable(
    emulator: Emulator, open_over: OpenOver, network: IntegerNetwork, images: Images, deed: str
) -> None:
    transport = Meddler(emulator)
    device = open_over(transport)
    error = KeyboardInterrupt() if deed == "interrupt" else DeviceLostError("unplugged")
    expected = network.predict(images)
    for work in (lambda: device.load(network), lambda: device.infer(images), device.counters):
        device.load(network)
        for at in itertools.count(1):
            transport.plan(at, raising(error))
            try:
                work()
            except type(error):
                pass
            else:
                transport.plan(-1, raising(error))
                break  # the work needs fewer calls than that
            if device.image is None:
                with pytest.raises(DeviceRefusedError, match="call load first"):
                    device.infer(images)
                device.load(network)
            runs = emulator.runs
            got = device.infer(images)
            assert np.array_equal(got, expected)
            assert len(images) <= emulator.runs - runs <= len(images) + 2  # at most the interrupted ones before
        assert at > 2


@pytest.mark.parametrize("sequence", [0, 3, 120, 128, 200, 250, 255])
def test_a_reset_anywhere_is_noticed(
    emulator: Emulator, open_over: OpenOver, network: IntegerNetwork, images: Images, sequence: int
) -> None:
    transport = Meddler(emulator)
    device = open_over(transport, timeout=0.05)
    expected = network.predict(images)
    for at in itertools.count(1):
        device.load(network)
        device._in_step = False
        device._session._sequence = sequence  # a reset device expects 0
        device.counters()
        transport.plan(at, emulator.reset)
        try:
            got = device.infer(images)
        except (DeviceRefusedError, ProtocolError):
            with pytest.raises(DeviceRefusedError, match="load") as caught:
                device.infer(images)
            assert caught.value.status == Status.NOT_LOADED
        else:
            assert np.array_equal(got, expected)
            if transport.calls < at:
                break
    assert at > 5


def test_a_reset_between_calls_is_noticed(
    device: Device, emulator: Emulator, network: IntegerNetwork, images: Images
) -> None:
    device.load(network)
    device.infer(images)
    issued = device.counters().issued
    emulator.reset()
    with pytest.raises((DeviceRefusedError, ProtocolError)):
        device.infer(images)
    with pytest.raises(DeviceRefusedError, match="load"):
        device.infer(images)
    device.load(network)
    assert np.array_equal(device.infer(images), network.predict(images))
    assert device.counters().issued == 2 * issued


def test_counts_before_an_interrupted_load_are_kept(
    emulator: Emulator, open_over: OpenOver, network: IntegerNetwork, images: Images
) -> None:
    transport = Meddler(emulator)
    device = open_over(transport)
    device.load(network)
    device.infer(images)
    transport.plan(4, raising(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        device.load(network)
    assert device.counters().issued == emulator._machines[0].issued > 0


def test_a_slow_run_is_waited_for(
    emulator: Emulator, open_over: OpenOver, network: IntegerNetwork, images: Images, configuration: Configuration
) -> None:
    class Slow:
        """Takes far longer over runs than a device may over anything else."""

        def send(self, data: bytes) -> None:
            emulator.send(data)

        def receive(self, timeout: float) -> bytes:
            runs = emulator.runs
            self.held += emulator.receive(0.0)
            if emulator.runs > runs:
                self.until = time.monotonic() + 0.2
            if time.monotonic() < self.until:
                time.sleep(timeout)
                return b""
            answers, self.held = self.held, b""
            return answers

        def close(self) -> None:
            pass

        held = b""
        until = 0.0

    device = open_over(Slow(), timeout=0.03)
    device.load(dataclasses.replace(compile_network(network, configuration), estimated_cycles=SLOWEST_CLOCK))
    assert np.array_equal(device.infer(network.input.quantise(images)), network.predict(images))
    assert emulator.runs == len(images)


class Scripted:
    """A transport that answers with what ``reply`` makes of each whole request, or with noise."""

    def __init__(self, reply: Callable[[bytes], bytes]) -> None:
        self.reply = reply
        self._answers = b""

    def send(self, data: bytes) -> None:
        for frame in data.split(b"\0"):
            if frame:
                self._answers += self.reply(decode_frame(frame))

    def receive(self, timeout: float) -> bytes:
        answers, self._answers = self._answers, b""
        return answers

    def close(self) -> None:
        pass


def test_a_silent_device_times_out(open_over: OpenOver) -> None:
    with pytest.raises(
        DeviceTimeoutError, match=r"no answer to SYNC within 0.05 s and \d attempts; is the device powered"
    ):
        open_over(Scripted(lambda request: b""), timeout=0.05)


def test_a_device_that_talks_nonsense_is_refused(open_over: OpenOver) -> None:
    class Babbler(Scripted):
        def receive(self, timeout: float) -> bytes:
            return np.random.default_rng(0).bytes(500)

    with pytest.raises(ProtocolError, match=r"no answer to SYNC within .* only \d+ other bytes; is it a Sterna device"):
        open_over(Babbler(lambda request: b""), timeout=0.05)


def test_an_echo_is_no_device(open_over: OpenOver) -> None:
    with pytest.raises(ProtocolError, match="no answer to SYNC"):
        open_over(Scripted(encode_frame), timeout=0.05)


@pytest.mark.parametrize("what", ["silent", "noise", "stale"])
def test_a_device_that_fails_after_loading_times_out(
    emulator: Emulator, open_over: OpenOver, network: IntegerNetwork, images: Images, what: str
) -> None:
    class Failing:
        failed = False

        def send(self, data: bytes) -> None:
            emulator.send(data)

        def receive(self, timeout: float) -> bytes:
            answers = emulator.receive(0)
            noise = {"silent": b"", "noise": b"\x33\x00\x07", "stale": encode_frame(b"\x80\x00")}
            return noise[what] if self.failed else answers

        def close(self) -> None:
            pass

    transport = Failing()
    device = open_over(transport, timeout=0.05)
    device.load(network)
    transport.failed = True
    with pytest.raises(
        DeviceTimeoutError, match=r"no answer to INPUT within 0.\d+ s, repetitions included .* still there"
    ):
        device.infer(images)
    with pytest.raises((DeviceTimeoutError, ProtocolError), match="no answer to SYNC"):
        device.infer(images)
    transport.failed = False
    assert np.array_equal(device.infer(images), network.predict(images))


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (bytes((Status.BAD_LENGTH,)), DeviceRefusedError, "READ refused: the request has a length"),
        (bytes((Status.UNKNOWN_OPCODE,)), DeviceRefusedError, "READ refused: the device does not know this request"),
        (bytes((Status.BAD_ADDRESS,)), DeviceRefusedError, "READ refused: an address lies outside"),
        (bytes((Status.WRONG_CONFIGURATION,)), DeviceRefusedError, "READ refused: the image was made for another"),
        (bytes((Status.NOT_LOADED,)), DeviceRefusedError, "READ refused: the device holds no complete network"),
        (bytes((Status.BUSY,)), DeviceRefusedError, "READ refused: the device is still running"),
        (bytes((77,)), ProtocolError, "the device answered READ with unknown status 77"),
        (bytes((Status.OK, 1, 2, 3)), ProtocolError, "the device answered READ with 3 bytes; expected 24"),
        (bytes((Status.OUT_OF_ORDER, 9)), ProtocolError, "the device has lost the session; was it reset"),
        (bytes(1) + bytes(24), ProtocolError, "this is no Sterna device: its magic is 0x00000000, not 0x4e525453"),
        (
            bytes(1) + b"STRN" + bytes([9, 0, 0, 0]) + bytes(16),
            ProtocolError,
            "the device speaks format 9, this release 1",
        ),
    ],
)
def test_strange_answers_are_typed_errors(
    open_over: OpenOver, answer: bytes, error: type[DeviceError], message: str
) -> None:
    def reply(request: bytes) -> bytes:
        data = bytes((Status.OK,)) + request[2:] if request[1] == Opcode.SYNC else answer
        return encode_frame(request[:1] + data)

    with pytest.raises(error, match=message) as caught:
        open_over(Scripted(reply), timeout=0.05)
    assert "\n" not in str(caught.value)


def test_a_device_that_runs_forever_times_out(configuration: Configuration, open_over: OpenOver) -> None:
    class Stuck(Emulator):
        def _registers(self) -> list[int]:
            registers = super()._registers()
            registers[6] = 2
            return registers

    with pytest.raises(DeviceTimeoutError, match="the device keeps running and does not end; reset it"):
        open_over(Stuck(configuration), timeout=0.05)


def test_another_build_is_not_taken_for_the_first(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    device._in_step = False
    registers = Emulator._registers

    def other_build(self: Emulator) -> list[int]:
        return [*registers(self)[:4], 1, 2, *registers(self)[6:]]

    monkeypatch.setattr(Emulator, "_registers", other_build)
    with pytest.raises(ProtocolError, match="another build answers now; open the device again"):
        device.counters()


def test_a_transport_that_takes_nothing_is_a_typed_error(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    def stuck(data: bytes) -> Any:
        raise DeviceTimeoutError("took no data")

    monkeypatch.setattr(device._transport, "send", stuck)
    with pytest.raises(DeviceTimeoutError, match="took no data"):
        device.counters()

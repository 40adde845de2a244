"""Requests and responses over a transport that may lose, harm or repeat bytes: go-back-N over a bounded window.

Requests are queued, sent in batches, and answered in order. Only the answer to the oldest open request is taken; any
other answer from the window shows that something before it was lost, and everything open is sent again (which the
protocol makes harmless). Silence is met by sending the oldest request alone, at intervals that double, until the
deadline: ``timeout`` seconds plus ``patience`` after the last progress. So nothing waits without a bound.
"""

import secrets
import time
from collections import deque
from dataclasses import dataclass

from sterna.link.framing import FrameReader
from sterna.link.transport import Transport
from sterna.spec.errors import DeviceRefusedError, DeviceTimeoutError, ProtocolError
from sterna.spec.frames import (
    CRC_BYTES,
    DELIMITER,
    WINDOW_BYTES,
    WINDOW_FRAMES,
    Opcode,
    Status,
    encode_frame,
    request,
    sync_arguments,
)

_FIRST_INTERVAL = 1 / 16
"""Of ``timeout``: silence before the first repetition. With doubling, five attempts fit into ``timeout``."""

_FEWEST_REPETITIONS = 3
"""Before the device counts as silent, however late it is: it may be this process that was held up."""

_REFUSALS = {
    Status.UNKNOWN_OPCODE: "the device does not know this request; is its bitstream older than this release?",
    Status.BAD_LENGTH: "the request has a length that the device does not allow",
    Status.WRONG_CONFIGURATION: "the image was made for another configuration than the device has; compile it again",
    Status.NOT_LOADED: "the device holds no complete network (was it reset?); load it again",
    Status.BAD_ADDRESS: "an address lies outside the device's memory; was the image made for this device?",
    Status.BAD_TRIT: "the image holds an illegal trit code; it is damaged, compile it again",
    Status.BAD_CHECKSUM: "what the device received is not the image (its CRC-32C differs); load it again",
    Status.BUSY: "the device is still running; try again when it has finished",
}


@dataclass
class Statistics:
    """Traffic of a session, since it was opened."""

    bytes_sent: int = 0
    bytes_received: int = 0
    frames_sent: int = 0
    frames_received: int = 0
    retransmissions: int = 0
    """Requests sent again (counted in ``frames_sent`` too)."""
    damaged_frames: int = 0
    """Frames received with wrong stuffing, length or CRC."""
    synchronisations: int = 0


@dataclass(eq=False)
class Request:
    """One request, from its queueing to its answer."""

    sequence: int
    opcode: Opcode
    frame: bytes
    size: int
    """Bytes of content and CRC: its share of the window."""
    expected: int
    """Bytes of data that an OK answer has."""
    answer: bytes | None = None
    transmitted: bool = False


class Session:
    """One driver's end of the link. Not for several threads.

    ``timeout``: seconds without progress, when no run is under way, after which the device counts as silent.
    """

    def __init__(self, transport: Transport, *, timeout: float) -> None:
        self.statistics = Statistics()
        self.patience = 0.0
        """Seconds that the device may take longer than ``timeout``, because runs are under way."""
        self._transport = transport
        self._timeout = timeout
        self._reader = FrameReader()
        self._sequence = secrets.randbelow(256)
        self._open: deque[Request] = deque()
        self._sent = 0
        """How many of the open requests, from the oldest on, are on their way."""
        self._probing = False
        """The device is silent: at most the oldest request is on its way."""
        self._going_back = False
        """Everything open is being sent again; further signs of the same loss count for nothing."""
        self._progress_at = 0.0
        self._repeats = 0
        self._interval = 0.0
        self._repeat_at = 0.0

    def synchronise(self) -> None:
        """Starts over: forgets open requests and agrees on a sequence number.

        Leaves behind whatever an interrupted exchange has left in the buffers of both ends. Raises
        :class:`DeviceTimeoutError` if nothing, :class:`ProtocolError` if nothing sensible comes back in time.
        """
        self._open.clear()
        self._sent = 0
        self._going_back = False
        self._sequence = (self._sequence + 1) & 0xFF
        nonce = sync_arguments(secrets.randbits(32))
        # Delimiters end what an interrupted exchange may have begun.
        sync = DELIMITER * 2 + encode_frame(request(self._sequence, Opcode.SYNC, nonce))
        response = bytes((self._sequence, Status.OK)) + nonce
        self.statistics.synchronisations += 1
        deadline = time.monotonic() + self._timeout + self.patience
        interval = self._timeout * _FIRST_INTERVAL
        received = self.statistics.bytes_received
        attempts = 0
        while time.monotonic() < deadline or attempts <= _FEWEST_REPETITIONS:
            self._transmit(sync, frames=1)
            attempts += 1
            until = time.monotonic() + interval
            interval *= 2
            while True:
                contents = self._collect(max(0.0, until - time.monotonic()))
                if response in contents:
                    self._sequence = (self._sequence + 1) & 0xFF
                    self._progressed()
                    return
                if time.monotonic() >= until:
                    break
        waited = f"{self._timeout + self.patience:g} s and {attempts} attempts"
        if self.statistics.bytes_received > received:
            raise ProtocolError(
                f"no answer to SYNC within {waited}, only {self.statistics.bytes_received - received} other bytes; "
                "is it a Sterna device, at this baud rate?"
            )
        raise DeviceTimeoutError(
            f"no answer to SYNC within {waited}; is the device powered and configured, "
            "and a serial port at its baud rate?"
        )

    def submit(self, opcode: Opcode, arguments: bytes = b"", *, expected: int = 0) -> Request:
        """Queues a request whose OK answer has ``expected`` bytes of data; waits while the window is full of others."""
        content = request(self._sequence, opcode, arguments)
        new = Request(self._sequence, opcode, encode_frame(content), len(content) + CRC_BYTES, expected)
        while len(self._open) >= WINDOW_FRAMES or sum(each.size for each in self._open) + new.size > WINDOW_BYTES:
            self._exchange()
        self._sequence = (self._sequence + 1) & 0xFF
        self._open.append(new)
        return new

    def wait(self, request: Request) -> bytes:
        """Data of the answer to a submitted request.

        Raises :class:`DeviceRefusedError` for any other status, also that of a request before it;
        :class:`DeviceTimeoutError`, :class:`DeviceLostError` or :class:`ProtocolError` if there is no proper answer.
        """
        while request.answer is None:
            self._exchange()
        return request.answer

    def call(self, opcode: Opcode, arguments: bytes = b"", *, expected: int = 0) -> bytes:
        """Submits a request and waits for its answer."""
        return self.wait(self.submit(opcode, arguments, expected=expected))

    def deadline(self) -> float:
        """When (``time.monotonic``) a device counts as stuck that is asked from now on whether it has finished."""
        return time.monotonic() + self._timeout + self.patience

    def _exchange(self) -> None:
        """Sends what may be sent, waits for something to come, and takes it."""
        oldest = self._open[0]
        limit = 1 if self._probing else len(self._open)
        if self._sent < limit:
            idle = not any(each.transmitted for each in self._open)
            batch = [self._open[at] for at in range(self._sent, limit)]
            self.statistics.retransmissions += sum(each.transmitted for each in batch)
            for each in batch:
                each.transmitted = True
            self._sent = limit
            self._transmit(b"".join(each.frame for each in batch), frames=len(batch))
            if idle:
                self._progressed()  # until now the device had nothing to answer
        deadline = self._progress_at + self._timeout + self.patience
        patient = self._repeats < _FEWEST_REPETITIONS
        until = self._repeat_at if patient else min(self._repeat_at, deadline)
        contents = self._collect(max(0.0, until - time.monotonic()))
        for content in contents:
            self._take(content)
        now = time.monotonic()
        if not self._open or self._open[0] is not oldest:
            self._progressed()
        elif now >= deadline and not patient:
            raise DeviceTimeoutError(
                f"no answer to {oldest.opcode.name} within {self._timeout + self.patience:g} s, repetitions included "
                f"({self.statistics.damaged_frames} damaged frames so far); is the device still there?"
            )
        elif now >= self._repeat_at:
            self._sent = 0
            self._probing = True
            self._going_back = False
            self._repeats += 1
            self._interval *= 2
            self._repeat_at = now + self._interval

    def _take(self, content: bytes) -> None:
        """Takes a response, if it belongs to an open request."""
        sequence, status, data = content[0], content[1], content[2:]
        at = (sequence - self._open[0].sequence) & 0xFF if self._open else len(self._open)
        if at >= len(self._open):
            return  # again for a request that has its answer, or from before this session
        if at > 0:  # something before it was lost
            if not self._going_back:
                self._going_back = True
                self._sent = 0
            return
        oldest = self._open[0]
        if status == Status.OUT_OF_ORDER:
            raise ProtocolError("the device has lost the session; was it reset?")
        if status != Status.OK:
            if status not in set(Status):
                raise ProtocolError(f"the device answered {oldest.opcode.name} with unknown status {status}")
            refusal = _REFUSALS[Status(status)]
            raise DeviceRefusedError(f"{oldest.opcode.name} refused: {refusal}", Status(status))
        if len(data) != oldest.expected:
            raise ProtocolError(
                f"the device answered {oldest.opcode.name} with {len(data)} bytes; expected {oldest.expected}"
            )
        oldest.answer = data
        self._open.popleft()
        self._sent = max(0, self._sent - 1)
        self._probing = False
        self._going_back = False

    def _progressed(self) -> None:
        self._probing = False
        self._progress_at = time.monotonic()
        self._repeats = 0
        self._interval = self._timeout * _FIRST_INTERVAL
        self._repeat_at = self._progress_at + self._interval

    def _transmit(self, data: bytes, *, frames: int) -> None:
        self._transport.send(data)
        self.statistics.bytes_sent += len(data)
        self.statistics.frames_sent += frames

    def _collect(self, timeout: float) -> list[bytes]:
        """Contents that arrive within ``timeout`` seconds; returns with the first bytes."""
        data = self._transport.receive(timeout)
        self.statistics.bytes_received += len(data)
        contents = self._reader.feed(data)
        self.statistics.frames_received = self._reader.good
        self.statistics.damaged_frames = self._reader.damaged
        return contents

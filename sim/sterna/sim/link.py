"""The driver's end of the link inside a cocotb bench: frames through a source and a sink.

Unlike the driver it repeats nothing: in a bench no byte is lost, so anything unexpected is a failure.
"""

from collections import deque

import cocotb
from cocotb.triggers import Event

from sterna.sim.streams import Sink, Source
from sterna.spec.frames import (
    CRC_BYTES,
    DELIMITER,
    WINDOW_BYTES,
    WINDOW_FRAMES,
    Opcode,
    Status,
    decode_frame,
    encode_frame,
    request,
    sync_arguments,
)

BYTE_TIMEOUT = 200_000
"""Cycles without a byte of an answer that is due."""


class Answer:
    """The answer to one request: status and data once it has come."""

    def __init__(self, opcode: Opcode, size: int) -> None:
        self.opcode = opcode
        self.size = size
        self.came = Event()
        self.status: Status | None = None
        self.data = b""


class Link:
    """Sends requests, as many at once as the window allows, and matches the answers to them in order."""

    def __init__(self, source: Source, sink: Sink) -> None:
        self._source = source
        self._sink = sink
        self._sequence = 0
        self._open: deque[tuple[int, Answer]] = deque()
        self._asked = Event()
        cocotb.start_soon(self._run())

    async def synchronise(self, nonce: int) -> None:
        """Starts a session."""
        answer = await self.submit(Opcode.SYNC, sync_arguments(nonce))
        assert await self.result(answer) == sync_arguments(nonce), "SYNC answered another nonce"

    async def submit(self, opcode: Opcode, arguments: bytes = b"") -> Answer:
        """Queues a request when the window has room for it."""
        content = request(self._sequence, opcode, arguments)
        answer = Answer(opcode, len(content) + CRC_BYTES)
        while self._open and (
            len(self._open) >= WINDOW_FRAMES
            or sum(waiting.size for _, waiting in self._open) + answer.size > WINDOW_BYTES
        ):
            await self._open[0][1].came.wait()
        self._open.append((self._sequence, answer))
        self._asked.set()
        self._sequence = (self._sequence + 1) % 256
        self._source.send(encode_frame(content))
        return answer

    async def status(self, answer: Answer) -> Status:
        """Waits for an answer, and gives its status."""
        await answer.came.wait()
        assert answer.status is not None
        return answer.status

    async def result(self, answer: Answer) -> bytes:
        """Waits for an answer, checks that it is OK, and gives its data."""
        status = await self.status(answer)
        assert status == Status.OK, f"{answer.opcode.name} was answered {status.name}"
        return answer.data

    async def call(self, opcode: Opcode, arguments: bytes = b"") -> bytes:
        """Sends one request and waits for its data."""
        return await self.result(await self.submit(opcode, arguments))

    async def _run(self) -> None:
        stuffed = bytearray()
        while True:
            if not self._open and not stuffed:
                self._asked.clear()
                await self._asked.wait()
                continue
            byte = await self._sink.receive(timeout=BYTE_TIMEOUT)
            if byte != DELIMITER[0]:
                stuffed.append(byte)
                continue
            content = decode_frame(bytes(stuffed))
            stuffed.clear()
            assert self._open, f"an answer came that nobody asked for: {content.hex()}"
            sequence, answer = self._open.popleft()
            assert content[0] == sequence, f"answer {content[0]} came, {sequence} was due"
            answer.data = content[2:]
            answer.status = Status(content[1])
            answer.came.set()
